#include <shell/cluster/local_node.hpp>

#include <signal.h>

#include <algorithm>
#include <boost/describe/class.hpp>
#include <charconv>
#include <shell/cluster/api_client.hpp>
#include <shell/cluster/paths.hpp>
#include <shell/cluster/process.hpp>
#include <shell/interrupts.hpp>
#include <troupe/api/json.hpp>
#include <troupe/base/process.hpp>
#include <troupe/security/credentials.hpp>
#include <troupe/transport/http_client.hpp>

namespace troupe::shell {
namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// DIR/ready.json, written by the daemon once it takes requests.
struct ready_file {
  std::string address;
  std::int64_t pid = 0;
  std::string name;
  std::string member_id;
};
BOOST_DESCRIBE_STRUCT(ready_file, (), (address, pid, name, member_id))

/// What the shell wants of DIR/identity.json, which stays when the node has left in order and ready.json is gone.
struct identity_file {
  std::string address;
};
BOOST_DESCRIBE_STRUCT(identity_file, (), (address))

namespace {

constexpr auto word_interval = 5s;  ///< nothing waits in silence

std::optional<ready_file> read_ready(const fs::path& directory) {
  const auto text = paths::read_file(directory / "ready.json");
  if (!text) return {};
  auto read = api::from_text<ready_file>(*text, "ready.json");  // a half-written one is not ready yet
  if (!read) return {};
  return *read;
}

/// The address of a node that was started before and needs no options now: its settings are in DIR/node.toml, written
/// once it has its port. Empty for others.
std::string remembered_address(const fs::path& directory) {
  if (!fs::exists(directory / "node.toml")) return {};
  const auto text = paths::read_file(directory / "identity.json");
  if (!text) return {};
  const auto read = api::from_text<identity_file>(*text, "identity.json");
  return read ? read->address : std::string();
}

std::vector<std::string> command_line_of(pid_t pid) {
  const auto text = paths::read_file("/proc/" + std::to_string(pid) + "/cmdline");
  std::vector<std::string> words;
  if (!text) return words;
  for (std::size_t begin = 0; begin < text->size();) {
    const auto end = std::min(text->find('\0', begin), text->size());
    words.push_back(text->substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

bool same_directory(const fs::path& a, const fs::path& b) {
  std::error_code failed;
  return a == b || fs::equivalent(a, b, failed);
}

/// Its program is troupe-node (or an interpreter of it), and it has our directory.
bool is_node(pid_t pid, const fs::path& directory) {
  const auto words = command_line_of(pid);
  bool program = false;
  for (std::size_t i = 0; i < words.size() && i < 2; ++i)
    program = program || fs::path(words[i]).filename() == "troupe-node";
  if (!program) return false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "--data" && i + 1 < words.size() && same_directory(words[i + 1], directory)) return true;
    if (words[i].starts_with("--data=") && same_directory(words[i].substr(7), directory)) return true;
  }
  return false;
}

std::string last_lines(const fs::path& log, int count) {
  const auto text = paths::read_file(log, 64 << 20);
  if (!text) return {};
  std::size_t begin = text->size();
  for (int lines = 0; begin > 0 && lines < count; ++lines) begin = begin < 2 ? 0 : text->rfind('\n', begin - 2) + 1;
  auto tail = text->substr(begin);
  while (!tail.empty() && tail.back() == '\n') tail.pop_back();
  return tail;
}

std::string end_of_log(const fs::path& log) {
  const auto tail = last_lines(log, 6);
  if (tail.empty()) return "its log " + log.string() + " is empty";
  return "its log " + log.string() + " ends:\n" + tail;
}

/// Encrypted where the node has a certificate: it may be one that takes nothing else.
bool answers_ready(const std::string& address, const fs::path& directory) {
  const auto colon = address.rfind(':');
  transport::http_client_options options;
  options.host = address.substr(0, colon);
  const auto port = address.substr(colon + 1);
  std::from_chars(port.data(), port.data() + port.size(), options.port);
  options.connect_time_max = options.read_time_max = 2s;
  options.cancel_fd = interrupts::descriptor();
  if (const auto text = paths::read_file(directory / "security" / "ca.crt")) {
    auto trust = security::trust::of_authority(*text);
    if (!trust) return false;
    options.trust = std::move(*trust);
  }
  const auto answer = transport::http_client(options).send(request_for("GET", "/readyz"));
  return answer && answer->ok();
}

}  // namespace

std::optional<pid_t> running_pid(const fs::path& directory) {
  pid_t pid = 0;
  if (const auto text = paths::read_file(directory / "node.pid", 64)) {
    std::from_chars(text->data(), text->data() + text->size(), pid);
  } else if (const auto ready = read_ready(directory)) {
    pid = static_cast<pid_t>(ready->pid);
  }
  if (pid <= 1) return {};
  (void)reap(pid);  // in an interactive shell it may be our own child
  if (!is_node(pid, directory) || is_ending(pid)) return {};
  return pid;
}

bool is_paused(pid_t pid) {
  const auto text = paths::read_file("/proc/" + std::to_string(pid) + "/stat");
  if (!text) return false;
  const auto after = text->rfind(") ");
  return after != std::string::npos && after + 2 < text->size() && (*text)[after + 2] == 'T';
}

std::vector<local_node> local_nodes(const known_cluster& cluster) {
  std::vector<local_node> out;
  if (cluster.data.empty()) return out;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(cluster.data, failed)) {
    if (!entry.is_directory() || entry.path().filename().string().starts_with(".")) continue;  // .removed-node3
    local_node node{entry.path().filename().string(), entry.path(), {}, running_pid(entry.path())};
    if (const auto ready = read_ready(entry.path()))
      node.address = ready->address;
    else
      node.address = remembered_address(entry.path());
    out.push_back(std::move(node));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) {
    return std::pair(a.name.size(), a.name) < std::pair(b.name.size(), b.name);
  });
  return out;
}

outcome<local_node> find_local_node(const known_cluster& cluster, const std::string& name) {
  std::string names;
  for (auto& node : local_nodes(cluster)) {
    if (node.name == name) return node;
    names += (names.empty() ? "" : ", ") + node.name;
  }
  return failure(status::failed, "cluster " + cluster.name + " has no node \"" + name + "\" on this machine" +
                                     (names.empty() ? "; only nodes that `up` or `spawn` started here can be named"
                                                    : "; there are " + names));
}

std::vector<std::string> node_limits::to_options() const {
  std::vector<std::string> out;
  if (slots) out.insert(out.end(), {"--slots", std::to_string(*slots)});
  if (!memory.empty()) out.insert(out.end(), {"--memory", memory});
  if (!task_memory.empty()) out.insert(out.end(), {"--task-memory", task_memory});
  if (task_time_ms) out.insert(out.end(), {"--task-time-limit-ms", std::to_string(*task_time_ms)});
  return out;
}

std::vector<std::string> options_of(const new_node& node) {
  std::vector<std::string> out{"--name", node.name, "--cluster-name", node.cluster};
  if (!node.token_file.empty()) out.insert(out.end(), {"--token-file", node.token_file});
  if (!node.tls.empty()) out.insert(out.end(), {"--tls", node.tls});
  if (!node.authority_file.empty() && !node.join.empty()) out.insert(out.end(), {"--authority", node.authority_file});
  if (node.join.empty()) {
    out.emplace_back("--bootstrap");
  } else {
    std::string members;
    for (const auto& address : node.join) members += (members.empty() ? "" : ",") + address;
    out.insert(out.end(), {"--join", members});
  }
  return out;
}

result<pid_t> start_node(const local_node& node, const std::vector<std::string>& options) {
  TROUPE_TRY(const auto program, paths::program_beside("troupe-node"));
  std::error_code failed;
  fs::create_directories(node.directory, failed);
  if (failed) return error{errc::io_error, "make directory " + node.directory.string() + ": " + failed.message()};
  fs::permissions(node.directory, fs::perms::owner_all, failed);
  std::vector<std::string> command{program.string(), "--data", node.directory.string()};
  command.insert(command.end(), options.begin(), options.end());
  return start_detached(command, node.directory / "node.log");
}

outcome<void> wait_until_ready(local_node& node, pid_t pid, std::chrono::steady_clock::time_point deadline,
                               const std::function<void(const std::string&)>& still) {
  auto next_word = std::chrono::steady_clock::now() + word_interval;
  for (;;) {
    if (const auto end = reap(pid))
      return failure(status::failed, node.name + " did not start: troupe-node " + *end + "; " +
                                         end_of_log(node.directory / "node.log"));
    const auto ready = read_ready(node.directory);
    if (ready && ready->pid == pid && answers_ready(ready->address, node.directory)) {
      node.address = ready->address;
      node.pid = pid;
      return done();
    }
    if (interrupts::pending())
      return failure(status::interrupted,
                     "interrupted; " + node.name + " (pid " + std::to_string(pid) + ") goes on starting");
    if (std::chrono::steady_clock::now() >= deadline)
      return failure(status::failed, node.name + " (pid " + std::to_string(pid) + ") is not ready in time; " +
                                         end_of_log(node.directory / "node.log"));
    if (still && std::chrono::steady_clock::now() >= next_word) {
      next_word += word_interval;
      still(node.name + " is not ready yet; its log ends: " + last_lines(node.directory / "node.log", 1));
    }
    interrupts::sleep_ms(10);
  }
}

bool wait_until_gone(const local_node& node, std::chrono::milliseconds time_max) {
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  while (node.pid) {
    (void)reap(*node.pid);
    if (!is_node(*node.pid, node.directory)) return true;
    if (interrupts::pending() || std::chrono::steady_clock::now() >= deadline) return false;
    interrupts::sleep_ms(10);
  }
  return true;
}

bool wait_until_paused(pid_t pid, bool paused, std::chrono::milliseconds time_max) {
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  while (is_paused(pid) != paused) {
    if (interrupts::pending() || std::chrono::steady_clock::now() >= deadline) return false;
    interrupts::sleep_ms(1);
  }
  return true;
}

}  // namespace troupe::shell
