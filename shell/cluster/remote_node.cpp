#include <shell/cluster/remote_node.hpp>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <shell/cluster/paths.hpp>
#include <shell/cluster/process.hpp>
#include <shell/language/lexer.hpp>
#include <troupe/api/json.hpp>

namespace troupe::shell {
namespace {

/// What runs over there. No secret is in it: the token comes on standard input, which the node reads to its end.
std::string remote_script(const spawn_host& host, const new_node& node, const node_limits& limits,
                          const std::string& own_program) {
  std::string arguments;
  auto told = node;
  told.token_file = "-";
  auto options = options_of(told);
  const auto more = limits.to_options();
  options.insert(options.end(), more.begin(), more.end());
  options.insert(options.end(), {"--listen", host.address + ":0"});
  for (const auto& option : options) arguments += " " + as_typed(option);
  return "set -eu; umask 077\n"
         "data=${XDG_DATA_HOME:-$HOME/.local/share}/troupe/" +
         node.cluster + "/" + node.name +
         "\n"
         "program=$(command -v troupe-node || echo " +
         as_typed(own_program) +
         ")\n"
         "[ -x \"$program\" ] || { echo \"troupe-node is neither in PATH nor at $program\" >&2; exit 1; }\n"
         "mkdir -p \"$data\"; rm -f \"$data/ready.json\"\n"
         "exec 3<&0\n"
         "setsid \"$program\" --data \"$data\"" +
         arguments +
         " <&3 3<&- >>\"$data/node.log\" 2>&1 &\n"
         "pid=$!\n"
         "exec 3<&- </dev/null\n"
         "tries=0\n"
         "while [ $tries -lt 600 ]; do\n"
         "  if [ -s \"$data/ready.json\" ]; then cat \"$data/ready.json\"; exit 0; fi\n"
         "  kill -0 $pid 2>/dev/null || { tail -n 5 \"$data/node.log\" >&2; exit 1; }\n"
         "  sleep 0.1; tries=$((tries + 1))\n"
         "done\n"
         "echo \"the node is not ready after a minute; its log is $data/node.log\" >&2; exit 1\n";
}

}  // namespace

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
    if ((ntohl(address.sin_addr.s_addr) >> 24) != 127) {
      ::freeaddrinfo(found);
      return failure(status::failed, "host " + name + " (" + host.address +
                                         ") is another machine, and a node beyond loopback needs TLS, which this "
                                         "version lacks; `spawn localhost` adds one here");
    }
  }
  ::freeaddrinfo(found);
  return host;
}

outcome<std::string> start_remote_node(const spawn_host& host, const new_node& node, const node_limits& limits,
                                       const std::string& token, const std::string& ssh_config) {
  TROUPE_TRY(const auto own_program, paths::program_beside("troupe-node"));
  std::vector<std::string> command{"ssh",           "-o", "StrictHostKeyChecking=yes", "-o",
                                   "BatchMode=yes", "-o", "ConnectTimeout=10",         "-T"};
  if (!ssh_config.empty()) command.insert(command.end(), {"-F", ssh_config});
  command.insert(command.end(),
                 {"--", host.typed, "exec sh -c " + as_typed(remote_script(host, node, limits, own_program.string()))});
  TROUPE_TRY(const auto ran, run_process(command, token + "\n"));
  if (ran.exit_status != 0)
    return failure(status::failed, "node " + node.name + " did not start on " + host.typed +
                                       ": ssh ended with status " + std::to_string(ran.exit_status) +
                                       " (its words are above)");
  TROUPE_TRY(const auto ready, api::detail::parse(ran.output, "ready.json of " + host.typed));
  const auto* object = ready.if_object();
  const auto* address = object == nullptr ? nullptr : object->if_contains("address");
  if (address == nullptr || !address->is_string())
    return failure(status::failed, "ready.json of " + host.typed + " has no address");
  return std::string(address->get_string());
}

}  // namespace troupe::shell
