#include <actors/monitoring/monitor.hpp>
#include <troupe/telemetry/journal.hpp>

namespace troupe::actors {

monitor_actor::monitor_actor(caf::actor_config& config, std::shared_ptr<const node_context> context)
    : caf::event_based_actor(config), context_(std::move(context)) {}

caf::behavior monitor_actor::make_behavior() {
  return {
      [this](const message::happening& h) { context_->journal.append(h.kind, h.node, h.text, h.fields); },
      [this](local::stop) { quit(); },
  };
}

}  // namespace troupe::actors
