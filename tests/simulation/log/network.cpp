#include <tests/simulation/log/world.hpp>

/// Messages: late, lost, twice, in another order, or not in this direction.
namespace troupe::simulation::log {

sim_time world::delay() {
  if (!healed_ && random_.per_mille(swarm_.tail_per_mille)) return random_.between(0, swarm_.tail_delay_max);
  return random_.between(swarm_.delay_min, healed_ ? std::min(swarm_.delay_max, 2 * millisecond) : swarm_.delay_max);
}

bool world::lost() { return !healed_ && random_.per_mille(swarm_.loss_per_mille); }

void world::transmit(std::size_t from, member& to, std::function<void(member&)> what) {
  if (cut_[from][to.slot] || lost()) return;
  const auto arrive = [this, from, &to, what = std::move(what)] {
    if (cut_[from][to.slot] || !to.up) return;
    to.deliver([&to, what] { what(to); }, true);
  };
  if (!healed_ && random_.per_mille(swarm_.duplicate_per_mille)) time_.after(delay(), arrive);
  time_.after(delay(), arrive);
}

}  // namespace troupe::simulation::log
