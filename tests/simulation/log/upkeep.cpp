#include <tests/simulation/log/world.hpp>

/// What members do now and then: repair, scrub, retention, files that nobody wants, who is alive, who votes.
namespace troupe::simulation::log {

using namespace replication;

void world::upkeep(member& m) {
  later(m, upkeep_interval + random_.between(0, 20 * millisecond), [this, &m] { upkeep(m); });
  if (m.raft->role() == consensus::role::leader && m.raft->leads_with_committed_entry()) {
    detect_failures(m);
    repair_voters(m);
    if (swarm_.keep_bytes != 0 && random_.per_mille(200))
      for (const auto& trim : plan_retention(*m.state, moment_of(m).unix_ms)) propose(m, trim, [](const auto&) {});
  }
  if (!m.registered) return;
  check_queues(m);
  run_leaders(m);
  for (const auto& task : m.repairs->plan(local(m), *m.state, m.id)) repair(m, task);
  for (const auto& removal : m.repairs->plan_removals(*m.state, m.id)) ask_others(m, removal);
  scrub(m);
  collect_garbage(m);
}

/// A copy is given up when every other live holder has looked at its own.
void world::ask_others(member& m, const metadata::remove_holder& removal) {
  const auto* g = m.state->find_segment(removal.segment);
  auto& r = m.removals[removal.segment];
  if (time_.now() < r.again) return;
  r = {removal, {}, time_.now() + 500 * millisecond};
  for (const auto h : g->holders) {
    if (h == m.id || !m.state->is_live(h)) continue;
    const replica_ref who{h, m.state->find_member(h)->incarnation};
    r.waiting.insert(h);
    message asked;
    asked.cluster = cluster_;
    asked.from = m.self;
    asked.to = who;
    asked.where = {removal.dataset, partition_index{0}};
    asked.segment = removal.segment;
    asked.request = 1;
    asked.body = verify_request{g->digest};
    send_log(m, asked);
  }
}

void world::verified(member& m, const replication::message& what) {
  const auto at = m.removals.find(what.segment);
  if (at == m.removals.end()) return;
  if (std::get<verify_response>(what.body).why != refusal::none) {
    m.removals.erase(at);
    return;
  }
  at->second.waiting.erase(what.from.member);
  if (!at->second.waiting.empty()) return;
  propose(m, at->second.what, [](const auto&) {});
  m.removals.erase(at);
}

/// Copies a segment from a member that holds it now, looks at every byte, and only then counts.
void world::repair(member& m, const copy_task& task) {
  if (m.replica->busy_with(task.segment)) return;
  if (m.copying.contains(task.segment) || m.copying.size() >= 2 || time_.now() < m.full_until) return;
  const bool careless = bug_.in_owner == owner_bug::repair_from_removed_holder;
  const bool trusting = bug_.in_room == planted_bug::digest_not_compared;
  auto source = task.sources[random_.below(task.sources.size())];
  auto* from = member_of(source);
  const auto made = m.state->find_segment(task.segment)->made(source);
  if (careless) {
    for (auto& other : members_)
      if (other.up && other.id != m.id && other.files->find(task.segment) != nullptr && random_.coin()) from = &other;
  }
  if (from == nullptr || !from->up || from->paused || cut_[from->slot][m.slot] || cut_[m.slot][from->slot]) return;
  m.copying.insert(task.segment);
  later(m, 2 * delay() + random_.between(swarm_.disk_min, swarm_.disk_max),
        [this, &m, from, task, source, made, careless, trusting] {
          const auto* f = from->up ? from->files->find(task.segment) : nullptr;
          const auto give_up = [&] { m.copying.erase(task.segment); };
          if (f == nullptr) return give_up();
          const auto batches = whole_batches(f->content, task.segment);
          const bool fits = batches && xxh3_128(*batches) == task.digest;
          if (!fits && !careless && !trusting) {
            give_up();
            return propose(m, metadata::report_damage{task.dataset, task.segment, source, made}, [](const auto&) {});
          }
          if (m.files->find(task.segment) != nullptr) m.files->remove(task.segment);
          m.files->put(task.segment, f->content);
          propose(m, metadata::add_holder{task.dataset, task.segment, m.self, source, task.digest},
                  [this, &m, id = task.segment](const auto& answer) {
                    m.copying.erase(id);
                    trace([&] {
                      return m.name() + (answer ? " holds segment " : " may not hold segment ") + to_string(id);
                    });
                  });
        });
}

/// Looks at one of its copies now and then, at the end at all of them; the planner's own clock would take days.
void world::scrub(member& m) {
  if (m.files->all().empty()) return;
  const auto chosen = random_.below(m.files->all().size());
  std::size_t i = 0;
  for (const auto& [id, f] : m.files->all()) {
    if (!healed_ && i++ != chosen) continue;
    const auto* g = m.state->find_segment(id);
    if (g == nullptr || std::find(g->holders.begin(), g->holders.end(), m.id) == g->holders.end()) continue;
    if (healed_ && f.flips.empty()) continue;  // nothing to be found, and time is dear
    const auto batches = whole_batches(f.content, g->id);
    if (batches && xxh3_128(*batches) == g->digest) continue;
    trace([&] { return m.name() + " finds its copy of segment " + to_string(g->id) + " damaged"; });
    propose(m, metadata::report_damage{dataset_, g->id, m.id, g->made(m.id)}, [](const auto&) {});
  }
}

/// Files that metadata gives to others, or knows no more.
void world::collect_garbage(member& m) {
  std::vector<segment_id> gone;
  segment_id newest;
  for (const auto& [id, d] : m.state->datasets())
    for (const auto& p : d.partitions) {
      if (!p.segments.empty()) newest = std::max(newest, p.segments.back().id);
      if (p.log.open) newest = std::max(newest, p.log.open->id);
    }
  for (const auto& [id, f] : m.files->all()) {
    if (m.copying.contains(id) || m.state->find_open(id) != nullptr) continue;
    const auto* g = m.state->find_segment(id);
    const bool trash = g != nullptr ? std::find(g->holders.begin(), g->holders.end(), m.id) == g->holders.end()
                                    : id < newest && !m.state->owner_of(id);
    if (trash && ++m.settle_seen[id] > 3) gone.push_back(id);
  }
  for (const auto id : gone) {
    m.files->remove(id);
    m.settle_seen.erase(id);
  }
}

/// The metadata leader's verdicts: silent members are dead; members whose disk is gone are given up.
void world::detect_failures(member& m) {
  for (const auto& [id, who] : m.state->members()) {
    const auto* there = member_of(id);
    const bool exists = there != nullptr;
    if (who.state == metadata::member_state::dead) {
      if (!exists && random_.per_mille(healed_ ? 500 : 100))
        propose(m, metadata::remove_member{id, healed_}, [](const auto&) {});
      continue;
    }
    if (id == m.id) continue;
    const bool heard = m.raft->members().contains(id) ? m.raft->in_contact(id, local(m)) : exists;
    auto& silent = m.settle_seen[segment_id{~std::uint64_t{0} - id.value.octets[0] * 256u - id.value.octets[1]}];
    silent = heard ? 0 : silent + 1;
    if (silent >= 5)
      propose(m, metadata::set_member_state{id, who.incarnation, metadata::member_state::dead, "silent"},
              [](const auto&) {});
  }
}

void world::repair_voters(member& m) {
  if (!m.raft->members_settled()) return;
  std::vector<consensus::member_view> views;
  for (const auto& n : members_)
    views.push_back({n.id, false, n.slot == m.slot || m.raft->in_contact(n.id, local(m)), m.raft->caught_up(n.id)});
  if (const auto step = consensus::next_change(m.raft->members(), views, m.id)) {
    const auto to = consensus::changed(m.raft->members(), *step);
    std::size_t whole = 0;
    if (to)
      for (const auto& id : to->voters) whole += member_of(id) != nullptr ? 1 : 0;
    if (to && whole >= to->majority()) (void)m.raft->change(local(m), *step).has_value();
  }
  carry_out_raft(m);
}

}  // namespace troupe::simulation::log
