#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <shell/cluster/bring_up.hpp>
#include <shell/cluster/paths.hpp>
#include <shell/display/progress.hpp>
#include <shell/session.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/api/security.hpp>
#include <troupe/base/random.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace fs = std::filesystem;
using namespace std::chrono_literals;
namespace {

constexpr auto start_time_max = 60s;  ///< a node that reads a long log of metadata may need it
constexpr std::size_t token_octets = 32;
constexpr std::uint64_t admin_token_lifetime_s = 365ULL * 24 * 60 * 60;

/// One `up` at a time for a cluster. The lock goes with the process.
class up_lock {
 public:
  static result<up_lock> take(const fs::path& directory) {
    const auto path = directory / "up.lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return error::from_errno("open", path.string(), errno);
    up_lock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
      return error{errc::failed_precondition,
                   "another shell is starting or stopping this cluster now (" + path.string() + " is locked)"};
    return lock;
  }
  up_lock(up_lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  up_lock& operator=(up_lock&&) = delete;
  ~up_lock() {
    if (fd_ >= 0) ::close(fd_);
  }

 private:
  explicit up_lock(int fd) : fd_(fd) {}
  int fd_;
};

result<void> make_private_directory(const fs::path& path) {
  std::error_code failed;
  fs::create_directories(path, failed);
  if (!failed) fs::permissions(path, fs::perms::owner_all, failed);
  if (failed) return error{errc::io_error, "make directory " + path.string() + ": " + failed.message()};
  return ok();
}

/// The cluster as clusters.toml has it, or a new one with its directory and token.
result<known_cluster> known_or_new(const std::string& name) {
  TROUPE_TRY_VOID(check_name("cluster", name));
  TROUPE_TRY(const auto known, registry::load());
  known_cluster cluster;
  if (const auto* found = known.find(name)) {
    if (found->data.empty())
      return error{
          errc::failed_precondition,
          "cluster " + name + " was made known by `connect` and is not this shell's to start; choose another --name"};
    cluster = *found;
  } else {
    cluster.name = name;
    cluster.data = paths::cluster_data(name).string();
    cluster.token_file = (fs::path(cluster.data) / "token").string();
  }
  TROUPE_TRY_VOID(make_private_directory(cluster.data));
  if (!fs::exists(cluster.token_file))
    TROUPE_TRY_VOID(paths::write_private_file(cluster.token_file, random_hex(token_octets) + "\n"));
  return cluster;
}

std::vector<std::string> addresses_of(const std::vector<local_node>& nodes) {
  std::vector<std::string> out;
  for (const auto& node : nodes)
    if (!node.address.empty()) out.push_back(node.address);
  return out;
}

std::string names_of(const std::vector<local_node>& nodes) {
  std::string out;
  for (const auto& node : nodes) out += (out.empty() ? "" : ", ") + node.name;
  return out;
}

std::vector<std::string> free_names(const std::vector<local_node>& taken, std::size_t count) {
  std::vector<std::string> out;
  for (std::size_t k = 1; out.size() < count; ++k) {
    const auto name = "node" + std::to_string(k);
    if (std::none_of(taken.begin(), taken.end(), [&](const auto& node) { return node.name == name; }))
      out.push_back(name);
  }
  return out;
}

/// Where the nodes of a cluster listen is chosen when it is made: those that are there know each other by it.
outcome<void> choose_address(known_cluster& cluster, const up_request& request) {
  if (request.listen.empty() && request.tls.empty()) return done();
  const bool has_nodes = !addresses_of(local_nodes(cluster)).empty();
  if (has_nodes && ((!request.listen.empty() && request.listen != cluster.listen) ||
                    (!request.tls.empty() && request.tls != cluster.tls)))
    return failure(status::failed, "cluster " + cluster.name + " is there already, at " +
                                       (cluster.listen.empty() ? "loopback" : cluster.listen) +
                                       "; --address and --tls are for a new one: `up --name NAME …`");
  cluster.listen = request.listen;
  cluster.tls = request.tls;
  return done();
}

/// Of a cluster that encrypts: its authority's certificate, and a token of an administrator. The cluster's own token is
/// the nodes' secret, and counts on their machine only.
outcome<void> adopt_authority(known_cluster& cluster, const local_node& first) {
  if (cluster.listen.empty() && cluster.tls.empty()) return done();
  TROUPE_TRY(const auto authority, paths::read_file(first.directory / "security" / "ca.crt"));
  const fs::path data(cluster.data);
  TROUPE_TRY_VOID(paths::write_private_file(data / "ca.crt", authority));
  cluster.authority_file = (data / "ca.crt").string();
  cluster.addresses = {first.address};
  api_client client(cluster);
  auto user = request_for("PUT", "/users/admin");
  user.content_type = "application/json";
  user.body = api::to_text(api::user_change{"admin"});
  TROUPE_TRY_VOID(client.send(std::move(user)));
  api::token_request wanted;
  wanted.user = "admin";
  wanted.lifetime_s = admin_token_lifetime_s;
  auto request = request_for("POST", "/tokens");
  request.content_type = "application/json";
  request.body = api::to_text(wanted);
  TROUPE_TRY(const auto answer, client.send(std::move(request)));
  TROUPE_TRY(const auto made, api::from_text<api::new_token>(answer.body, "new token"));
  TROUPE_TRY_VOID(paths::write_private_file(data / "access-token", made.token + "\n"));
  cluster.access_file = (data / "access-token").string();
  return done();
}

outcome<void> wait_for_all(session& s, std::vector<local_node>& nodes, const std::vector<pid_t>& pids) {
  progress line(s);
  const auto deadline = std::chrono::steady_clock::now() + start_time_max;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    line.show("waiting for " + nodes[i].name);
    TROUPE_TRY_VOID(wait_until_ready(nodes[i], pids[i], deadline, [&](const std::string& why) { s.say(why); }));
  }
  return done();
}

}  // namespace

outcome<void> restart_nodes(session& s, std::vector<local_node> stopped, const node_limits& limits) {
  std::vector<pid_t> pids;
  for (const auto& node : stopped) {
    TROUPE_TRY(const auto pid, start_node(node, limits.to_options()));
    pids.push_back(pid);
  }
  return wait_for_all(s, stopped, pids);
}

outcome<std::vector<local_node>> add_local_nodes(session& s, const known_cluster& cluster,
                                                 const std::vector<std::string>& names,
                                                 const std::vector<std::string>& join, const node_limits& limits) {
  std::vector<local_node> nodes;
  std::vector<pid_t> pids;
  for (const auto& name : names) {
    nodes.push_back({name, fs::path(cluster.data) / name, {}, {}});
    auto options = options_of({name, cluster.name, cluster.token_file, join, cluster.authority_file, cluster.tls});
    options.insert(options.end(), {"--listen", (cluster.listen.empty() ? "127.0.0.1" : cluster.listen) + ":0"});
    const auto more = limits.to_options();
    options.insert(options.end(), more.begin(), more.end());
    TROUPE_TRY(const auto pid, start_node(nodes.back(), options));
    pids.push_back(pid);
  }
  TROUPE_TRY_VOID(wait_for_all(s, nodes, pids));
  return nodes;
}

outcome<void> remember(known_cluster& cluster, const std::vector<std::string>& others, bool make_current) {
  auto addresses = addresses_of(local_nodes(cluster));
  const auto before = cluster.addresses;
  for (const auto* more : {&others, &before})
    for (const auto& address : *more)
      if (std::find(addresses.begin(), addresses.end(), address) == addresses.end()) addresses.push_back(address);
  cluster.addresses = std::move(addresses);
  TROUPE_TRY(auto known, registry::load());
  known.clusters[cluster.name] = cluster;
  if (make_current) known.current = cluster.name;
  TROUPE_TRY_VOID(known.save());
  return done();
}

outcome<known_cluster> bring_up(session& s, const up_request& request) {
  TROUPE_TRY(auto cluster, known_or_new(request.cluster));
  TROUPE_TRY(const auto lock, up_lock::take(cluster.data));
  const auto begun = std::chrono::steady_clock::now();
  TROUPE_TRY_VOID(choose_address(cluster, request));

  // A directory whose node never was ready holds nothing: it is started as a new one, under the same name.
  auto nodes = local_nodes(cluster);
  std::vector<local_node> stopped, unborn;
  for (const auto& node : nodes)
    if (!node.pid) (node.address.empty() ? unborn : stopped).push_back(node);
  const auto wanted = std::max(nodes.size(), request.nodes.value_or(nodes.empty() ? 3 : nodes.size()));
  if (request.nodes && *request.nodes < nodes.size())
    s.say("cluster " + cluster.name + " has " + std::to_string(nodes.size()) +
          " nodes; all of them are started, for each may hold the only copy of something");
  TROUPE_TRY_VOID(remember(cluster, {}, true));
  if (!stopped.empty()) TROUPE_TRY_VOID(restart_nodes(s, stopped, request.limits));

  std::vector<std::string> fresh;
  fresh.reserve(wanted);
  for (const auto& node : unborn) fresh.push_back(node.name);
  for (const auto& name : free_names(nodes, wanted - nodes.size())) fresh.push_back(name);
  std::vector<local_node> made;
  if (!fresh.empty() && unborn.size() == nodes.size()) {  // none was ever ready: the first one makes the cluster
    TROUPE_TRY(made, add_local_nodes(s, cluster, {fresh.front()}, {}, request.limits));
    fresh.erase(fresh.begin());
    TROUPE_TRY_VOID(adopt_authority(cluster, made.front()));
    TROUPE_TRY_VOID(remember(cluster, {}, true));
  }
  if (!fresh.empty()) {
    TROUPE_TRY(const auto joined,
               add_local_nodes(s, cluster, fresh, addresses_of(local_nodes(cluster)), request.limits));
    made.insert(made.end(), joined.begin(), joined.end());
  }

  TROUPE_TRY_VOID(remember(cluster, {}, true));
  s.forget_client();
  api_client client(cluster);
  TROUPE_TRY(const auto told, client.get_as<api::cluster>("/cluster", "cluster"));
  cluster.id = to_string(told.id);
  TROUPE_TRY_VOID(remember(cluster, {}, true));

  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  if (made.empty() && stopped.empty()) {
    s.say("cluster " + cluster.name + " is up already: " + names_of(nodes));
    if (!request.limits.to_options().empty())
      s.say(
          "running nodes keep their limits; --slots, --memory, --task-memory and --task-time-limit count when a node "
          "starts");
  } else {
    auto started = stopped;
    started.insert(started.end(), made.begin(), made.end());
    s.say("cluster " + cluster.name + ": started " + names_of(started) + " in " + format_duration(seconds));
  }
  return cluster;
}

}  // namespace troupe::shell
