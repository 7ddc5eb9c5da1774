#include <shell/cluster/remote_node.hpp>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <shell/cluster/paths.hpp>
#include <shell/cluster/process.hpp>
#include <shell/language/lexer.hpp>
#include <troupe/api/json.hpp>
#include <troupe/base/version.hpp>

namespace troupe::shell {
namespace {

constexpr std::size_t program_bytes_max = 512 << 20;

/// Where a node's data is over there, and which program runs it. Nothing secret is in any script.
std::string places(const std::string& cluster, const std::string& node, const std::string& own_program) {
  return "set -eu; umask 077\n"
         "troupe=${XDG_DATA_HOME:-$HOME/.local/share}/troupe\n"
         "data=$troupe/" +
         cluster + "/" + node +
         "\n"
         "program=$troupe/bin/troupe-node\n"
         "[ -x \"$program\" ] || program=$(command -v troupe-node || echo " +
         as_typed(own_program) +
         ")\n"
         "[ -x \"$program\" ] || { echo \"troupe-node is neither in PATH nor at $program; spawn --install copies it "
         "there\" >&2; exit 1; }\n"
         "version=$(\"$program\" --version 2>&1) || { echo \"$program does not run there: $version\" >&2; exit 1; }\n"
         "[ \"$version\" = " +
         std::string(version_text) + " ] || { echo \"$program there is version $version, this shell is " +
         version_text + ": spawn --install copies this one\" >&2; exit 1; }\n";
}

/// Starts $program on $data and waits until it is ready; prints ready.json.
std::string start_and_wait(const std::string& unit, const std::string& arguments) {
  return "rm -f \"$data/ready.json\"\n"
         "if [ -n \"${XDG_RUNTIME_DIR:-}\" ] && command -v systemd-run >/dev/null && "
         "systemctl --user show-environment >/dev/null 2>&1; then\n"
         "  systemd-run --quiet --user --collect --unit=" +
         unit +
         " -p \"StandardOutput=append:$data/node.log\" -p \"StandardError=append:$data/node.log\" \\\n"
         "    -p NoNewPrivileges=yes -p UMask=0077 \"$program\" --data \"$data\"" +
         arguments +
         " </dev/null\n"
         "  alive() { systemctl --user --quiet is-active " +
         unit +
         "; }\n"
         "else\n"
         "  setsid \"$program\" --data \"$data\"" +
         arguments +
         " </dev/null >>\"$data/node.log\" 2>&1 &\n"
         "  pid=$!\n"
         "  alive() { kill -0 $pid 2>/dev/null; }\n"
         "fi\n"
         "tries=0\n"
         "while [ $tries -lt 600 ]; do\n"
         "  if [ -s \"$data/ready.json\" ]; then cat \"$data/ready.json\"; exit 0; fi\n"
         "  alive || { tail -n 5 \"$data/node.log\" >&2; exit 1; }\n"
         "  sleep 0.1; tries=$((tries + 1))\n"
         "done\n"
         "echo \"the node is not ready after a minute; its log is $data/node.log\" >&2; exit 1\n";
}

std::string unit_of(const std::string& cluster, const std::string& node) { return "troupe-" + cluster + "-" + node; }

outcome<std::string> run_there(const std::string& host, const std::string& ssh_config, const std::string& script,
                               const std::string& input, const std::string& failed) {
  std::vector<std::string> command{"ssh",           "-o", "StrictHostKeyChecking=yes", "-o",
                                   "BatchMode=yes", "-o", "ConnectTimeout=10",         "-T"};
  if (!ssh_config.empty()) command.insert(command.end(), {"-F", ssh_config});
  command.insert(command.end(), {"--", host, "exec sh -c " + as_typed(script)});
  TROUPE_TRY(auto ran, run_process(command, input));
  if (ran.exit_status == 0) return std::move(ran.output);
  return failure(status::failed, failed + " on " + host + ": ssh ended with status " + std::to_string(ran.exit_status) +
                                     " (its words are above)");
}

}  // namespace

std::string remote_place::text() const { return node + " " + host + (ssh_config.empty() ? "" : " " + ssh_config); }

std::optional<remote_place> find_remote(const known_cluster& cluster, const std::string& node) {
  for (const auto& line : cluster.hosts) {
    if (!line.starts_with(node + " ")) continue;
    const auto rest = line.substr(node.size() + 1);
    const auto space = rest.find(' ');
    return remote_place{node, rest.substr(0, space), space == std::string::npos ? "" : rest.substr(space + 1)};
  }
  return std::nullopt;
}

outcome<spawn_host> resolve_host(const std::string& typed) {
  spawn_host host{typed, {}, false};
  const auto name = typed.substr(typed.find('@') + 1);  // the whole when there is no @
  char own[256] = {};
  ::gethostname(own, sizeof own - 1);
  if (typed == "localhost" || typed == "127.0.0.1" || typed == own) {
    host.here = true;
    host.address = "127.0.0.1";
    return host;
  }
  if (name.empty() || name.front() == '-') return usage_failure("not a host: \"" + typed + "\"");
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(name.c_str(), nullptr, &hints, &found); failed != 0)
    return failure(status::failed, "host " + name + ": " + ::gai_strerror(failed));
  for (const auto* at = found; at != nullptr; at = at->ai_next) {
    sockaddr_in address{};
    std::copy_n(reinterpret_cast<const char*>(at->ai_addr), sizeof address, reinterpret_cast<char*>(&address));
    char text[INET_ADDRSTRLEN] = {};
    ::inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    host.address = text;
    host.loopback = (ntohl(address.sin_addr.s_addr) >> 24) == 127;
    break;
  }
  ::freeaddrinfo(found);
  return host;
}

outcome<std::string> start_remote_node(const spawn_host& host, const new_node& node, const node_limits& limits,
                                       const std::string& token, const std::string& ssh_config) {
  TROUPE_TRY(const auto own_program, paths::program_beside("troupe-node"));
  auto told = node;
  told.token_file.clear();  // the node looks for DIR/token by itself
  auto options = options_of(told);
  const auto more = limits.to_options();
  options.insert(options.end(), more.begin(), more.end());
  options.insert(options.end(), {"--listen", host.address + ":0"});
  std::string arguments;
  for (const auto& option : options) arguments += " " + as_typed(option);
  const auto script = places(node.cluster, node.name, own_program.string()) +
                      "mkdir -p \"$data\"; cat >\"$data/token\"\n" +
                      start_and_wait(unit_of(node.cluster, node.name), arguments);
  TROUPE_TRY(const auto output,
             run_there(host.typed, ssh_config, script, token + "\n", "node " + node.name + " did not start"));
  TROUPE_TRY(const auto ready, api::detail::parse(output, "ready.json of " + host.typed));
  const auto* object = ready.if_object();
  const auto* address = object == nullptr ? nullptr : object->if_contains("address");
  if (address == nullptr || !address->is_string())
    return failure(status::failed, "ready.json of " + host.typed + " has no address");
  return std::string(address->get_string());
}

outcome<void> install_programs(const spawn_host& host, const std::string& ssh_config) {
  for (const auto* name : {"troupe-worker", "troupe-node"}) {
    TROUPE_TRY(const auto program, paths::program_beside(name));
    TROUPE_TRY(const auto content, paths::read_file(program, program_bytes_max));
    const std::string script =
        "set -eu; umask 077; bin=${XDG_DATA_HOME:-$HOME/.local/share}/troupe/bin\n"
        "mkdir -p \"$bin\"; cat >\"$bin/" +
        std::string(name) + ".new\"; chmod 700 \"$bin/" + name + ".new\"; mv \"$bin/" + name + ".new\" \"$bin/" + name +
        "\"\n";
    TROUPE_TRY_VOID(run_there(host.typed, ssh_config, script, content, std::string(name) + " was not installed"));
  }
  return done();
}

outcome<void> restart_remote_node(const known_cluster& cluster, const remote_place& place) {
  TROUPE_TRY(const auto own_program, paths::program_beside("troupe-node"));
  const auto script = places(cluster.name, place.node, own_program.string()) +
                      "[ -f \"$data/node.toml\" ] || { echo \"no node was ever ready in $data\" >&2; exit 1; }\n" +
                      start_and_wait(unit_of(cluster.name, place.node), "");
  TROUPE_TRY_VOID(run_there(place.host, place.ssh_config, script, "", "node " + place.node + " did not start again"));
  return done();
}

outcome<void> kill_remote_node(const known_cluster& cluster, const remote_place& place) {
  const std::string script = "set -eu; data=${XDG_DATA_HOME:-$HOME/.local/share}/troupe/" + cluster.name + "/" +
                             place.node +
                             "\n"
                             "pid=$(cat \"$data/node.pid\")\n"
                             "tr '\\0' ' ' <\"/proc/$pid/cmdline\" | grep -q -- \"--data $data\" || { echo \"no node "
                             "runs in $data\" >&2; exit 1; }\n"
                             "kill -9 \"$pid\"\n";
  TROUPE_TRY_VOID(run_there(place.host, place.ssh_config, script, "", "node " + place.node + " was not killed"));
  return done();
}

}  // namespace troupe::shell
