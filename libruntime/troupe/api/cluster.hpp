#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <optional>
#include <string>
#include <troupe/api/json.hpp>
#include <troupe/api/list.hpp>

namespace troupe::api {

/// GET /api/v1/cluster
struct cluster {
  cluster_id id;
  std::string name;
  std::string version;                ///< of the node that answers
  std::string node;                   ///< its name
  std::optional<std::string> leader;  ///< name of the node that leads the metadata; null when unknown
  std::uint32_t nodes_total = 0;
  std::uint32_t nodes_alive = 0;
};
BOOST_DESCRIBE_STRUCT(cluster, (), (id, name, version, node, leader, nodes_total, nodes_alive))

enum class node_state : std::uint8_t { alive, suspect, dead, left };
BOOST_DESCRIBE_ENUM(node_state, alive, suspect, dead, left)

/// A node's part in the metadata: every node keeps its log; 1, 3 or 5 of them vote, and one of those leads.
enum class node_role : std::uint8_t { learner, voter, leader };
BOOST_DESCRIBE_ENUM(node_role, learner, voter, leader)

/// GET /api/v1/nodes, an item; POST /api/v1/nodes/NAME/stop answers 202 with the node that will stop (any node takes it
/// and hands it on).
struct node {
  std::string name;
  member_id id;
  std::string address;  ///< host:port
  std::uint32_t pid = 0;
  node_state state = node_state::alive;
  std::string state_reason;  ///< empty when alive
  troupe::incarnation incarnation;
  bool leader = false;  ///< leads the metadata now
  node_role role = node_role::learner;
  std::uint32_t cores = 0;
  std::uint32_t slots = 0;  ///< tasks it runs at once
  std::uint64_t memory_bytes = 0;
  std::string version;
  timestamp started_at;
  bool draining = false;                            ///< on its way out: gets no new copies, and its own move away
  std::optional<timestamp> certificate_expires_at;  ///< absent without a certificate
  bool signs = false;                               ///< has the key of the cluster's authority
};
BOOST_DESCRIBE_STRUCT(node, (),
                      (name, id, address, pid, state, state_reason, incarnation, leader, role, cores, slots,
                       memory_bytes, version, started_at, draining, certificate_expires_at, signs))

/// GET, POST (begin) and DELETE (undo) of /api/v1/nodes/NAME/drain: what the node still has to give away.
struct drain_progress {
  std::string node;
  bool draining = false;
  std::uint64_t segments = 0;    ///< that have too few copies elsewhere
  std::uint64_t bytes = 0;       ///< of these
  std::uint64_t partitions = 0;  ///< that it leads, or whose open segment it holds
  bool done = false;             ///< draining, and nothing is left: it may go
};
BOOST_DESCRIBE_STRUCT(drain_progress, (), (node, draining, segments, bytes, partitions, done))

}  // namespace troupe::api
