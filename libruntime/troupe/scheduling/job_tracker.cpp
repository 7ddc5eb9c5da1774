#include <algorithm>
#include <troupe/base/invariant.hpp>
#include <troupe/metadata/splits.hpp>
#include <troupe/scheduling/job_tracker.hpp>

// Life of the tasks: construction, what attempts report, what metadata answers. Losses are in job_tracker_losses.cpp,
// placement in job_tracker_assign.cpp, moving what waits in job_tracker_withdraw.cpp.
namespace troupe::scheduling {

std::uint32_t job_tracker::attempt_base(epoch supervisor_epoch) noexcept {
  return static_cast<std::uint32_t>((supervisor_epoch.value + 7) % 8) * 8;
}

job_tracker::job_tracker(const metadata::job& job, job_input input, time_ms now)
    : output_copies_(std::max(job.output_copies, 1U)),
      attempt_base_(attempt_base(job.supervisor_epoch)),
      input_(std::move(input)),
      shape_(metadata::stages_of(job.description)),
      layout_(metadata::layout_of(job)),
      links_(shape_.size()),
      tasks_of_segment_(input_.segments.size()),
      stages_(shape_.size()) {
  TROUPE_INVARIANT(input_.segment_of_task.size() == job.plan.map_tasks,
                   std::to_string(input_.segment_of_task.size()) + " splits for " + std::to_string(job.plan.map_tasks) +
                       " map tasks");
  for (std::uint32_t i = 0; i < input_.segments.size(); ++i) segment_positions_.emplace(input_.segments[i].id, i);
  const auto splits = metadata::splits_of_inputs(job.plan);
  for (std::uint32_t s = 0; s < stages_.size(); ++s) {
    std::set<std::uint32_t> reads;
    for (const auto& branch : shape_[s].branches)
      for (const auto& e : branch.edges)
        if (e.kind != edge_kind::dataset) reads.insert(e.from);
    links_[s].reads.assign(reads.begin(), reads.end());
    for (const auto from : reads) links_[from].read_by.push_back(s);
    stages_[s].tasks.resize(layout_[s].tasks);
    for (std::uint32_t t = 0; t < layout_[s].tasks; ++t) {
      links_[s].split.push_back(troupe::split_of(shape_[s], layout_[s], splits, t));
      links_[s].has_reduces = links_[s].has_reduces || !links_[s].split.back();
      if (links_[s].split.back()) tasks_of_segment_[position_of(stage_index(s), task_index(t))].emplace_back(s, t);
    }
  }
  for (std::uint32_t s = 0; s < stages_.size(); ++s)
    for (std::uint32_t t = 0; t < stages_[s].tasks.size(); ++t) make_pending(now, stage_index(s), task_index(t), now);
  for (const auto& progress : job.stages) {
    inherited_ += progress.committed.size();
    prior_.attempts += progress.committed.size();
    // A commit that metadata forgot with its member was an attempt, too.
    for (const auto& [t, digest] : progress.first_digests) prior_.attempts += progress.committed.contains(t) ? 0 : 1;
  }
  for (std::uint32_t s = 0; s < stages_.size() && s < job.stages.size(); ++s)
    for (const auto& [t, commit] : job.stages[s].committed)
      if (t.value < stages_[s].tasks.size()) mark_committed(now, stage_index(s), t, commit);
}

void job_tracker::set_prior(std::uint64_t attempts, double lost_task_seconds) {
  prior_.attempts = std::max(prior_.attempts, attempts);
  prior_.lost_task_seconds = std::max(prior_.lost_task_seconds, lost_task_seconds);
}

void job_tracker::add_stopped(double seconds) { own_.lost_task_seconds += seconds; }

tallies job_tracker::counted() const {
  return {prior_.attempts + own_.attempts, prior_.attempts - inherited_ + own_.lost_attempts,
          prior_.lost_task_seconds + own_.lost_task_seconds};
}

std::vector<effect> job_tracker::take_effects() { return std::exchange(effects_, {}); }

std::vector<job_tracker::stage_count> job_tracker::stage_counts() const {
  std::vector<stage_count> counts;
  for (const auto& s : stages_) counts.push_back({s.tasks.size(), s.committed, s.with_slot});
  return counts;
}

bool job_tracker::is_known(const attempt_ref& what) const {
  return what.stage.value < stages_.size() && what.task.value < stages_[what.stage.value].tasks.size();
}

bool job_tracker::is_current(const attempt_ref& what, task_state state) const {
  if (!is_known(what)) return false;
  const auto& t = stages_[what.stage.value].tasks[what.task.value];
  return t.state == state && t.attempt == what.attempt;
}

bool job_tracker::is_out(const attempt_ref& what) const { return !over_ && is_current(what, task_state::running); }

std::vector<attempt_ref> job_tracker::out_at(member_id where) const {
  const auto found = places_.find(where);
  if (found == places_.end()) return {};
  return {found->second.out.begin(), found->second.out.end()};
}

std::string job_tracker::name_of(member_id id) const {
  const auto found = names_.find(id);
  return found == names_.end() ? id.value.short_string() : found->second;
}

bool job_tracker::inputs_committed(stage_index s) const {
  const auto& reads = links_[s.value].reads;
  return std::all_of(reads.begin(), reads.end(),
                     [&](std::uint32_t from) { return stages_[from].committed == stages_[from].tasks.size(); });
}

bool job_tracker::is_needed(stage_index s) const {
  const auto& readers = links_[s.value].read_by;
  return std::any_of(readers.begin(), readers.end(), [&](std::uint32_t by) {
    return stages_[by].pending > 0 || stages_[by].out > stages_[by].with_slot;
  });
}

/// The attempt is not at its member any more; the task's state is the caller's to set.
void job_tracker::take_from_member(const attempt_ref& what) {
  auto& t = at(what);
  auto& s = stages_[what.stage.value];
  if (auto found = places_.find(t.where); found != places_.end() && found->second.out.erase(what) > 0)
    --found->second.out_of_stage[what.stage.value];
  --s.out;
  if (std::exchange(t.has_slot, false)) --s.with_slot;
}

void job_tracker::leave_state(stage_index s, task_index i) {
  auto& in = stages_[s.value];
  auto& t = in.tasks[i.value];
  switch (t.state) {
    case task_state::pending:
      --in.pending;
      leave_ready(s, i);
      delayed_.erase({t.not_before, s, i});
      break;
    case task_state::running:
      take_from_member({s, i, t.attempt});
      break;
    case task_state::committing:
      --in.committing;
      break;
    case task_state::committed:
      --in.committed;
      break;
    case task_state::parked:
      --parked_;
      break;
  }
}

void job_tracker::attempt_started(time_ms now, const attempt_ref& what) {
  if (!is_out(what)) return;
  auto& t = at(what);
  if (std::exchange(t.has_slot, true)) return;
  t.started = now;
  ++stages_[what.stage.value].with_slot;
}

void job_tracker::attempt_finished(time_ms now, const attempt_ref& what, metadata::task_commit commit) {
  if (!is_out(what)) return;
  auto& t = at(what);
  t.spent = t.has_slot ? now - t.started : 0;
  leave_state(what.stage, what.task);
  t.state = task_state::committing;
  ++stages_[what.stage.value].committing;
  t.output_holders = commit.output ? commit.output->holders : std::vector<member_id>{};
  effects_.push_back(commit_effect{what, std::move(commit)});
  step(now);
}

void job_tracker::attempt_failed(time_ms now, const attempt_ref& what, const failure& why) {
  if (!is_out(what)) return;
  auto& t = at(what);
  const auto where = t.where;
  if (is_blamed(why.kind)) {
    t.failed_on.insert(where);
    t.avoid.insert(where);
    if (t.failures < 255) ++t.failures;
  }
  lose_attempt(now, what, why.kind, why.message, why.offset);
  if (over_) return;
  if (is_blamed(why.kind)) {
    if (t.failures >= limits::attempts_failed_max && t.failed_on.size() >= std::min<std::size_t>(2, places_.size())) {
      metadata::job_error error;
      error.message = task_name(what.stage, what.task) + " failed " + std::to_string(t.failures) +
                      " times, at last: " + why.message;
      error.node = name_of(where);
      if (split_of(what.stage, what.task)) error.dataset = segment_of(what.stage, what.task).dataset;
      error.offset = why.offset;
      return fail(std::move(error));
    }
  } else if (why.kind == failure_kind::input_lost) {
    if (split_of(what.stage, what.task) && why.sources.empty())
      lost_input_of_map(what, where, why);
    else
      lost_sources(why);
  } else {
    note_engine_failure(now, where);
  }
  step(now);
}

void job_tracker::commit_answered(time_ms now, const attempt_ref& what, const result<void>& answer) {
  if (over_ || !is_current(what, task_state::committing)) return;
  auto& t = at(what);
  if (answer) {
    leave_state(what.stage, what.task);
    t.state = task_state::committed;
    t.losses = 0;
    t.input_failures = 0;
    ++stages_[what.stage.value].committed;
    follow_source(what.stage, what.task);
    return step(now);
  }
  switch (answer.error().code()) {
    case errc::failed_precondition:  // the same task gave something else before
    case errc::invalid_argument:
    case errc::not_found: {
      metadata::job_error error;
      error.message = task_name(what.stage, what.task) + " cannot be committed: " + answer.error().message();
      error.node = name_of(t.where);
      return fail(std::move(error));
    }
    case errc::already_exists:
      effects_.push_back(sync_effect{});
      [[fallthrough]];
    default:
      lose_attempt(now, what, failure_kind::engine, "its commit was refused: " + answer.error().message());
  }
  step(now);
}

void job_tracker::revoke_answered(time_ms now, const attempt_ref& what, const result<void>& answer) {
  if (over_ || !is_known(what) || !at(what).revoking) return;
  auto& t = at(what);
  t.revoking = false;
  --stages_[what.stage.value].revoking;
  if (!answer)
    effects_.push_back(sync_effect{});  // somebody else was faster, or it is not ours any more
  else if (t.state == task_state::committed && t.attempt == what.attempt)
    lose_commit(now, what.stage, what.task, "its output is gone");
  step(now);
}

void job_tracker::finish_answered(time_ms now, const result<void>& answer) {
  if (answer) {
    over_ = true;
    return;
  }
  if (over_) return;
  // Metadata does not have every commit: one was refused, or lost since. The refusals are limited, so that a defect
  // cannot go round for ever.
  finish_sent_ = false;
  if (++finishes_refused_ >= finishes_refused_max) {
    metadata::job_error error;
    error.message =
        "the job's end was refused " + std::to_string(finishes_refused_) + " times: " + answer.error().message();
    return fail(std::move(error));
  }
  effects_.push_back(sync_effect{});
  step(now);
}

void job_tracker::mark_committed(time_ms now, stage_index s, task_index i, const metadata::task_commit& commit) {
  auto& t = stages_[s.value].tasks[i.value];
  if (t.state == task_state::running) {
    const attempt_ref out{s, i, t.attempt};
    effects_.push_back(cancel_effect{out, t.where});
    lose_attempt(now, out, failure_kind::engine, "another attempt's output is committed already");
    if (over_) return;
  }
  leave_state(s, i);
  t.state = task_state::committed;
  t.attempt = commit.attempt;
  t.where = commit.where;
  t.spent = 0;
  t.output_holders = commit.output ? commit.output->holders : std::vector<member_id>{};
  ++stages_[s.value].committed;
  follow_source(s, i);
}

void job_tracker::sync_commits(time_ms now, const std::vector<metadata::stage_progress>& progress) {
  apply_commits(now, progress);
  step(now);
}

void job_tracker::apply_commits(time_ms now, const std::vector<metadata::stage_progress>& progress) {
  for (std::uint32_t s = 0; s < stages_.size() && s < progress.size(); ++s) {
    const auto& committed = progress[s].committed;
    for (const auto& [i, commit] : committed) {
      if (over_) return;
      if (i.value >= stages_[s].tasks.size()) continue;
      const auto& t = stages_[s].tasks[i.value];
      // Of one that is committing the answer is under way.
      if (t.attempt == commit.attempt && (t.state == task_state::committed || t.state == task_state::committing))
        continue;
      mark_committed(now, stage_index(s), i, commit);
    }
    for (std::uint32_t i = 0; i < stages_[s].tasks.size() && !over_; ++i)
      if (stages_[s].tasks[i].state == task_state::committed && !committed.contains(task_index(i)))
        lose_commit(now, stage_index(s), task_index(i), "that node is gone");
  }
}

void job_tracker::fail(metadata::job_error error) {
  if (over_) return;
  over_ = true;
  for (const auto& [id, p] : places_)
    for (const auto& what : p.out) effects_.push_back(cancel_effect{what, id});
  effects_.push_back(finish_effect{metadata::job_state::failed, std::move(error)});
}

void job_tracker::try_finish() {
  const auto& last = stages_.back();
  if (over_ || finish_sent_ || last.revoking > 0 || last.committed + last.committing < last.tasks.size()) return;
  // The last commits and the end may be under way together: metadata takes them in order, and refuses the end when it
  // refused a commit.
  if (finishes_refused_ > 0 && last.committing > 0) return;
  finish_sent_ = true;
  effects_.push_back(finish_effect{});
}

void job_tracker::tick(time_ms now) { step(now); }

void job_tracker::step(time_ms now) {
  if (over_ || !members_known_) return;
  fail_lost_segments(now);
  if (over_) return;
  unpark_if_needed(now);
  assign(now);
  withdraw_queued(now);
  tell_homes();
  try_finish();
}

}  // namespace troupe::scheduling
