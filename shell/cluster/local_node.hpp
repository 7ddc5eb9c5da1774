#pragma once
#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <shell/cluster/registry.hpp>
#include <shell/failure.hpp>
#include <string>
#include <vector>

namespace troupe::shell {

/// A node whose data directory is on this machine: DATA/CLUSTER/nodeK. The directory is the truth: what runs is found
/// by node.pid and the process table.
struct local_node {
  std::string name;
  std::filesystem::path directory;
  std::string address;       ///< of its last start; empty when it never was ready
  std::optional<pid_t> pid;  ///< while its daemon runs
};

/// The nodes of a cluster here, node2 before node10.
std::vector<local_node> local_nodes(const known_cluster& cluster);
/// One of them, or a failure that says which there are.
outcome<local_node> find_local_node(const known_cluster& cluster, const std::string& name);

/// The pid in `directory`/node.pid if that process is troupe-node with this data directory; another process may have
/// got the number since.
std::optional<pid_t> running_pid(const std::filesystem::path& directory);
/// Stopped by a signal.
bool is_paused(pid_t pid);

/// What a new node is told. A node that was ready before remembers all of it.
struct new_node {
  std::string name;
  std::string cluster;
  std::string token_file;         ///< empty: it lies in the node's directory
  std::vector<std::string> join;  ///< addresses of members; empty: it makes the cluster
  std::string authority_file{};   ///< whom to believe before it has a certificate of its own; may be empty
  std::string tls{};              ///< as of known_cluster
};

/// What can be changed at every start.
struct node_limits {
  std::optional<std::uint64_t> slots;
  std::string memory;                        ///< as typed; empty: not given
  std::string task_memory;                   ///< the same
  std::optional<std::int64_t> task_time_ms;  ///< a task that runs longer is killed; 0: none is
  [[nodiscard]] std::vector<std::string> to_options() const;
};

/// Options of troupe-node for a node that does not exist yet, without --data and --listen.
std::vector<std::string> options_of(const new_node& node);

/// Starts troupe-node on a directory. `options` are those besides --data.
result<pid_t> start_node(const local_node& node, const std::vector<std::string>& options);
/// Waits until a started daemon says that it is ready, and answers so; fills in its address. A daemon that ends instead
/// is a failure with the end of its log. `still` hears every 5 s what its log says last.
outcome<void> wait_until_ready(local_node& node, pid_t pid, std::chrono::steady_clock::time_point deadline,
                               const std::function<void(const std::string&)>& still = nullptr);
/// Waits for its end; false when time is up or an interruption came.
bool wait_until_gone(const local_node& node, std::chrono::milliseconds time_max);
/// A stop or go signal takes effect a little later than it is sent. False when time is up or an interruption came.
bool wait_until_paused(pid_t pid, bool paused, std::chrono::milliseconds time_max);

}  // namespace troupe::shell
