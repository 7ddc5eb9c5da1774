#include <algorithm>
#include <tests/simulation/log/world.hpp>
#include <troupe/metadata/splits.hpp>

/// Jobs: their supervisors, which follow metadata from member to member, and the attempts at the members. As
/// actors/supervision/job_supervisor.cpp and node_attempts.cpp do it.
namespace troupe::simulation::log {

using namespace scheduling;

namespace {
constexpr sim_time tick_interval = 250 * millisecond;
constexpr time_ms silence_ms_max = 1000;  ///< then a node with attempts is asked what it has
constexpr time_ms start_grace_ms = 1000;  ///< a start that the node has not heard of is said again
constexpr std::uint32_t slots = 2;

std::string output_name(std::size_t k) { return "out" + std::to_string(k); }

metadata::module_info module_of(const member_id& holder) {
  metadata::module_info m;
  m.hash = std::string(64, 'a');
  m.name = "wc";
  m.size_bytes = 1000;
  m.holders = {holder};
  metadata::job_description d;
  d.name = "word_count";
  d.stages = 2;
  d.input_format = d.output_format = data_format::bytes;
  m.jobs.push_back(d);
  return m;
}
}  // namespace

time_ms world::job_time(const member& m) const {
  return std::chrono::duration_cast<std::chrono::milliseconds>(local(m).time_since_epoch()).count();
}

// ---- who wants jobs ----

/// Asks for what is not there yet, by way of anybody, until every output exists.
void world::want_jobs() {
  time_.after(300 * millisecond, [this] { want_jobs(); });
  const auto* s = truth();
  auto& m = any();
  if (s == nullptr || dataset_ == dataset_id{} || !m.up || m.paused || !m.registered) return;
  if (s->modules().empty()) {
    if (m.state->find_member(m.id) != nullptr) propose(m, metadata::load_module{module_of(m.id)}, [](const auto&) {});
    return;
  }
  for (std::size_t k = 0; k < swarm_.jobs; ++k) {
    if (time_.now() < 900 * millisecond + static_cast<sim_time>(k) * 400 * millisecond) break;
    const bool asked = std::any_of(s->jobs().begin(), s->jobs().end(), [&](const auto& j) {
      return j.second.output_name == output_name(k) && j.second.state != metadata::job_state::failed;
    });
    if (asked) continue;
    metadata::create_job c;
    c.job_name = "word_count";
    c.inputs = {"clicks"};
    c.output = output_name(k);
    propose(m, c, [](const auto&) {});
  }
}

std::optional<std::string> world::jobs_unsettled(const metadata::state& s) const {
  for (std::size_t k = 0; k < swarm_.jobs; ++k) {
    const auto done = std::count_if(s.jobs().begin(), s.jobs().end(), [&](const auto& j) {
      return j.second.output_name == output_name(k) && j.second.state == metadata::job_state::succeeded;
    });
    if (done != 1) return "a hang: the job for " + output_name(k) + " has not ended well";
    if (s.find_dataset(output_name(k)) == nullptr) return "output " + output_name(k) + " is not there at the end";
  }
  for (const auto& m : members_)
    if (!m.jobs->attempts.empty() || !m.jobs->supervised.empty())
      return "a hang: " + m.name() + " still works on jobs that have ended";
  return std::nullopt;
}

// ---- between members ----

/// A message of jobs: heard only by that member, and only from a sender that it knows as it runs now.
void world::send_job(member& from, member_id to, std::function<void(member&)> what) {
  if (to == from.id) return later(from, 1 * microsecond, [what = std::move(what), &from] { what(from); });
  const std::size_t slot = to.value.octets[0] - 1u;
  if (slot >= members_.size()) return;
  transmit(from.slot, members_[slot], [to, who = from.self, what = std::move(what)](member& n) {
    const auto* known = n.registered ? n.state->find_member(who.member) : nullptr;
    if (n.id == to && known != nullptr && known->incarnation == who.incarnation) what(n);
  });
}

/// After metadata has changed here, and now and then.
void world::jobs_changed(member& m) {
  if (swarm_.jobs == 0 || !m.registered) return;
  auto& host = *m.jobs;
  const auto& s = *m.state;
  std::vector<job_id> over;
  for (const auto& [id, one] : host.supervised) {
    const auto* j = s.find_job(id);
    if (j == nullptr || !s.running_jobs().contains(id) || j->supervisor != m.id || j->supervisor_epoch != one->epoch)
      over.push_back(id);
  }
  for (const auto id : over) host.supervised.erase(id);
  for (const auto id : s.running_jobs())
    if (s.find_job(id)->supervisor == m.id && !host.supervised.contains(id)) supervise(m, id);
  std::vector<job_id> mine;
  for (const auto& [id, one] : host.supervised) mine.push_back(id);
  for (const auto id : mine) tell_members(m, id);
  // What runs here for jobs that have ended, or waits for metadata.
  std::vector<attempt_key> waiting;
  for (auto at = host.attempts.begin(); at != host.attempts.end();) {
    if (s.find_job(at->first.job) != nullptr && !s.running_jobs().contains(at->first.job)) {
      host.queue.remove(at->first.job, at->first.what);
      at = host.attempts.erase(at);
      continue;
    }
    if (!at->second.planned) waiting.push_back(at->first);
    ++at;
  }
  std::erase_if(host.reports, [&](const auto& r) { return !s.running_jobs().contains(r.first.job); });
  for (const auto& which : waiting) plan_attempt(m, which);
  fill_slots(m);
}

void world::tick_jobs(member& m) {
  later(m, tick_interval, [this, &m] { tick_jobs(m); });
  auto& host = *m.jobs;
  for (const auto& [which, r] : host.reports) send_report(m, which);
  std::map<std::pair<job_id, member_id>, troupe::epoch> working;
  for (const auto& [which, a] : host.attempts) working[{which.job, a.supervisor}] = a.epoch;
  for (const auto& [whose, epoch] : working) send_progress(m, whose.first, epoch, whose.second);
  std::vector<job_id> mine;
  for (const auto& [id, one] : host.supervised) mine.push_back(id);
  for (const auto id : mine) {
    auto& one = *host.supervised.at(id);
    const auto now = job_time(m);
    std::map<member_id, time_ms> silent;
    for (const auto& [key, at] : one.sent)
      if (one.tracker.is_out(key.second)) silent[key.first] = std::max(silent[key.first], at);
    for (const auto& [who, at] : silent)
      if (now - std::max(one.heard[who], at) >= silence_ms_max)
        send_job(m, who, [this, id, epoch = one.epoch, by = m.id](member& n) { send_progress(n, id, epoch, by); });
    one.tracker.tick(now);
    flush_job(m, id);
  }
  jobs_changed(m);
}

// ---- a supervisor ----

job_supervision* world::supervision_of(member& m, job_id job, troupe::epoch epoch) {
  const auto at = m.jobs->supervised.find(job);
  return at == m.jobs->supervised.end() || at->second->epoch != epoch ? nullptr : at->second.get();
}

std::vector<worker_member> world::workers_of(const member& m) const {
  std::vector<worker_member> out;
  for (const auto& [id, who] : m.state->members()) {
    if (!m.state->is_live(id)) continue;
    const auto slot = id.value.octets[0] - 1u;
    out.push_back({id, who.incarnation, who.name, slots, !cut_[m.slot][slot] && !cut_[slot][m.slot]});
  }
  return out;
}

void world::supervise(member& m, job_id id) {
  const auto& j = *m.state->find_job(id);
  const auto splits = metadata::split_table::make(*m.state, j);
  if (!splits) return check_.fail("the input of job " + to_string(id) + " is gone: " + splits.error().message());
  job_input input;
  std::map<segment_id, std::uint32_t> positions;
  for (std::uint32_t t = 0; t < splits->size(); ++t) {
    const auto split = splits->at(task_index(t));
    const auto [at, is_new] = positions.emplace(split.segment, static_cast<std::uint32_t>(input.segments.size()));
    if (is_new) input.segments.push_back({split.segment, "clicks", m.state->holders_of(split.segment)});
    input.segment_of_task.push_back(at->second);
  }
  trace([&] { return m.name() + " supervises job " + to_string(id) + ", epoch " + to_string(j.supervisor_epoch); });
  std::vector<segment_id> inputs;
  for (const auto& [segment, position] : positions) inputs.push_back(segment);
  auto& one = *m.jobs->supervised.emplace(id, std::make_unique<job_supervision>(j, std::move(input), job_time(m)))
                   .first->second;
  one.inputs = std::move(inputs);
  one.forgets = bug_.in_owner == owner_bug::adoption_forgets_a_task && one.epoch.value > 1;
  const auto epoch = one.epoch;
  one.started = j.state != metadata::job_state::queued;
  if (!one.started)
    propose(m, metadata::start_job{id, epoch}, [this, &m, id, epoch](const auto& answer) {
      auto* const mine = supervision_of(m, id, epoch);
      if (mine == nullptr || !answer) return;
      mine->started = true;
      for (auto& go : std::exchange(mine->after_start, {})) go();
    });
  if (epoch.value > 1)
    for (const auto& who : workers_of(m))
      send_job(m, who.id, [this, id, epoch](member& n) { heard_of_job(n, id, epoch); });
  tell_members(m, id);
}

void world::tell_members(member& m, job_id id) {
  auto& one = *m.jobs->supervised.at(id);
  const auto& j = *m.state->find_job(id);
  for (const auto& segment : one.inputs) one.tracker.set_holders(job_time(m), segment, m.state->holders_of(segment));
  auto now = workers_of(m);
  if (now != one.members) {
    one.members = now;
    one.tracker.set_members(job_time(m), std::move(now), &j.stages);
  }
  flush_job(m, id);
}

void world::flush_job(member& m, job_id id) {
  const auto at = m.jobs->supervised.find(id);
  if (at == m.jobs->supervised.end()) return;
  auto& one = *at->second;
  for (bool again = true; again;) {
    again = false;
    for (auto& e : one.tracker.take_effects()) {
      if (std::holds_alternative<sync_effect>(e))
        again = true;
      else
        perform_job(m, one, e);
    }
    if (again) one.tracker.sync_commits(job_time(m), m.state->find_job(id)->stages);
  }
  const auto wake = one.tracker.wakeup();
  if (!wake || (one.wake_at && *one.wake_at <= *wake)) return;
  one.wake_at = *wake;
  later(m, std::max<time_ms>(*wake - job_time(m), 1) * millisecond, [this, &m, id, epoch = one.epoch] {
    auto* const mine = supervision_of(m, id, epoch);
    if (mine == nullptr) return;
    mine->wake_at.reset();
    mine->tracker.tick(job_time(m));
    flush_job(m, id);
  });
}

void world::perform_job(member& m, job_supervision& one, effect& e) {
  const auto id = one.job;
  const auto epoch = one.epoch;
  if (const auto* s = std::get_if<start_effect>(&e)) {
    one.sent[{s->where, s->what}] = job_time(m);
    if (one.forgets && !one.forgotten) one.forgotten = s->what;
    if (one.forgotten == s->what) return;
    send_job(m, s->where,
             [this, id, epoch, what = s->what, by = m.id](member& n) { start_attempt(n, id, epoch, what, by); });
  } else if (const auto* c = std::get_if<cancel_effect>(&e)) {
    send_job(m, c->where, [this, id, epoch, what = c->what](member& n) { drop_attempt(n, {id, what}, epoch); });
  } else if (const auto* w = std::get_if<withdraw_effect>(&e)) {
    if (one.forgotten == w->what) return;
    send_job(m, w->where,
             [this, id, epoch, what = w->what, by = m.id](member& n) { withdraw_attempt(n, id, epoch, what, by); });
  } else if (auto* commit = std::get_if<commit_effect>(&e)) {
    auto go = [this, &m, id, epoch, what = commit->what, made = std::move(commit->commit)] {
      propose(m, metadata::commit_task{id, epoch, what.stage, what.task, made},
              [this, &m, id, epoch, what](auto answer) {
                auto* const mine = supervision_of(m, id, epoch);
                if (mine == nullptr) return;
                const auto* j = m.state->find_job(id);
                const bool there = j == nullptr || what.stage.value >= j->stages.size() ||
                                   (j->stages[what.stage.value].committed.contains(what.task) &&
                                    j->stages[what.stage.value].committed.at(what.task).attempt == what.attempt);
                mine->tracker.commit_answered(job_time(m), what,
                                              !answer  ? result<void>(answer.error())
                                              : !there ? result<void>(error{errc::aborted, "its node died"})
                                                       : ok());
                flush_job(m, id);
              });
    };
    one.started ? go() : one.after_start.push_back(std::move(go));
  } else if (const auto* r = std::get_if<revoke_effect>(&e)) {
    propose(m, metadata::revoke_task{id, epoch, r->what.stage, r->what.task, r->what.attempt},
            [this, &m, id, epoch, what = r->what](auto answer) {
              auto* const mine = supervision_of(m, id, epoch);
              if (mine == nullptr) return;
              mine->tracker.revoke_answered(job_time(m), what, answer ? ok() : result<void>(answer.error()));
              flush_job(m, id);
            });
  } else if (auto* f = std::get_if<finish_effect>(&e)) {
    auto go = [this, &m, id, epoch, outcome = f->outcome, why = f->error] {
      propose(m, metadata::finish_job{id, epoch, outcome, why, 0, 0, 0}, [this, &m, id, epoch](auto answer) {
        auto* const mine = supervision_of(m, id, epoch);
        if (mine == nullptr) return;
        mine->tracker.finish_answered(job_time(m), answer ? ok() : result<void>(answer.error()));
        flush_job(m, id);
      });
    };
    one.started ? go() : one.after_start.push_back(std::move(go));
  }
}

void world::node_reports(member& m, job_id id, troupe::epoch epoch, member_id from,
                         const std::vector<std::pair<attempt_ref, bool>>& has) {
  auto* const one = supervision_of(m, id, epoch);
  if (one == nullptr) return;
  const auto now = job_time(m);
  one->heard[from] = now;
  std::set<attempt_ref> listed;
  for (const auto& [what, running] : has) {
    listed.insert(what);
    if (one->tracker.is_out(what) && running) one->tracker.attempt_started(now, what);
  }
  const auto out = one->tracker.out_at(from);
  for (const auto& what : listed)
    if (std::find(out.begin(), out.end(), what) == out.end())
      send_job(m, from, [this, id, epoch, what](member& n) { drop_attempt(n, {id, what}, epoch); });
  for (const auto& what : out) {
    auto& sent = one->sent[{from, what}];
    if (listed.contains(what) || now - sent < start_grace_ms || one->forgotten == what) continue;
    sent = now;
    send_job(m, from, [this, id, epoch, what, by = m.id](member& n) { start_attempt(n, id, epoch, what, by); });
  }
}

}  // namespace troupe::simulation::log
