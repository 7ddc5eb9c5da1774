#include <tests/simulation/simulation.hpp>
#include <troupe/base/codec.hpp>

/// What goes wrong, and when.
namespace troupe::simulation {

using consensus::member_change;

void simulation::every(sim_time mean, void (simulation::*fault)()) {
  if (mean == 0) return;
  time_.after(random_.between(mean / 4, mean * 7 / 4), [this, mean, fault] {
    if (healed_) return;
    (this->*fault)();
    every(mean, fault);
  });
}

void simulation::schedule_faults() {
  every(swarm_.partitions, &simulation::partition);
  every(swarm_.one_way_cuts, &simulation::one_way_cut);
  every(swarm_.leader_cuts, &simulation::cut_leader);
  every(swarm_.crashes, &simulation::crash_one);
  every(swarm_.power_losses, &simulation::lose_power);
  every(swarm_.pauses, &simulation::pause_one);
  every(swarm_.slow_disks, &simulation::slow_one);
  every(swarm_.failing_syncs, &simulation::fail_sync);
  every(swarm_.wipes, &simulation::wipe_one);
  every(swarm_.transfers, &simulation::transfer);
  every(swarm_.membership, &simulation::change_members);
  every(swarm_.dances, &simulation::begin_dance);
  if (swarm_.burst != 0) every(500 * millisecond, &simulation::burst);
}

simulation::node& simulation::any() { return nodes_[random_.below(nodes_.size())]; }

simulation::node* simulation::some_leader() {
  std::vector<node*> leaders;
  for (auto& n : nodes_)
    if (n.up && !n.paused && n.raft->role() == consensus::role::leader) leaders.push_back(&n);
  return leaders.empty() ? nullptr : leaders[random_.below(leaders.size())];
}

void simulation::heal_cut(std::uint64_t cut) {
  time_.after(random_.between(20 * millisecond, swarm_.fault_duration_max), [this, cut] {
    if (cut != cut_number_) return;
    for (auto& row : cut_) row.assign(nodes_.size(), false);
    trace([] { return "the network is whole"; });
  });
}

void simulation::partition() {
  ++out_.cuts;
  std::vector<bool> side(nodes_.size());
  for (std::size_t i = 0; i < side.size(); ++i) side[i] = random_.coin();
  for (std::size_t i = 0; i < side.size(); ++i)
    for (std::size_t j = 0; j < side.size(); ++j) cut_[i][j] = side[i] != side[j];
  trace([] { return "the network is split"; });
  heal_cut(++cut_number_);
}

void simulation::one_way_cut() {
  ++out_.cuts;
  const auto from = random_.below(nodes_.size()), to = random_.below(nodes_.size());
  const bool all = random_.coin();
  for (std::size_t other = 0; other < nodes_.size(); ++other)
    if (other != from && (all || other == to)) cut_[from][other] = true;
  trace([&] { return nodes_[from].name() + " is cut off one way"; });
  heal_cut(++cut_number_);
}

void simulation::cut_leader() {
  auto* leader = some_leader();
  if (leader == nullptr) return;
  ++out_.cuts;
  // Alone, or with one follower that goes on believing it.
  const auto companion = random_.coin() ? random_.below(nodes_.size()) : leader->slot;
  if (random_.coin()) {
    // It hangs first, with answers on their way to it: when it wakes up, they look fresh, and nobody contradicts.
    pause(*leader, random_.between(20 * millisecond, swarm_.fault_duration_max / 2));
    time_.after(random_.between(0, 10 * millisecond), [this, slot = leader->slot, companion] {
      if (!healed_) isolate(slot, companion);
    });
  } else {
    isolate(leader->slot, companion);
  }
}

void simulation::isolate(std::size_t slot, std::size_t companion) {
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    for (std::size_t j = 0; j < nodes_.size(); ++j)
      cut_[i][j] = (i == slot || i == companion) != (j == slot || j == companion);
  trace([&] { return nodes_[slot].name() + ", a leader, is cut off"; });
  heal_cut(++cut_number_);
}

void simulation::crash_one() {
  auto* leader = random_.coin() ? some_leader() : nullptr;
  auto& n = leader != nullptr ? *leader : any();
  if (!n.up) return;
  crash(n);
  time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &n] { start(n); });
}

void simulation::lose_power() {
  trace([] { return "all power is lost"; });
  for (auto& n : nodes_) {
    if (!n.up) continue;
    crash(n);
    time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &n] { start(n); });
  }
}

void simulation::pause_one() {
  auto* leader = random_.coin() ? some_leader() : nullptr;
  pause(leader != nullptr ? *leader : any(), random_.between(20 * millisecond, swarm_.fault_duration_max));
}

void simulation::slow_one() {
  auto& n = any();
  n.slow_until = time_.now() + random_.between(100 * millisecond, swarm_.fault_duration_max);
  trace([&] { return n.name() + "'s disk is slow"; });
}

void simulation::fail_sync() {
  auto& n = any();
  if (n.up) n.sync_fails = true;
}

/// No more disks may go than the protocol allows: a majority of every configuration that could be in force keeps its
/// own.
bool simulation::survives(const consensus::configuration& c) const {
  std::size_t whole = 0;
  for (const auto& id : c.voters)
    for (const auto& n : nodes_) whole += n.id == id ? 1 : 0;
  return c.voters.empty() || whole >= c.majority();
}

bool simulation::calm() const {
  const node* first = nullptr;
  for (const auto& n : nodes_) {
    if (!n.up || n.paused || n.sync_fails) return false;
    if (n.members.voters.empty()) continue;
    if (!n.raft->members_settled()) return false;
    if (first != nullptr && !(n.members == first->members)) return false;
    first = &n;
  }
  return first != nullptr;
}

void simulation::wipe_one() {
  if (!calm()) return;
  auto& n = any();
  const auto members = n.members;
  if (members.voters.size() < 3 && members.is_voter(n.id)) return;
  auto without = members;
  std::size_t whole = 0;
  for (const auto& id : members.voters)
    for (const auto& other : nodes_) whole += other.id == id && other.slot != n.slot ? 1 : 0;
  if (members.voters.empty() || whole < members.majority()) return;
  wipe(n);
  time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &n] { start(n); });
}

void simulation::transfer() {
  auto* leader = some_leader();
  if (leader == nullptr) return;
  const auto& to = any();
  if (leader->raft->transfer(local(*leader), to.id))
    trace([&] { return leader->name() + " gives leadership to " + to.name(); });
  carry_out(*leader);
}

void simulation::burst() {
  auto* leader = some_leader();
  if (leader == nullptr) return;
  for (std::size_t i = 0; i < swarm_.burst; ++i) {
    const command c{++next_operation_, 1, static_cast<std::uint8_t>(random_.below(8)), 1, 0, {}};
    if (!leader->raft->propose(local(*leader), codec::encode(c))) break;
  }
  carry_out(*leader);
}

void simulation::change_members() {
  auto* leader = some_leader();
  if (leader == nullptr) return;
  const auto& now = leader->raft->members();
  // While a voter's disk is lost, only what the automatic choice would do.
  bool all_whole = true;
  for (const auto& id : now.voters) {
    bool there = false;
    for (const auto& n : nodes_) there = there || n.id == id;
    all_whole = all_whole && there;
  }
  if (!all_whole || random_.per_mille(200)) return repair_members();
  const auto steps = 1 + random_.below(2);
  for (std::size_t i = 0; i < steps; ++i) {
    auto& n = any();
    const member_change step{static_cast<member_change::kind>(random_.below(4)), n.id};
    const auto to = consensus::changed(leader->raft->members(), step);
    if (!to || !survives(*to)) continue;
    if (leader->raft->change(local(*leader), step))
      trace([&] { return leader->name() + " changes the members: " + n.name(); });
  }
  carry_out(*leader);
}

/// What the metadata leader will do with `next_change`, as far as it can know.
void simulation::repair_members() {
  auto* leader = some_leader();
  if (leader == nullptr || !leader->raft->leads_with_committed_entry() || !leader->raft->members_settled()) return;
  std::vector<consensus::member_view> views;
  for (const auto& n : nodes_)
    views.push_back({n.id, false, n.slot == leader->slot || leader->raft->in_contact(n.id, local(*leader)),
                     leader->raft->caught_up(n.id)});
  if (const auto step = consensus::next_change(leader->raft->members(), views, leader->id)) {
    const auto to = consensus::changed(leader->raft->members(), *step);
    if (to && survives(*to)) (void)leader->raft->change(local(*leader), *step).has_value();
  }
  carry_out(*leader);
}

void simulation::heal_all() {
  trace([] { return "everything is healed"; });
  healed_ = true;
  ++cut_number_;
  for (auto& row : cut_) row.assign(nodes_.size(), false);
  for (auto& n : nodes_) {
    n.slow_until = 0;
    n.sync_fails = false;
    if (n.paused) resume(n);
    if (!n.up) start(n);
  }
}

}  // namespace troupe::simulation
