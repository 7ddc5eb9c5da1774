#pragma once
#include <actors/messages.hpp>
#include <actors/supervision/cluster_actors.hpp>
#include <caf/actor.hpp>
#include <caf/allowed_unsafe_message_type.hpp>
#include <functional>
#include <map>
#include <memory>

/// What the actors of one node tell each other; none of it can leave the process.
namespace troupe::actors {

struct peer {
  troupe::incarnation incarnation;
  caf::actor gateway;
};
/// The nodes that can be reached now, this one included.
using peer_map = std::map<member_id, peer>;

namespace local {

/// A callback that came on another thread, to be run on the actor's.
struct posted_work {
  std::shared_ptr<std::function<void()>> run;
};
struct peer_connected {
  member_id member;
  troupe::incarnation incarnation;
  caf::actor gateway;
};
struct peer_lost {
  member_id member;
};
struct peers_changed {
  std::shared_ptr<const peer_map> peers;
};
/// After a command was applied.
struct metadata_changed {
  bool members = false;  ///< somebody came, went, or changed state
  job_id job;            ///< 0: none
  segment_id segment;    ///< whose holders changed; 0: none
};
/// This node has lost its lease, and why; empty: it has one again.
struct lease_changed {
  std::string why;
};
struct tick {};
struct stop {};
/// A child's numbers for the tree.
struct job_summary_wanted {};
struct job_summary {
  std::string name;
  std::string detail;
};

}  // namespace local

/// What all actors of a node stand on; outlives them.
struct node_context {
  metadata::service& metadata;
  node_ports& ports;
  telemetry::journal& journal;
  const cluster_actors_config config;

  [[nodiscard]] message::sender self() const { return {config.self, config.incarnation}; }
};

}  // namespace troupe::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::posted_work)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::peer_connected)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::peer_lost)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::peers_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::metadata_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::lease_changed)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::stop)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::job_summary_wanted)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(troupe::actors::local::job_summary)
