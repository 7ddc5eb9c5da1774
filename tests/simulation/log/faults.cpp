#include <tests/simulation/log/world.hpp>
#include <troupe/base/codec.hpp>

/// What goes wrong, and when.
namespace troupe::simulation::log {

void world::every(sim_time mean, void (world::*fault)()) {
  if (mean == 0) return;
  time_.after(random_.between(mean / 4, mean * 7 / 4), [this, mean, fault] {
    if (healed_) return;
    (this->*fault)();
    every(mean, fault);
  });
}

void world::schedule_faults() {
  every(swarm_.partitions_of_network, &world::split);
  every(swarm_.one_way_cuts, &world::one_way_cut);
  every(swarm_.leader_cuts, &world::cut_leader);
  every(swarm_.crashes, &world::crash_one);
  every(swarm_.power_losses, &world::lose_power);
  every(swarm_.pauses, &world::pause_one);
  every(swarm_.slow_disks, &world::slow_one);
  every(swarm_.failing_syncs, &world::fail_sync);
  every(swarm_.full_disks, &world::fill_disk);
  every(swarm_.bit_flips, &world::flip_bit);
  every(swarm_.wipes, &world::wipe_one);
  every(swarm_.clock_jumps, &world::jump_clock);
  every(swarm_.take_overs, &world::force_take_over);
  every(swarm_.drains, &world::drain_one);
  if (swarm_.burst != 0) every(300 * millisecond, &world::burst);
}

world::member& world::any() { return members_[random_.below(members_.size())]; }

world::member* world::some_log_leader() {
  std::vector<member*> leaders;
  for (auto& m : members_)
    if (m.up && !m.paused && !m.leaders.empty()) leaders.push_back(&m);
  return leaders.empty() ? nullptr : leaders[random_.below(leaders.size())];
}

world::member* world::member_of(member_id id) {
  for (auto& m : members_)
    if (m.id == id) return &m;
  return nullptr;
}

const world::member* world::member_of(member_id id) const {
  for (const auto& m : members_)
    if (m.id == id) return &m;
  return nullptr;
}

/// The newest metadata that anybody has applied.
const metadata::state* world::truth() const {
  const metadata::state* newest = nullptr;
  for (const auto& m : members_)
    if (m.up && (newest == nullptr || m.state->applied() > newest->applied())) newest = m.state.get();
  return newest;
}

void world::heal_cut(std::uint64_t cut) {
  time_.after(random_.between(20 * millisecond, swarm_.fault_duration_max), [this, cut] {
    if (cut != cut_number_) return;
    for (auto& row : cut_) row.assign(members_.size(), false);
    trace([] { return "the network is whole"; });
  });
}

void world::split() {
  ++out_.cuts;
  std::vector<bool> side(members_.size());
  for (std::size_t i = 0; i < side.size(); ++i) side[i] = random_.coin();
  for (std::size_t i = 0; i < side.size(); ++i)
    for (std::size_t j = 0; j < side.size(); ++j) cut_[i][j] = side[i] != side[j];
  trace([] { return "the network is split"; });
  heal_cut(++cut_number_);
}

void world::one_way_cut() {
  ++out_.cuts;
  const auto from = random_.below(members_.size()), to = random_.below(members_.size());
  const bool all = random_.coin();
  for (std::size_t other = 0; other < members_.size(); ++other)
    if (other != from && (all || other == to)) cut_[from][other] = true;
  trace([&] { return members_[from].name() + " is cut off one way"; });
  heal_cut(++cut_number_);
}

void world::cut_leader() {
  auto* leader = some_log_leader();
  if (leader == nullptr) return;
  ++out_.cuts;
  const auto slot = leader->slot, companion = random_.coin() ? random_.below(members_.size()) : slot;
  if (random_.coin())
    pause(*leader, random_.between(20 * millisecond, swarm_.fault_duration_max / 2 + 20 * millisecond));
  for (std::size_t i = 0; i < members_.size(); ++i)
    for (std::size_t j = 0; j < members_.size(); ++j)
      cut_[i][j] = (i == slot || i == companion) != (j == slot || j == companion);
  trace([&] { return members_[slot].name() + ", a leader, is cut off"; });
  heal_cut(++cut_number_);
}

void world::crash_one() {
  auto* leader = random_.coin() ? some_log_leader() : nullptr;
  crash_for_a_while(leader != nullptr ? *leader : any(), random_.coin());
}

void world::lose_power() {
  trace([] { return "all power is lost"; });
  for (auto& m : members_) crash_for_a_while(m, true);
}

void world::pause_one() {
  auto* leader = random_.coin() ? some_log_leader() : nullptr;
  pause(leader != nullptr ? *leader : any(),
        random_.between(20 * millisecond, swarm_.fault_duration_max + 20 * millisecond));
}

void world::slow_one() {
  auto& m = any();
  m.slow_until = time_.now() + random_.between(50 * millisecond, swarm_.fault_duration_max + 50 * millisecond);
  trace([&] { return m.name() + "'s disk is slow"; });
}

void world::fail_sync() {
  auto& m = any();
  if (m.up) m.sync_fails = true;
}

void world::fill_disk() {
  auto& m = any();
  m.full_until = time_.now() + random_.between(50 * millisecond, swarm_.fault_duration_max + 50 * millisecond);
  trace([&] { return m.name() + "'s disk is full"; });
}

bool world::is_intact(segment_id id, member_id holder, const metadata::state&) const {
  const auto* m = member_of(holder);
  const auto* f = m == nullptr ? nullptr : m->files->find(id);
  return f != nullptr && f->flips.empty();
}

/// R - 1 copies may be destroyed: one that is intact has to be left, and nobody may be about to choose another set.
bool world::may_destroy(const member& m, segment_id id) const {
  const auto* s = truth();
  if (swarm_.beyond_budget) return s != nullptr && s->find_open(id) != nullptr;
  if (s == nullptr || s->applied() < applied_first_) return false;  // whoever knows more is down
  if (const auto* g = s->find_segment(id)) {
    std::size_t others = 0;
    bool holds = false;
    for (const auto h : g->holders) {
      holds = holds || h == m.id;
      others += h != m.id && is_intact(id, h, *s) ? 1 : 0;
    }
    return !holds || others != 0;
  }
  const auto* open = s->find_open(id);
  if (open == nullptr) return true;
  std::size_t others = 0, leading = 0;
  for (const auto& r : open->replicas) {
    const auto* there = member_of(r.member);
    if (there == nullptr || !there->up || there->paused || there->self != r || there->sync_fails) return false;
    if (r.member != m.id && is_intact(id, r.member, *s)) ++others;
  }
  for (const auto& row : cut_)
    for (const bool c : row)
      if (c) return false;
  for (const auto& other : members_) {
    for (const auto& [where, l] : other.leaders) {
      const auto* p = s->find_partition(where.dataset, where.partition);
      if (p == nullptr || !p->log.open || p->log.open->id != id) continue;
      if (l.leader->state() != replication::log_leader::phase::leading || p->log.leader != other.self) return false;
      ++leading;
    }
  }
  return others != 0 && leading == 1;
}

/// The end of an open segment goes bad, and its member starts again.
void world::flip_tail() {
  const auto* s = truth();
  if (s == nullptr) return;
  for (const auto& [id, d] : s->datasets())
    for (const auto& p : d.partitions) {
      if (!p.log.open || random_.coin()) continue;
      const auto& r = p.log.open->replicas[random_.below(p.log.open->replicas.size())];
      auto* m = member_of(r.member);
      auto* f = m == nullptr ? nullptr : m->files->find(p.log.open->id);
      if (f == nullptr || f->synced < format::segment_header_bytes + 400 || !may_destroy(*m, p.log.open->id)) continue;
      f->flip(f->synced - 1 - random_.below(swarm_.beyond_budget ? 300 : 50),
              static_cast<char>(1U << random_.below(8)));
      ++out_.flips;
      trace([&] { return "the end of segment " + to_string(p.log.open->id) + " goes bad on " + m->name(); });
      if (random_.coin()) crash_for_a_while(*m, true);
      return;
    }
}

void world::flip_bit() {
  if (random_.per_mille(swarm_.tail_flips_per_mille)) return flip_tail();
  auto& m = any();
  if (m.files->all().empty()) return;
  const auto at = std::next(m.files->all().begin(), static_cast<std::ptrdiff_t>(random_.below(m.files->all().size())));
  auto* f = m.files->find(at->first);
  if (f->synced == 0 || !may_destroy(m, at->first)) return;
  // Mostly where records are; the header is most of a small file.
  auto place = random_.below(f->synced);
  if (f->synced > format::segment_header_bytes && random_.per_mille(900))
    place = format::segment_header_bytes + random_.below(f->synced - format::segment_header_bytes);
  f->flip(place, static_cast<char>(1U << random_.below(8)));
  ++out_.flips;
  trace([&] { return "a bit flips in segment " + to_string(at->first) + " of " + m.name(); });
}

bool world::voters_survive_without(const member& m) const {
  const consensus::configuration* first = nullptr;
  for (const auto& n : members_) {
    if (!n.up || n.paused || n.sync_fails) return false;
    if (n.voters.voters.empty()) continue;
    if (!n.raft->members_settled() || (first != nullptr && !(n.voters == *first))) return false;
    first = &n.voters;
  }
  if (first == nullptr) return false;
  std::size_t whole = 0;
  for (const auto& id : first->voters) whole += member_of(id) != nullptr && id != m.id ? 1 : 0;
  return whole >= first->majority();
}

bool world::may_wipe(const member& m) const {
  if (!voters_survive_without(m)) return false;
  for (const auto& [id, f] : m.files->all())
    if (!may_destroy(m, id)) return false;
  // Also what it should have a file of.
  const auto* s = truth();
  for (const auto& [id, d] : s->datasets())
    for (const auto& p : d.partitions) {
      for (const auto& g : p.segments)
        if (!may_destroy(m, g.id)) return false;
      if (!p.log.open) continue;
      for (const auto& r : p.log.open->replicas)
        if (r.member == m.id && !may_destroy(m, p.log.open->id)) return false;
    }
  return true;
}

void world::wipe_one() {
  auto& m = any();
  if (!may_wipe(m)) return;
  wipe(m);
  time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &m] { start(m); });
}

void world::jump_clock() {
  auto& m = any();
  m.wall_off_ms += random_.between(-3000, 3000);
  trace([&] { return m.name() + "'s wall clock jumps"; });
}

/// Somebody believes the leader to be gone, and is wrong: fencing alone has to make this safe.
void world::force_take_over() {
  auto& m = any();
  if (!m.up || m.paused || !m.registered) return;
  const auto where = producers_[random_.below(producers_.size())].where;
  if (m.leaders.contains(where)) return;
  auto options = swarm_.leader;
  options.cluster = cluster_;
  options.self = m.self;
  options.where = where;
  options.bug = bug_.in_room;
  auto& l = m.leaders[where];
  l.number = ++next_leader_;
  l.leader = std::make_unique<replication::log_leader>(options);
  trace([&] { return m.name() + " takes partition " + to_string(where.partition) + " over"; });
  l.leader->start(moment_of(m), *m.state, true);
  carry_out_leader(m, where);
}

void world::drain_one() {
  auto& by = any();
  auto& m = any();
  if (!by.up || by.paused) return;
  const bool on = draining_.empty();
  const auto id = on ? m.id : *draining_.begin();
  draining_.clear();
  if (on) draining_.insert(id);
  trace([&] { return "member " + to_string(id).substr(0, 4) + (on ? " drains" : " drains no longer"); });
  propose(by, metadata::drain_member{id, on}, [](const auto&) {});
}

void world::heal_all() {
  trace([] { return "everything is healed"; });
  healed_ = true;
  ++cut_number_;
  for (auto& row : cut_) row.assign(members_.size(), false);
  for (auto& m : members_) {
    m.slow_until = m.full_until = 0;
    m.sync_fails = false;
    if (m.paused) resume(m);
    if (!m.up) start(m);
  }
}

}  // namespace troupe::simulation::log
