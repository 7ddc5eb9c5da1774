#pragma once
#include <shell/cluster/local_node.hpp>

namespace troupe::shell {

class session;

/// What `up` was asked for.
struct up_request {
  std::string cluster;
  std::optional<std::size_t> nodes;  ///< nothing: those that there are, or 3
  node_limits limits;
  std::string listen;  ///< an address of this machine that others reach it at; empty: loopback
  std::string tls;     ///< «always»; empty: beyond loopback
};

/// Makes a cluster on this machine, or starts what is missing of it. Repeating it changes nothing. A cluster that was
/// killed as a whole comes back with its data.
outcome<known_cluster> bring_up(session& s, const up_request& request);

/// Stops every node of a cluster here in order: asked over HTTP, the one that leads the metadata last; then SIGTERM;
/// after 10 s SIGKILL, which is said.
outcome<void> bring_down(session& s, const known_cluster& cluster);

/// Starts nodes that were ready before, all at once, and waits for them.
outcome<void> restart_nodes(session& s, std::vector<local_node> stopped, const node_limits& limits);

/// Starts new nodes beside members that are there, all at once, and waits for them.
outcome<std::vector<local_node>> add_local_nodes(session& s, const known_cluster& cluster,
                                                 const std::vector<std::string>& names,
                                                 const std::vector<std::string>& join, const node_limits& limits);

/// Keeps what is known of a cluster: its addresses are those of the nodes here, then those of `others` and of what was
/// known before.
outcome<void> remember(known_cluster& cluster, const std::vector<std::string>& others, bool make_current);

}  // namespace troupe::shell
