#pragma once
#include <shell/cluster/local_node.hpp>

namespace troupe::shell {

/// A machine to spawn a node on, as it was typed: «localhost», «me@worker7».
struct spawn_host {
  std::string typed;
  std::string address;  ///< numeric, that the node listens on
  bool here = false;    ///< this machine under one of its own names: no ssh needed
};

/// Looks a host up. Refuses what is not loopback: the protocols between nodes are not encrypted yet.
outcome<spawn_host> resolve_host(const std::string& typed);

/// Starts a new node through ssh (strict host keys, no passwords; the token goes over its standard input, never into a
/// command line) and waits until it is ready. `ssh_config` empty: ssh's own. Returns the node's address.
outcome<std::string> start_remote_node(const spawn_host& host, const new_node& node, const node_limits& limits,
                                       const std::string& token, const std::string& ssh_config);

}  // namespace troupe::shell
