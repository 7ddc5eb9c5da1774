#pragma once
#include <functional>
#include <shell/cluster/local_node.hpp>

namespace troupe::shell {

/// A machine to spawn a node on, as it was typed: «localhost», «me@worker7».
struct spawn_host {
  std::string typed;
  std::string address;    ///< numeric, that the node listens on
  bool here = false;      ///< this machine under one of its own names: no ssh needed
  bool loopback = false;  ///< this machine under another address of it
};

/// Looks a host up.
outcome<spawn_host> resolve_host(const std::string& typed);

/// How to get to a node that was spawned elsewhere.
struct remote_place {
  std::string node;
  std::string host;        ///< as it was typed
  std::string ssh_config;  ///< for ssh -F; empty: ssh's own
  /// «node4 me@host» or «node4 me@host FILE», as clusters.toml keeps it.
  [[nodiscard]] std::string text() const;
};
std::optional<remote_place> find_remote(const known_cluster& cluster, const std::string& node);

/// Starts a new node through ssh and waits until it is ready: strict host keys, no passwords; the token goes over
/// standard input, never into a command line or an environment. As a transient unit of the user's systemd where there
/// is one, else detached. Programs of another version than ours are refused there, with a sentence. Returns the node's
/// address. May be called by several threads.
outcome<std::string> start_remote_node(const spawn_host& host, const new_node& node, const node_limits& limits,
                                       const std::string& token, const std::string& ssh_config);

/// Copies troupe-node and troupe-worker from beside the shell to ~/.local/share/troupe/bin there.
outcome<void> install_programs(const spawn_host& host, const std::string& ssh_config);

/// Starts a node again that was spawned there, with its data; waits until it is ready.
outcome<void> restart_remote_node(const known_cluster& cluster, const remote_place& place);
/// SIGKILL, as a failure would.
outcome<void> kill_remote_node(const known_cluster& cluster, const remote_place& place);

}  // namespace troupe::shell
