#include <tests/simulation/log/world.hpp>
#include <troupe/base/codec.hpp>

/// A member's part in consensus, and the metadata that it applies.
namespace troupe::simulation::log {

using namespace consensus;

namespace {
constexpr sim_time ask_again = 60 * millisecond;
}

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
        if (!decoded) return w.check_.fail(n.name() + " was sent what it refuses: " + decoded.error().message());
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
      w.time_.at(m.global(what.at), [&w = w, &m = m, number, start = m.start] {
        if (m.start != start || m.raft_timer != number || !m.up) return;
        m.deliver(
            [&w, &m, start] {
              if (m.start != start || !m.up) return;
              m.raft->tick(w.local(m));
              w.carry_out_raft(m);
            },
            false);
      });
    }
    void operator()(const effects::apply& what) const { w.apply(m, what); }
    void operator()(const effects::restore& what) const {
      auto restored = metadata::state::restore(*what.from.state);
      if (!restored) return w.check_.fail(m.name() + " can't restore a snapshot: " + restored.error().message());
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
      w.trace([&] { return m.name() + " leads metadata, term " + to_string(what.term); });
    }
    void operator()(const effects::members_changed& what) const { m.voters = what.members; }
    void operator()(const effects::alarm& what) const { w.check_.fail(m.name() + ": " + what.what); }
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
    const bool repeated = m.state->answer_of(entry.id) != nullptr && !entry.id.is_nil();
    std::optional<segment_id> sealed;
    if (const auto* c = std::get_if<metadata::seal_and_open>(&entry.command); c != nullptr && c->seal)
      sealed = c->seal->id;
    const auto about = job_of(entry.command);
    std::optional<metadata::job> before;
    if (const auto* j = about ? m.state->find_job(*about) : nullptr; j != nullptr && e.index > applied_first_)
      before = *j;
    const auto asked = entry;
    if (about) plant_in_job(*m.state, entry);
    auto answer = m.state->apply(e.index, entry);
    if (bug_.in_owner == owner_bug::output_committed_twice && !answer &&
        answer.error().code() == errc::already_exists && std::holds_alternative<metadata::commit_task>(entry.command))
      answer = metadata::response{.job = *about};
    if (e.index > applied_first_) {
      applied_first_ = e.index;
      ++out_.entries;
      if (about && !repeated)
        if (auto wrong = job_check_.applied(asked.command, answer.has_value(), before ? &*before : nullptr, *m.state))
          check_.fail(std::move(*wrong));
      if (!repeated) check_.applied(entry.command, answer, *m.state);
      if (const auto* c = std::get_if<metadata::create_dataset>(&entry.command); c != nullptr && answer)
        dataset_ = answer->dataset;
      if (sealed && answer) replicas_.erase(*sealed);
      if (const auto* open = answer ? m.state->find_open(answer->first_segment) : nullptr; open != nullptr)
        for (const auto& r : open->replicas) replicas_[open->id].insert(r.member);
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
    if (bug_.in_owner == owner_bug::commit_without_epoch_check && sealed && !answer) {
      const auto& c = std::get<metadata::seal_and_open>(entry.command);
      if (const auto* p = m.state->find_partition(c.dataset, c.partition); p != nullptr && p->log.epoch > c.epoch)
        answer = metadata::response{
            .dataset = c.dataset, .first_segment = p->log.open ? p->log.open->id : segment_id{}, .epoch = p->log.epoch};
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
    trace([&] { return m.name() + " hears that it was declared dead"; });
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
  if (m.start == start && m.up) jobs_changed(m);
}

/// Mistakes that the state machine could make with commits of jobs.
void world::plant_in_job(const metadata::state& s, metadata::envelope& e) const {
  auto* const c = std::get_if<metadata::commit_task>(&e.command);
  const auto* j = c != nullptr ? s.find_job(c->job) : nullptr;
  if (j == nullptr) return;
  if (bug_.in_owner == owner_bug::job_commit_without_epoch_check) c->epoch = j->supervisor_epoch;
  const auto* where = s.find_member(c->commit.where);
  if (bug_.in_owner == owner_bug::dead_attempts_commit && where != nullptr)
    c->commit.where_incarnation = where->incarnation;
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
  if (bug_.in_owner == owner_bug::output_committed_twice && std::holds_alternative<metadata::commit_task>(e.command))
    store_le(reinterpret_cast<char*>(e.id.value.octets.data()) + 8, random_.next() | 1);  // a request of its own
  auto payload = std::make_shared<const bytes>(codec::encode(e));
  const auto hint = m.raft->leader();
  const std::size_t to = hint.value.octets[0] == 0 ? random_.below(members_.size()) : hint.value.octets[0] - 1u;
  const auto take = [this, id, payload](member& n) {
    if (n.raft->role() != role::leader || n.state->answer_of(id) != nullptr) return;
    (void)n.raft->propose(local(n), *payload).has_value();
    carry_out_raft(n);
  };
  if (!healed_ && std::holds_alternative<metadata::commit_task>(e.command) &&
      random_.per_mille(swarm_.late_commits_per_mille)) {
    // It waits somewhere on its way, and comes whatever has become of its sender since.
    const auto late = random_.between(100, 1200) * millisecond;
    time_.after(late, [this, take] {
      for (auto& n : members_)
        if (n.up && !n.paused) take(n);
    });
    return later(m, late + ask_again, [this, &m, id] { forward(m, id); });
  }
  if (to == m.slot)
    later(m, 1 * microsecond, [take, &m] { take(m); });
  else if (to < members_.size())
    transmit(m.slot, members_[to], take);
  later(m, ask_again + random_.between(0, ask_again), [this, &m, id] { forward(m, id); });
}

}  // namespace troupe::simulation::log
