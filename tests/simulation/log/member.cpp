#include <tests/simulation/log/world.hpp>
#include <troupe/base/codec.hpp>

/// A member: its starts and ends, its part in consensus, its metadata.
namespace troupe::simulation::log {

using namespace consensus;

namespace {
member_id id_of(std::size_t slot, unsigned generation) {
  member_id id;
  id.value.octets[0] = static_cast<std::uint8_t>(slot + 1);
  id.value.octets[1] = static_cast<std::uint8_t>(generation);
  return id;
}
constexpr std::size_t deferred_max = 3000;  // what sockets hold
constexpr sim_time ask_again = 60 * millisecond;
constexpr sim_time upkeep_interval = 100 * millisecond;
}  // namespace

std::string world::name(const member& m) const {
  return "m" + std::to_string(m.slot + 1) + (m.generation == 0 ? "" : "." + std::to_string(m.generation));
}

time_point world::local(const member& m) const {
  return time_point(duration(m.clock_offset + time_.now() + time_.now() / 1000 * m.clock_ppm / 1000));
}

sim_time world::global(const member& m, time_point t) const {
  const auto elapsed = t.time_since_epoch().count() - m.clock_offset;
  return static_cast<sim_time>(static_cast<double>(elapsed) / (1.0 + static_cast<double>(m.clock_ppm) / 1e6)) +
         2 * microsecond;
}

replication::moment world::moment_of(const member& m) const {
  return {local(m), 1'700'000'000'000 + time_.now() / millisecond + m.wall_off_ms};
}

void world::later(member& m, sim_time delay, std::function<void()> what) {
  time_.after(delay, [this, &m, start = m.start, what = std::move(what)] {
    if (m.start != start || !m.up) return;
    if (!m.paused) return what();
    deliver(m, [&m, start, what] {
      if (m.start == start && m.up) what();
    });
  });
}

void world::deliver(member& m, std::function<void()> what) {
  if (!m.up) return;
  if (!m.paused) return what();
  if (m.deferred.size() < deferred_max) m.deferred.push_back(std::move(what));
}

void world::start(member& m) {
  if (m.up) return;
  m.id = id_of(m.slot, m.generation);
  if (auto opened = m.raft_disk->reopen(); !opened)
    return check_.fail(name(m) + " refuses its disk: " + opened.error().message());
  auto found = m.raft_disk->load(m.generation == 0 ? first_voters_ : configuration{});
  if (!found) return check_.fail(name(m) + " refuses its disk: " + found.error().message());
  m.up = true;
  m.paused = false;
  ++m.start;
  m.self = {m.id, incarnation{++m.files->incarnation}};
  m.registered = false;
  m.state = std::make_unique<metadata::state>();
  if (found->latest.index.value != 0 && found->latest.state) {
    auto restored = metadata::state::restore(*found->latest.state);
    if (!restored) return check_.fail(name(m) + " can't restore its metadata: " + restored.error().message());
    *m.state = std::move(*restored);
  }
  m.snapshot_at = found->latest.index;
  auto options = swarm_.raft;
  options.cluster = cluster_;
  options.self = m.id;
  options.seed = random_.next();
  m.raft = std::make_unique<raft>(options, std::move(*found), local(m));
  m.voters = m.raft->members();
  auto of_replica = swarm_.replica;
  of_replica.cluster = cluster_;
  of_replica.self = m.self;
  of_replica.bug = bug_.in_room;
  m.replica = std::make_unique<replication::replica>(of_replica, m.files->promises, moment_of(m));
  m.repairs = std::make_unique<replication::repair_planner>(
      replication::repair_options{.tasks_max = 4, .next_target_after = std::chrono::seconds(1)});
  m.replica_timer.reset();
  m.disk_free = time_.now();
  trace([&] { return name(m) + " starts, incarnation " + to_string(m.self.incarnation); });
  carry_out_raft(m);
  register_self(m);
  later(m, static_cast<sim_time>(random_.below(upkeep_interval)), [this, &m] { upkeep(m); });
}

/// Proposes itself until metadata knows it as it runs now.
void world::register_self(member& m) {
  metadata::member who;
  who.id = m.id;
  who.address = "127.0.0.1:" + std::to_string(20000 + m.slot);
  who.incarnation = m.self.incarnation;
  who.name = "node" + std::to_string(m.slot + 1) + "." + std::to_string(m.generation);
  propose(m, metadata::register_member{who}, [this, &m](const auto& answer) {
    if (answer) {
      m.registered = true;
    } else {
      check_.fail(name(m) + " may not register: " + answer.error().message());
    }
  });
}

void world::crash(member& m, bool power) {
  if (!m.up) return;
  trace([&] { return name(m) + (power ? " loses power" : " crashes"); });
  ++out_.crashes;
  for (std::size_t i = 0; i < m.raft_queue.size() && m.raft_writing; ++i) {
    m.raft_disk->write_torn(m.raft_queue[i], random_);
    break;
  }
  m.raft_queue.clear();
  m.raft_writing = false;
  // With policy `seal` a process that ends leaves what it wrote to the kernel; only a loss of power takes it.
  if (power && swarm_.sync == metadata::sync_policy::seal) lose_tails(m);
  if (power || swarm_.sync == metadata::sync_policy::batch) m.files->lose_power(random_);
  m.sync_fails = false;
  m.up = m.paused = false;
  ++m.start;
  m.raft.reset();
  m.replica.reset();
  m.leaders.clear();
  m.proposals.clear();
  m.copying.clear();
  m.removals.clear();
  m.deferred.clear();
  m.registered = false;
  lost_connection(m);
}

/// With policy `seal` a segment's tail may go with the power of all its replicas that have no rot, and only then: what
/// stands behind a rotten batch cannot be told from what was never written, so a rotten copy keeps no tail either.
void world::lose_tails(member& m) {
  const auto* s = truth();
  if (s == nullptr) return;
  for (const auto& [id, f] : m.files->all()) {
    const auto* open = s->find_open(id);
    if (open == nullptr) continue;
    auto& gone = powerless_[id];
    gone.insert(m.id);
    if (std::all_of(open->replicas.begin(), open->replicas.end(),
                    [&](const auto& r) { return gone.contains(r.member) || !is_intact(id, r.member, *s); }))
      check_.forgive(id);
  }
}

void world::crash_for_a_while(member& m, bool power) {
  if (!m.up) return;
  crash(m, power);
  time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &m] { start(m); });
}

void world::wipe(member& m) {
  crash(m, true);
  trace([&] { return name(m) + " loses its disk"; });
  ++out_.wipes;
  const auto kept = m.files->incarnation;
  m.raft_disk->wipe();
  m.files->wipe();
  if (bug_.in_owner == owner_bug::wiped_keeps_identity)
    m.files->incarnation = kept;
  else
    ++m.generation;
  m.id = id_of(m.slot, m.generation);
  m.voters = {};
}

void world::pause(member& m, sim_time how_long) {
  if (!m.up || m.paused) return;
  trace([&] { return name(m) + " hangs for " + std::to_string(how_long / millisecond) + " ms"; });
  m.paused = true;
  time_.after(how_long, [this, &m, start = m.start] {
    if (m.start == start) resume(m);
  });
}

void world::resume(member& m) {
  if (!m.paused) return;
  trace([&] { return name(m) + " goes on"; });
  m.paused = false;
  auto waiting = std::exchange(m.deferred, {});
  const auto start = m.start;
  for (auto& what : waiting)
    if (m.start == start && m.up && !m.paused) what();
}

// ---- consensus ----

void world::carry_out_raft(member& m) {
  const auto start = m.start;
  for (;;) {
    auto effects = m.raft->take_effects();
    if (effects.empty()) return;
    for (const auto& e : effects) {
      perform_raft(m, e);
      if (m.start != start || !m.up || check_.failure()) return;
    }
  }
}

void world::perform_raft(member& m, const effect& e) {
  struct visitor {
    world& w;
    member& m;
    void operator()(const effects::send& what) const {
      const std::size_t to = what.what.to.value.octets[0] - 1u;
      if (to >= w.members_.size()) return;
      if (w.cut_[m.slot][to]) return;
      auto raw = std::make_shared<const bytes>(encode_message(what.what));
      w.transmit(m.slot, w.members_[to], [&w = w, raw](member& n) {
        const auto decoded = decode_message(*raw);
        if (!decoded) return w.check_.fail(w.name(n) + " was sent what it refuses: " + decoded.error().message());
        n.raft->receive(w.local(n), *decoded);
        w.carry_out_raft(n);
      });
    }
    void operator()(const effects::persist& what) const {
      m.raft_queue.push_back(what);
      w.begin_raft_write(m);
    }
    void operator()(const effects::set_timer& what) const {
      const auto number = ++m.raft_timer;
      w.time_.at(w.global(m, what.at), [&w = w, &m = m, number, start = m.start] {
        if (m.start != start || m.raft_timer != number || !m.up) return;
        w.deliver(m, [&w, &m, start] {
          if (m.start != start || !m.up) return;
          m.raft->tick(w.local(m));
          w.carry_out_raft(m);
        });
      });
    }
    void operator()(const effects::apply& what) const { w.apply(m, what); }
    void operator()(const effects::restore& what) const {
      auto restored = metadata::state::restore(*what.from.state);
      if (!restored) return w.check_.fail(w.name(m) + " can't restore a snapshot: " + restored.error().message());
      *m.state = std::move(*restored);
      m.snapshot_at = what.from.index;
      for (auto& [id, p] : m.proposals) {
        const auto* known = m.state->answer_of(id);
        if (known != nullptr && !p.done) {
          p.done = true;
          w.later(m, 0, [then = std::move(p.then), known = *known] { then(known); });
        }
      }
      w.after_apply(m);
    }
    void operator()(const effects::read_ready&) const {}
    void operator()(const effects::read_failed&) const {}
    void operator()(const effects::role_changed& what) const {
      if (what.now != role::leader) return;
      ++w.out_.elections;
      w.trace([&] { return w.name(m) + " leads metadata, term " + to_string(what.term); });
    }
    void operator()(const effects::members_changed& what) const { m.voters = what.members; }
    void operator()(const effects::alarm& what) const { w.check_.fail(w.name(m) + ": " + what.what); }
  };
  std::visit(visitor{*this, m}, e);
}

void world::begin_raft_write(member& m) {
  if (m.raft_writing || m.raft_queue.empty()) return;
  m.raft_writing = true;
  auto takes = random_.between(swarm_.disk_min, std::min(swarm_.disk_max, 5 * millisecond));
  if (time_.now() < m.slow_until) takes += random_.between(20 * millisecond, 200 * millisecond);
  const auto count = m.raft_queue.size();
  later(m, takes, [this, &m, count] {
    const auto number = m.raft_queue[count - 1].number;
    for (std::size_t i = 0; i < count; ++i) {
      m.raft_disk->write(m.raft_queue.front());
      m.raft_queue.pop_front();
    }
    m.raft_writing = false;
    m.raft->persisted(local(m), number);
    begin_raft_write(m);
    carry_out_raft(m);
  });
}

// ---- metadata ----

void world::apply(member& m, const effects::apply& what) {
  std::vector<std::pair<std::function<void(const result<metadata::response>&)>, result<metadata::response>>> answers;
  for (const auto& e : what.entries) {
    if (e.index <= m.state->applied()) continue;
    metadata::envelope entry;
    if (e.kind == entry_kind::command) {
      auto decoded = codec::decode<metadata::envelope>(e.payload, "entry");
      if (!decoded) return check_.fail("an entry does not decode: " + decoded.error().message());
      entry = std::move(*decoded);
    } else {
      entry.command = metadata::noop{};
    }
    if (bug_.in_owner == owner_bug::commit_without_epoch_check)
      if (auto* c = std::get_if<metadata::seal_and_open>(&entry.command))
        if (const auto* p = m.state->find_partition(c->dataset, c->partition); p != nullptr && p->log.leader) {
          c->epoch = p->log.epoch;
          c->leader = *p->log.leader;
        }
    const bool repeated = m.state->answer_of(entry.id) != nullptr && !entry.id.is_nil();
    std::optional<segment_id> sealed;
    if (const auto* c = std::get_if<metadata::seal_and_open>(&entry.command); c != nullptr && c->seal)
      sealed = c->seal->id;
    const auto answer = m.state->apply(e.index, entry);
    if (e.index > applied_first_) {
      applied_first_ = e.index;
      ++out_.entries;
      if (!repeated) check_.applied(entry.command, answer, *m.state);
      if (const auto* c = std::get_if<metadata::create_dataset>(&entry.command); c != nullptr && answer)
        dataset_ = answer->dataset;
      trace([&] {
        return "metadata " + to_string(e.index) + ": command " + std::to_string(entry.command.index()) +
               (answer
                    ? sealed
                          ? ", sealed segment " + to_string(*sealed) + " at " +
                                std::to_string(std::get<metadata::seal_and_open>(entry.command).seal->records) +
                                ", holders " +
                                std::to_string(std::get<metadata::seal_and_open>(entry.command).seal->holders.size()) +
                                ", next " + to_string(answer->first_segment)
                          : ""
                    : ": " + answer.error().message());
      });
    }
    if (sealed && answer) {
      const auto* g = m.state->find_segment(*sealed);
      m.replica->settled(moment_of(m), *sealed, g != nullptr ? std::optional(record_offset{g->records}) : std::nullopt);
    }
    const auto waiting = m.proposals.find(entry.id);
    if (waiting != m.proposals.end() && !waiting->second.done) {
      waiting->second.done = true;
      answers.emplace_back(std::move(waiting->second.then), answer);
    }
  }
  std::erase_if(m.proposals, [](const auto& p) { return p.second.done; });
  const auto start = m.start;
  for (auto& [then, answer] : answers) {
    then(answer);
    if (m.start != start || !m.up) return;
  }
  if (swarm_.snapshot_every != 0 && m.state->applied().value >= m.snapshot_at.value + swarm_.snapshot_every) {
    m.snapshot_at = m.state->applied();
    m.raft->compact(local(m), m.snapshot_at, std::make_shared<const bytes>(m.state->snapshot()));
  }
  after_apply(m);
}

/// The state has changed: leaders hear of it, and who is to lead begins. A member that finds itself declared dead
/// starts again, as a node without a lease does.
void world::after_apply(member& m) {
  const auto* me = m.state->find_member(m.id);
  if (m.registered && me != nullptr && me->incarnation == m.self.incarnation && !m.state->is_live(m.id)) {
    trace([&] { return name(m) + " hears that it was declared dead"; });
    crash(m, false);
    time_.after(5 * millisecond, [this, &m] { start(m); });
    return;
  }
  carry_out_replica(m);
  const auto start = m.start;
  std::vector<key> running;
  for (const auto& [where, l] : m.leaders) running.push_back(where);
  for (const auto& where : running) {
    const auto at = m.leaders.find(where);
    if (at == m.leaders.end()) continue;
    at->second.leader->metadata_changed(moment_of(m), *m.state);
    carry_out_leader(m, where);
    if (m.start != start || !m.up) return;
  }
  run_leaders(m);
}

void world::propose(member& m, metadata::command what, std::function<void(const result<metadata::response>&)> then) {
  request_id id;
  store_le(reinterpret_cast<char*>(id.value.octets.data()), random_.next());
  store_le(reinterpret_cast<char*>(id.value.octets.data()) + 8, random_.next() | 1);
  m.proposals.emplace(id, proposal{std::move(what), std::move(then), false});
  forward(m, id);
}

/// Hands the proposal to whoever leads the metadata, again and again until its answer is applied here.
void world::forward(member& m, request_id id) {
  const auto at = m.proposals.find(id);
  if (at == m.proposals.end()) return;
  metadata::envelope e{id, moment_of(m).unix_ms, at->second.what};
  auto payload = std::make_shared<const bytes>(codec::encode(e));
  const auto hint = m.raft->leader();
  const std::size_t to = hint.value.octets[0] == 0 ? random_.below(members_.size()) : hint.value.octets[0] - 1u;
  const auto take = [this, id, payload](member& n) {
    if (n.raft->role() != role::leader || n.state->answer_of(id) != nullptr) return;
    (void)n.raft->propose(local(n), *payload).has_value();
    carry_out_raft(n);
  };
  if (to == m.slot)
    later(m, 1 * microsecond, [take, &m] { take(m); });
  else if (to < members_.size())
    transmit(m.slot, members_[to], take);
  later(m, ask_again + random_.between(0, ask_again), [this, &m, id] { forward(m, id); });
}

}  // namespace troupe::simulation::log
