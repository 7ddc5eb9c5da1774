#include <tests/simulation/simulation.hpp>
#include <troupe/base/codec.hpp>

/// Clients: one operation at a time each, asked again (with the same request id) at another member until it is
/// answered.
namespace troupe::simulation {

namespace {
constexpr sim_time patience_min = 40 * millisecond, patience_max = 500 * millisecond;
}

void simulation::think(client& c) {
  if (stopping_) return;
  // Once all is healed, only so much that a hang shows.
  const auto think_max = healed_ ? std::max(swarm_.think_max, 80 * millisecond) : swarm_.think_max;
  time_.after(random_.between(0, think_max), [this, &c] { begin(c); });
}

void simulation::begin(client& c) {
  if (stopping_) return;
  c.operation = ++next_operation_;
  owners_[c.operation] = c.number;
  // Some only read: they stay with a leader that was cut off for as long as it answers.
  c.is_read = c.number % 3 == 1 || random_.per_mille(swarm_.read_per_mille);
  c.what = {c.operation,
            static_cast<std::uint8_t>(random_.below(3)),
            static_cast<std::uint8_t>(random_.below(8)),
            random_.below(1000),
            random_.below(4),
            bytes(random_.below(swarm_.padding_max + 1), 'x')};
  c.floor = check_.begins();
  attempt(c);
}

void simulation::attempt(client& c) {
  const auto number = ++c.attempt;
  const auto operation = c.operation;
  auto& n = nodes_[c.target];
  if (!lost())
    time_.after(delay(), [this, &n, who = c.number, operation, is_read = c.is_read,
                          what = c.is_read ? command{} : c.what, start = n.start] {
      n.deliver(
          [this, &n, who, operation, is_read, what, start] {
            if (n.start == start) ask(n, who, operation, is_read, what);
          },
          true);
    });
  time_.after(random_.between(patience_min, patience_max), [this, &c, number, operation] {
    if (c.operation != operation || c.attempt != number) return;
    c.target = random_.below(nodes_.size());
    attempt(c);
  });
}

void simulation::ask(node& n, std::size_t /*client_number*/, std::uint64_t operation, bool is_read,
                     const command& what) {
  if (is_read) {
    const consensus::read_id id{++n.next_read};
    n.reads[id.value] = operation;
    if (!n.raft->read(local(n), id)) {
      n.reads.erase(id.value);
      redirect(n, operation);
    }
  } else if (const auto index = n.raft->propose(local(n), codec::encode(what))) {
    n.proposals[*index] = {n.raft->term(), operation};
  } else {
    redirect(n, operation);
  }
  carry_out(n);
}

void simulation::respond(std::uint64_t operation, std::function<void(client&)> with) {
  if (lost()) return;
  time_.after(delay(), [this, operation, with = std::move(with)] {
    const auto owner = owners_.find(operation);
    if (owner != owners_.end()) with(clients_[owner->second]);
  });
}

void simulation::answer_write(node& /*n*/, std::uint64_t request, std::uint64_t value) {
  respond(request, [this, request, value](client& c) {
    check_.write_ends(c.floor, request, value);
    owners_.erase(c.operation);
    c.operation = 0;
    think(c);
  });
}

void simulation::answer_read(node& n, std::uint64_t operation) {
  const auto owner = owners_.find(operation);
  if (owner == owners_.end()) return;
  const auto key = clients_[owner->second].what.key;
  respond(operation, [this, at = n.state.applied(), key, value = n.state.value(key)](client& c) {
    check_.read_ends(c.floor, at, key, value);
    owners_.erase(c.operation);
    c.operation = 0;
    think(c);
  });
}

void simulation::redirect(node& n, std::uint64_t operation) {
  const auto hint = n.raft->leader();
  respond(operation, [this, hint](client& c) {
    const std::size_t slot = hint.value.octets[0];
    c.target = slot != 0 && slot <= nodes_.size() && random_.per_mille(900) ? slot - 1 : random_.below(nodes_.size());
    const auto operation_now = c.operation;
    time_.after(random_.between(1 * millisecond, 30 * millisecond), [this, &c, operation_now] {
      if (c.operation == operation_now && operation_now != 0) attempt(c);
    });
  });
}

}  // namespace troupe::simulation
