#include <tests/simulation/simulation.hpp>

/// Messages as bytes of the production codec: late, lost, twice, in another order, or not in this direction.
namespace troupe::simulation {

sim_time simulation::delay() {
  if (!healed_ && random_.per_mille(swarm_.tail_per_mille)) return random_.between(0, swarm_.tail_delay_max);
  return random_.between(swarm_.delay_min, healed_ ? std::min(swarm_.delay_max, 1 * millisecond) : swarm_.delay_max);
}

bool simulation::lost() { return !healed_ && random_.per_mille(swarm_.loss_per_mille); }

void simulation::transmit(node& from, const consensus::message& m) {
  const std::size_t to = m.to.value.octets[0] - 1u;
  if (to >= nodes_.size()) return;
  if (cut_[from.slot][to] || lost()) return;
  auto raw = consensus::encode_message(m);
  if (raw.size() > consensus::message_bytes_max) return check_.fail(from.name() + " sends more than a frame holds");
  const auto arrive = [this, from_slot = from.slot, to, raw = std::make_shared<const bytes>(std::move(raw))] {
    if (cut_[from_slot][to]) return;
    auto& n = nodes_[to];
    const auto start = n.start;
    n.deliver(
        [this, &n, raw, start] {
          if (n.start != start) return;
          const auto decoded = consensus::decode_message(*raw);
          if (!decoded) return check_.fail(n.name() + " was sent what it refuses: " + decoded.error().message());
          trace([&] { return n.name() + " ◄ " + consensus::describe(*decoded); });
          n.raft->receive(local(n), *decoded);
          carry_out(n);
        },
        true);
  };
  time_.after(delay(), arrive);
  if (!healed_ && random_.per_mille(swarm_.duplicate_per_mille)) time_.after(delay(), arrive);
}

}  // namespace troupe::simulation
