#include <tests/simulation/log/world.hpp>
#include <troupe/metadata/splits.hpp>

/// Attempts at the member that runs them.
namespace troupe::simulation::log {

using namespace scheduling;

namespace {
constexpr std::uint64_t engine_failures_per_mille = 30;
}

/// A message of that epoch is heard; false: it comes too late. A newer one ends what older supervisors ordered.
bool world::heard_of_job(member& m, job_id id, troupe::epoch epoch) {
  auto& host = *m.jobs;
  auto& known = host.epochs[id];
  if (epoch < known) return false;
  if (epoch == known) return true;
  known = epoch;
  for (auto at = host.attempts.begin(); at != host.attempts.end();) {
    if (at->first.job != id) {
      ++at;
      continue;
    }
    host.queue.remove(id, at->first.what);
    at = host.attempts.erase(at);
  }
  std::erase_if(host.reports, [&](const auto& r) { return r.first.job == id; });
  std::erase_if(host.withdrawn, [&](const auto& w) { return w.job == id; });
  return true;
}

void world::start_attempt(member& m, job_id id, troupe::epoch epoch, const attempt_ref& what, member_id by) {
  auto& host = *m.jobs;
  const attempt_key which{id, what};
  if (!heard_of_job(m, id, epoch)) return;
  if (host.reports.contains(which)) return send_report(m, which);
  if (host.attempts.contains(which)) return;
  if (host.withdrawn.contains(which)) return answer_withdrawal(m, which, epoch, by, true);
  if (m.state->find_job(id) != nullptr && !m.state->running_jobs().contains(id)) return;
  trace(
      [&] { return m.name() + " gets an attempt of " + task_name(what.stage, what.task) + ", job " + to_string(id); });
  host.attempts.emplace(which, attempt_here{epoch, by, ++next_attempt_});
  plan_attempt(m, which);
}

/// Fetches its inputs, once they are committed here.
void world::plan_attempt(member& m, const attempt_key& which) {
  auto& a = m.jobs->attempts.at(which);
  const auto* j = m.state->find_job(which.job);
  if (a.planned || j == nullptr || j->supervisor_epoch != a.epoch || which.what.stage.value >= j->stages.size()) return;
  std::vector<std::pair<attempt_ref, std::pair<member_id, troupe::incarnation>>> sources;
  if (which.what.stage.value == 1) {
    if (j->stages[0].committed.size() != metadata::tasks_of(*j, 0)) return;
    for (const auto& [task, c] : j->stages[0].committed)
      sources.push_back({{stage_index{0}, task, c.attempt}, {c.where, c.where_incarnation}});
  }
  a.planned = true;
  later(m, random_.between(1, 30) * millisecond, [this, &m, which, number = a.number, sources = std::move(sources)] {
    const auto at = m.jobs->attempts.find(which);
    if (at == m.jobs->attempts.end() || at->second.number != number) return;
    failure lost{failure_kind::input_lost, errc::unavailable, "its input is out of reach", {}, {}};
    for (const auto& [source, where] : sources) {
      const auto* n = member_of(where.first);
      if (n == nullptr || !n->up || n->paused || n->self.incarnation != where.second || cut_[m.slot][n->slot] ||
          cut_[n->slot][m.slot])
        lost.sources.push_back(source);
    }
    if (!lost.sources.empty()) return end_attempt(m, which, std::nullopt, std::move(lost));
    if (auto queued = m.jobs->queue.add(which.job, which.what); !queued)
      return check_.fail(m.name() + "'s queue refuses an attempt: " + queued.error().message());
    fill_slots(m);
  });
}

void world::fill_slots(member& m) {
  auto& host = *m.jobs;
  while (const auto next = host.queue.next()) {
    const attempt_key which{next->first, next->second};
    const auto at = host.attempts.find(which);
    if (at == host.attempts.end()) {
      host.queue.remove(next->first, next->second);
      continue;
    }
    at->second.running = true;
    send_progress(m, which.job, at->second.epoch, at->second.supervisor);
    const auto takes = random_.between(2, swarm_.task_ms_max) * millisecond;
    later(m, takes, [this, &m, which, number = at->second.number] { attempt_done(m, which, number); });
  }
}

void world::attempt_done(member& m, const attempt_key& which, std::uint64_t number) {
  const auto at = m.jobs->attempts.find(which);
  if (at == m.jobs->attempts.end() || at->second.number != number) return;
  if (!healed_ && random_.per_mille(engine_failures_per_mille))
    return end_attempt(m, which, std::nullopt, {failure_kind::engine, errc::io_error, "its disk failed", {}, {}});
  metadata::task_commit made;
  made.attempt = which.what.attempt;
  made.where = m.id;
  made.where_incarnation = m.self.incarnation;
  made.digest = {which.job.value * 1000 + which.what.stage.value, which.what.task.value + 1};
  made.output_records = 1;
  job_check_.finished(which, at->second.epoch, made);
  end_attempt(m, which, std::move(made), {});
}

/// It leaves its slot; its supervisor is told until it says that it has heard.
void world::end_attempt(member& m, const attempt_key& which, std::optional<metadata::task_commit> made, failure why) {
  auto& host = *m.jobs;
  const auto a = host.attempts.at(which);
  host.attempts.erase(which);
  host.queue.remove(which.job, which.what);
  host.reports[which] = {a.epoch, a.supervisor, std::move(made), std::move(why)};
  send_report(m, which);
  fill_slots(m);
}

void world::send_report(member& m, const attempt_key& which) {
  const auto& r = m.jobs->reports.at(which);
  send_job(m, r.supervisor, [this, which, r, from = m.id](member& n) {
    send_job(n, from, [which](member& back) { back.jobs->reports.erase(which); });
    auto* const one = supervision_of(n, which.job, r.epoch);
    if (one == nullptr) return;
    if (r.commit)
      one->tracker.attempt_finished(job_time(n), which.what, *r.commit);
    else
      one->tracker.attempt_failed(job_time(n), which.what, r.why);
    flush_job(n, which.job);
  });
}

/// What is here of the job, for its supervisor.
void world::send_progress(member& m, job_id id, troupe::epoch epoch, member_id to) {
  if (!heard_of_job(m, id, epoch)) return;
  std::vector<std::pair<attempt_ref, bool>> has;
  for (const auto& [which, a] : m.jobs->attempts)
    if (which.job == id && a.epoch == epoch) has.emplace_back(which.what, a.running);
  for (const auto& [which, r] : m.jobs->reports)
    if (which.job == id) has.emplace_back(which.what, false);
  send_job(m, to,
           [this, id, epoch, has = std::move(has), from = m.id](member& n) { node_reports(n, id, epoch, from, has); });
}

void world::drop_attempt(member& m, const attempt_key& which, troupe::epoch epoch) {
  const auto at = m.jobs->attempts.find(which);
  if (at == m.jobs->attempts.end() || at->second.epoch != epoch) {
    m.jobs->reports.erase(which);
    return;
  }
  m.jobs->queue.remove(which.job, which.what);
  m.jobs->attempts.erase(at);
  fill_slots(m);
}

void world::withdraw_attempt(member& m, job_id id, troupe::epoch epoch, const attempt_ref& what, member_id by) {
  auto& host = *m.jobs;
  const attempt_key which{id, what};
  if (!heard_of_job(m, id, epoch)) return;
  if (host.reports.contains(which)) return send_report(m, which);
  const auto at = host.attempts.find(which);
  const bool dropped =
      at == host.attempts.end() || (host.queue.slots_taken() >= host.queue.slots() && !at->second.running);
  if (dropped && at != host.attempts.end()) {
    host.queue.remove(id, what);
    host.attempts.erase(at);
  }
  if (dropped) host.withdrawn.insert(which);
  answer_withdrawal(m, which, epoch, by, dropped);
}

void world::answer_withdrawal(member& m, const attempt_key& which, troupe::epoch epoch, member_id by, bool dropped) {
  send_job(m, by, [this, which, epoch, dropped](member& n) {
    auto* const one = supervision_of(n, which.job, epoch);
    if (one == nullptr) return;
    one->tracker.attempt_withdrawn(job_time(n), which.what, dropped);
    flush_job(n, which.job);
  });
}

}  // namespace troupe::simulation::log
