#pragma once
#include <shell/cluster/remote_node.hpp>

namespace troupe::shell {

class session;

/// One node to start on another host.
struct spawn_wish {
  std::string name;
  spawn_host host;
};

struct spawned {
  spawn_wish wish;
  outcome<std::string> address;  ///< or why not
  double seconds = 0;
};

/// What all of them are told.
struct spawn_order {
  known_cluster cluster;
  std::vector<std::string> join;
  node_limits limits;
  std::string token;  ///< a join token, or on loopback the cluster's
  std::string ssh_config;
  bool install = false;
};

/// Starts nodes on all hosts at once, those of one host one after the other; says a line as each is done, in the order
/// in which they are. One that fails does not stop the others.
std::vector<spawned> spawn_on_hosts(session& s, const spawn_order& order, const std::vector<spawn_wish>& wishes);

}  // namespace troupe::shell
