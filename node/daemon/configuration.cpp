#include "node/daemon/configuration.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <troupe/base/text.hpp>
#include <troupe/base/version.hpp>

namespace troupe::node {
namespace {

constexpr std::uint32_t requests_per_second_max = 10'000'000;

/// Every setting that a TOML file may hold, with how it is set from a word. One table for reading and for --help's
/// names.
void apply_setting(configuration& c, const std::string& key, const std::vector<std::string>& values,
                   const std::string& file) {
  const auto refuse = [&](const std::string& why) { throw CLI::ValidationError(file, key + ": " + why); };
  const auto one = [&]() -> const std::string& {
    if (values.size() != 1) refuse("one value is expected");
    return values.front();
  };
  const auto size = [&]() {
    const auto parsed = parse_bytes(one());
    if (!parsed) refuse(parsed.error().message());
    return *parsed;
  };
  if (key == "listen")
    c.listen = one();
  else if (key == "name")
    c.name = one();
  else if (key == "cluster-name")
    c.cluster_name = one();
  else if (key == "token-file")
    c.token_file = one();
  else if (key == "certificate")
    c.certificate = one();
  else if (key == "certificate-key")
    c.certificate_key = one();
  else if (key == "authority")
    c.authority = one();
  else if (key == "authority-seal-file")
    c.authority_seal_file = one();
  else if (key == "tls")
    c.tls = one();
  else if (key == "bootstrap")
    c.bootstrap = one() == "true";
  else if (key == "join")
    c.join = values;
  else if (key == "slots")
    c.slots = static_cast<std::uint32_t>(size());
  else if (key == "memory")
    c.memory_bytes = size();
  else if (key == "task-memory")
    c.task_memory_bytes = size();
  else if (key == "task-time-limit-ms")
    c.task_time_limit_ms = size();
  else if (key == "gone-after-ms")
    c.gone_after_ms = size();
  else if (key == "requests-per-second")
    c.requests_per_second = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(size(), 1, requests_per_second_max));
  else if (key == "worker-network")
    c.worker_network = one();
  else if (key == "debuggable")
    c.debuggable = one() == "true";
  else if (key == "log-file")
    c.log_file = one();
  else if (key == "log-level")
    c.log_level = one();
  else
    refuse("unknown setting");
}

void read_file(configuration& c, const std::string& path) {
  std::ifstream in(path);
  if (!in) throw CLI::FileError::Missing(path);
  for (const auto& item : CLI::ConfigTOML().from_config(in)) {
    if (!item.parents.empty()) throw CLI::ValidationError(path, "unknown section " + item.parents.front());
    apply_setting(c, item.name, item.inputs, path);
  }
}

/// The value of an option that must be known before the others are read.
std::string look_ahead(int argc, char** argv, const std::string& option, const char* environment) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == option && i + 1 < argc) return argv[i + 1];
    if (word.rfind(option + "=", 0) == 0) return word.substr(option.size() + 1);
  }
  const char* value = std::getenv(environment);
  return value == nullptr ? "" : value;
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char ch : text) {
    if (ch == '"' || ch == '\\') out += '\\';
    out += ch;
  }
  return out + "\"";
}

}  // namespace

parsed parse(int argc, char** argv) {
  parsed p;
  configuration& c = p.value;
  std::string config_file;
  std::string memory, task_memory;
  CLI::App app{"A node of a troupe cluster: keeps data, runs tasks in worker processes, answers the HTTP API."};
  app.set_version_flag("--version", version_text);
  app.add_option("--data", c.data, "Data directory; made when missing")->envname("TROUPE_NODE_DATA")->required();
  app.add_option("--config", config_file, "Settings as a TOML file; environment and options win over it")
      ->envname("TROUPE_NODE_CONFIG");
  app.add_option("--listen", c.listen,
                 "ADDRESS:PORT of the one listening port; beyond loopback everything is encrypted")
      ->envname("TROUPE_NODE_LISTEN");
  app.add_option("--name", c.name, "Name in the cluster (default: the next free node<N>)")->envname("TROUPE_NODE_NAME");
  app.add_option("--cluster-name", c.cluster_name, "Name of the cluster, for people")
      ->envname("TROUPE_NODE_CLUSTER_NAME");
  app.add_option("--token-file", c.token_file,
                 "File with the cluster's token, or a join token; - reads it from standard input")
      ->envname("TROUPE_NODE_TOKEN_FILE");
  auto* certificate = app.add_option("--certificate", c.certificate,
                                     "The node's certificate in PEM, instead of one that the cluster hands out")
                          ->envname("TROUPE_NODE_CERTIFICATE");
  auto* key = app.add_option("--certificate-key", c.certificate_key, "Its key")->envname("TROUPE_NODE_CERTIFICATE_KEY");
  auto* authority = app.add_option("--authority", c.authority, "Certificate of the authority to believe, in PEM")
                        ->envname("TROUPE_NODE_AUTHORITY");
  certificate->needs(key)->needs(authority);
  key->needs(certificate);
  app.add_option("--authority-seal-file", c.authority_seal_file,
                 "What the key of the cluster's authority is encrypted with (default: DIR/security/ca.seal)")
      ->envname("TROUPE_NODE_AUTHORITY_SEAL_FILE");
  app.add_option("--tls", c.tls, "always: also between addresses of this machine; beyond-loopback is the default")
      ->check(CLI::IsMember({"beyond-loopback", "always"}))
      ->envname("TROUPE_NODE_TLS");
  auto* bootstrap = app.add_flag("--bootstrap", c.bootstrap, "Begin a new cluster with this node");
  app.add_option("--join", c.join, "HOST:PORT of nodes of the cluster, separated by commas")
      ->delimiter(',')
      ->excludes(bootstrap)
      ->envname("TROUPE_NODE_JOIN");
  app.add_option("--slots", c.slots, "Tasks that run at once (default: one a core)")->envname("TROUPE_NODE_SLOTS");
  app.add_option("--memory", memory,
                 "Memory for blocks, such as 512MiB (default: an eighth of the machine's, at most 1GiB)")
      ->envname("TROUPE_NODE_MEMORY");
  app.add_option("--task-memory", task_memory, "Memory of a task's own (default: 1GiB)")
      ->envname("TROUPE_NODE_TASK_MEMORY");
  app.add_option("--task-time-limit-ms", c.task_time_limit_ms, "A task that runs longer is killed (default: no limit)")
      ->envname("TROUPE_NODE_TASK_TIME_LIMIT_MS");
  app.add_option("--gone-after-ms", c.gone_after_ms,
                 "A member that is away for so long loses its vote on the metadata to another (default: 600000)")
      ->check(CLI::PositiveNumber)
      ->envname("TROUPE_NODE_GONE_AFTER_MS");
  app.add_option("--requests-per-second", c.requests_per_second,
                 "Of each user to this node, twice as many at once; then 429 (default: 10000)")
      ->check(CLI::Range(1U, requests_per_second_max))
      ->envname("TROUPE_NODE_REQUESTS_PER_SECOND");
  app.add_option("--log-file", c.log_file, "Append the log to this file (default: standard error)")
      ->envname("TROUPE_NODE_LOG_FILE");
  app.add_option("--log-level", c.log_level, "debug, info, warning or error")->envname("TROUPE_NODE_LOG_LEVEL");
  app.add_option("--worker-network", c.worker_network,
                 "Whether tasks may use the network: on-request (jobs that ask for it: run --network; the default), "
                 "forbidden, or allowed to all")
      ->check(CLI::IsMember({"on-request", "forbidden", "allowed"}))
      ->envname("TROUPE_NODE_WORKER_NETWORK");
  app.add_flag("--debuggable", c.debuggable,
               "Leave core files and let debuggers of this user in, which then see keys and tokens")
      ->envname("TROUPE_NODE_DEBUGGABLE");
  app.add_flag("--again", c.again, "Given by a node that starts anew by itself")->group("");
  try {
    // CLI11 lets a configuration file win over the environment, so files become the defaults before anything else is
    // read.
    const auto data = look_ahead(argc, argv, "--data", "TROUPE_NODE_DATA");
    if (!data.empty() && std::filesystem::exists(data + "/node.toml")) read_file(c, data + "/node.toml");
    const auto file = look_ahead(argc, argv, "--config", "TROUPE_NODE_CONFIG");
    if (!file.empty()) read_file(c, file);
    app.parse(argc, argv);
    const auto size = [](const std::string& name, const std::string& text, std::uint64_t& into) {
      if (text.empty()) return;
      const auto value = parse_bytes(text);
      if (!value) throw CLI::ValidationError(name, value.error().message());
      into = *value;
    };
    size("--memory", memory, c.memory_bytes);
    size("--task-memory", task_memory, c.task_memory_bytes);
    if (!c.name.empty())
      if (const auto good = check_name("node", c.name); !good)
        throw CLI::ValidationError("--name", good.error().message());
    if (const auto good = check_name("cluster", c.cluster_name); !good)
      throw CLI::ValidationError("--cluster-name", good.error().message());
  } catch (const CLI::ParseError& e) {
    p.stop = true;
    p.exit_status = app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::cerr << "troupe-node: " << e.what() << "\n";
    p.stop = true;
    p.exit_status = 2;
  }
  return p;
}

result<void> remember(const configuration& c) {
  std::string text = "# What this node was last started with; options and environment win over it.\n";
  text += "listen = " + quoted(c.listen) + "\n";
  text += "name = " + quoted(c.name) + "\n";
  text += "cluster-name = " + quoted(c.cluster_name) + "\n";
  if (c.bootstrap) text += "bootstrap = true\n";
  if (!c.certificate.empty()) {
    text += "certificate = " + quoted(c.certificate) + "\n";
    text += "certificate-key = " + quoted(c.certificate_key) + "\n";
    text += "authority = " + quoted(c.authority) + "\n";
  }
  if (!c.authority_seal_file.empty()) text += "authority-seal-file = " + quoted(c.authority_seal_file) + "\n";
  if (c.tls != configuration().tls) text += "tls = " + quoted(c.tls) + "\n";
  if (c.slots != 0) text += "slots = " + std::to_string(c.slots) + "\n";
  if (c.memory_bytes != 0) text += "memory = " + std::to_string(c.memory_bytes) + "\n";
  if (c.task_memory_bytes != 0) text += "task-memory = " + std::to_string(c.task_memory_bytes) + "\n";
  if (c.task_time_limit_ms != 0) text += "task-time-limit-ms = " + std::to_string(c.task_time_limit_ms) + "\n";
  if (c.gone_after_ms != configuration().gone_after_ms)
    text += "gone-after-ms = " + std::to_string(c.gone_after_ms) + "\n";
  if (c.requests_per_second != configuration().requests_per_second)
    text += "requests-per-second = " + std::to_string(c.requests_per_second) + "\n";
  if (c.worker_network != configuration().worker_network) text += "worker-network = " + quoted(c.worker_network) + "\n";
  if (c.debuggable) text += "debuggable = true\n";
  if (!c.log_file.empty()) text += "log-file = " + quoted(c.log_file) + "\n";
  text += "log-level = " + quoted(c.log_level) + "\n";
  const auto path = c.data + "/node.toml";
  const auto fresh = path + ".new";
  {
    std::ofstream out(fresh, std::ios::trunc);
    out << text;
    out.flush();
    if (!out) return error::from_errno("write", fresh, errno);
  }
  std::error_code failure;
  std::filesystem::rename(fresh, path, failure);
  if (failure) return error{errc::io_error, "rename " + fresh + ": " + failure.message()};
  return ok();
}

result<std::string> load_token(const configuration& c) {
  const auto kept = c.data + "/token";
  std::string token;
  if (c.token_file == "-") {
    std::getline(std::cin, token);
  } else {
    const auto& path = c.token_file.empty() ? kept : c.token_file;
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) {
      if (c.token_file.empty())
        return error{errc::not_found,
                     "no token: give --token-file FILE (a cluster's token keeps strangers from running code on it)"};
      return error::from_errno("read token", path, errno);
    }
    if ((status.st_mode & 077) != 0)
      return error{errc::permission_denied, path + " can be read by others: chmod 600 " + path};
    std::ifstream in(path);
    token.assign(std::istreambuf_iterator<char>(in), {});
  }
  while (!token.empty() && static_cast<unsigned char>(token.back()) <= 0x20) token.pop_back();
  while (!token.empty() && static_cast<unsigned char>(token.front()) <= 0x20) token.erase(0, 1);
  if (token.size() < 16)
    return error{errc::invalid_argument, "the token is too short: at least 16 characters are needed"};
  TROUPE_TRY_VOID(keep_token(c, token));
  return token;
}

result<void> keep_token(const configuration& c, const std::string& token) {
  const auto kept = c.data + "/token";
  // Kept for the next start, which then needs no option. 0600 from the first byte on.
  const auto fresh = kept + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return error::from_errno("write token", fresh, errno);
  const auto line = token + "\n";
  const auto written = ::write(fd, line.data(), line.size());
  const bool synced = written == static_cast<ssize_t>(line.size()) && ::fsync(fd) == 0;
  const int why = errno;
  ::close(fd);
  if (!synced || ::rename(fresh.c_str(), kept.c_str()) != 0)
    return error::from_errno("write token", kept, synced ? errno : why);
  return ok();
}

}  // namespace troupe::node
