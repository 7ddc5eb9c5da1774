#pragma once
#include <actors/supervision/local_messages.hpp>
#include <caf/event_based_actor.hpp>

namespace troupe::actors {

/// Turns losses into events of this node's journal: what job supervisors of any node tell, and what metadata says about
/// members and jobs. Child of the node supervisor, permanent; it has no state that a restart could lose.
class monitor_actor final : public caf::event_based_actor {
 public:
  monitor_actor(caf::actor_config& config, std::shared_ptr<const node_context> context);
  const char* name() const override { return "monitor"; }
  caf::behavior make_behavior() override;

 private:
  const std::shared_ptr<const node_context> context_;
};

}  // namespace troupe::actors
