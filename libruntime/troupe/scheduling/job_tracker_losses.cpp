#include <algorithm>
#include <troupe/scheduling/job_tracker.hpp>

// What happens when something is gone: attempts, members, committed outputs, copies of the input.
namespace troupe::scheduling {

namespace {

double seconds(time_ms ms) { return static_cast<double>(std::max<time_ms>(ms, 0)) / 1000.0; }

/// 50, 100, 200 … 2,000 ms after the first, second, third … loss in a row.
time_ms backoff(std::uint8_t losses) {
  const auto doublings = std::min<int>(std::max<int>(losses, 1) - 1, 10);
  return std::min(job_tracker::backoff_ms_min << doublings, job_tracker::backoff_ms_max);
}

}  // namespace

bool job_tracker::has_live_holder(const input_segment& segment) const {
  return std::any_of(segment.holders.begin(), segment.holders.end(),
                     [&](member_id id) { return places_.contains(id); });
}

void job_tracker::lose_attempt(time_ms now, const attempt_ref& what, failure_kind kind, const std::string& why,
                               std::optional<std::uint64_t> offset) {
  auto& t = at(what);
  const auto worked = t.state == task_state::committing ? t.spent : t.has_slot ? now - t.started : 0;
  ++own_.lost_attempts;
  own_.lost_task_seconds += seconds(worked);
  effects_.push_back(loss_effect{
      what, t.where, kind, seconds(worked),
      task_name(what.stage, what.task) + ", attempt " + to_string(what.attempt) + " on " + name_of(t.where) + ": " +
          why,
      offset && split_of(what.stage, what.task) ? segment_of(what.stage, what.task).dataset : std::string(), offset});
  time_ms wait = 0;  // a blamed task is not made to wait, and a lost member is no reason to
  if (!is_blamed(kind)) {
    if (t.losses < 255) ++t.losses;
    wait = kind == failure_kind::member_lost ? 0 : backoff(t.losses);
  }
  leave_state(what.stage, what.task);
  make_pending(now, what.stage, what.task, now + wait);
  // What is troupe's own trouble may pass; after so long it is a disk that stays full or a module that is nowhere.
  const bool hopeless = kind == failure_kind::engine && t.losses >= engine_losses_max;
  if (hopeless || t.tried >= metadata::attempts_per_task) {
    metadata::job_error error;
    error.message =
        task_name(what.stage, what.task) + " was tried " + std::to_string(t.tried) + " times, at last: " + why;
    error.node = name_of(t.where);
    fail(std::move(error));
  }
}

void job_tracker::lose_commit(time_ms now, stage_index s, task_index i, const std::string& why) {
  auto& t = stages_[s.value].tasks[i.value];
  const attempt_ref what{s, i, t.attempt};
  ++own_.lost_attempts;
  own_.lost_task_seconds += seconds(t.spent);
  effects_.push_back(loss_effect{what, t.where, failure_kind::member_lost, seconds(t.spent),
                                 task_name(s, i) + ", finished on " + name_of(t.where) + ": " + why});
  if (std::exchange(t.revoking, false)) --stages_[s.value].revoking;
  leave_state(s, i);
  t.output_holders.clear();
  if (is_last(s)) {
    finish_sent_ = false;
    make_pending(now, s, i, now);
  } else {
    t.state = task_state::parked;  // until a reduce needs it
    ++parked_;
  }
}

/// A finished task is only done again for one that has not all its input: who has its slot has fetched everything. From
/// the last stage to the first, since what is done again needs its own input again.
void job_tracker::unpark_if_needed(time_ms now) {
  if (parked_ == 0) return;
  for (auto s = static_cast<std::uint32_t>(stages_.size()); s-- > 0;) {
    if (!is_needed(stage_index(s))) continue;
    for (std::uint32_t i = 0; i < stages_[s].tasks.size(); ++i) {
      if (stages_[s].tasks[i].state != task_state::parked) continue;
      leave_state(stage_index(s), task_index(i));
      make_pending(now, stage_index(s), task_index(i), now);
    }
  }
}

void job_tracker::set_members(time_ms now, std::vector<worker_member> members,
                              const std::vector<metadata::stage_progress>* committed) {
  if (over_) return;
  members_known_ = true;
  std::map<member_id, place> before = std::exchange(places_, {});
  for (auto& member : members) {
    names_[member.id] = member.name;
    auto& p = places_[member.id];
    if (auto found = before.find(member.id);
        found != before.end() && found->second.member.incarnation == member.incarnation) {
      p = std::move(found->second);
      before.erase(found);
    }
    if (!p.member.reachable && member.reachable) homes_changed_.insert(member.id);  // it may have missed something
    p.member = std::move(member);
    p.local.clear();
  }
  for (const auto& [id, gone] : before) lose_place(now, gone, "the node is gone");
  if (over_) return;
  for (std::uint32_t s = 0; s < stages_.size(); ++s)
    for (const auto i : stages_[s].ready) {
      if (!split_of(stage_index(s), i)) continue;
      for (const auto holder : segment_of(stage_index(s), i).holders)
        if (auto found = places_.find(holder); found != places_.end()) found->second.local.emplace(s, i);
    }
  check_holders(now);
  if (committed != nullptr) apply_commits(now, *committed);
  if (over_) return;
  check_outputs();
  choose_homes();
  step(now);
}

void job_tracker::lose_place(time_ms now, const place& gone, const std::string& why) {
  for (const auto& what : gone.out) {
    if (over_) return;
    // A member that came back at once has an entry again, which this attempt is not part of.
    if (is_current(what, task_state::running)) lose_attempt(now, what, failure_kind::member_lost, why);
  }
}

void job_tracker::set_holders(time_ms now, segment_id segment, std::vector<member_id> holders) {
  const auto position = segment_positions_.find(segment);
  if (position == segment_positions_.end()) return;
  const auto& tasks = tasks_of_segment_[position->second];
  std::vector<std::pair<stage_index, task_index>> ready;
  for (const auto& [s, t] : tasks)
    if (stages_[s.value].ready.contains(t)) ready.emplace_back(s, t);
  for (const auto& [s, t] : ready) leave_ready(s, t);
  input_.segments[position->second].holders = std::move(holders);
  for (const auto& [s, t] : ready) make_ready(s, t);
  if (!members_known_) return;
  check_holders(now);
  step(now);
}

void job_tracker::check_holders(time_ms now) {
  for (std::uint32_t i = 0; i < input_.segments.size(); ++i) {
    if (has_live_holder(input_.segments[i]))
      segments_without_holder_.erase(i);
    else
      segments_without_holder_.emplace(i, now);
  }
}

void job_tracker::fail_lost_segments(time_ms now) {
  for (const auto& [position, since] : segments_without_holder_) {
    if (now - since < input_wait_ms) continue;
    const auto& tasks = tasks_of_segment_[position];
    const auto needed = std::any_of(tasks.begin(), tasks.end(), [&](const auto& t) {
      return at({t.first, t.second, {}}).state == task_state::pending;
    });
    if (!needed) continue;
    const auto& segment = input_.segments[position];
    std::string where;
    for (const auto holder : segment.holders) where += (where.empty() ? " was on " : ", ") + name_of(holder);
    metadata::job_error error;
    error.message = "segment " + to_string(segment.id) + " of dataset " + segment.dataset +
                    " has no copy on a live node" + (where.empty() ? std::string() : ":" + where) +
                    "; start that node again, or import the dataset again";
    error.dataset = segment.dataset;
    return fail(std::move(error));
  }
}

/// Output with every copy on members that are gone would leave a hole in the dataset, so it is made again while the job
/// still can.
void job_tracker::check_outputs() {
  if (finish_sent_) return;
  const stage_index last(static_cast<std::uint32_t>(stages_.size() - 1));
  for (std::uint32_t i = 0; i < stages_.back().tasks.size(); ++i) {
    const auto& t = stages_.back().tasks[i];
    if (t.state != task_state::committed || t.output_holders.empty()) continue;
    if (std::none_of(t.output_holders.begin(), t.output_holders.end(),
                     [&](member_id id) { return places_.contains(id); }))
      revoke({last, task_index(i), t.attempt});
  }
}

void job_tracker::revoke(const attempt_ref& what) {
  auto& t = at(what);
  if (std::exchange(t.revoking, true)) return;
  ++stages_[what.stage.value].revoking;
  effects_.push_back(revoke_effect{what});
}

void job_tracker::note_engine_failure(time_ms now, member_id where) {
  const auto found = places_.find(where);
  if (found == places_.end()) return;
  auto& failures = found->second.engine_failures;
  std::erase_if(failures, [&](time_ms at) { return now - at > quarantine_window_ms; });
  failures.push_back(now);
  if (failures.size() < quarantine_failures) return;
  failures.clear();
  found->second.quarantined_until = now + quarantine_ms;
}

void job_tracker::lost_input_of_map(const attempt_ref& what, member_id where, const failure& why) {
  auto& t = at(what);
  if (why.code == errc::unavailable || why.code == errc::deadline_exceeded || why.code == errc::resource_exhausted)
    return;               // may come back
  t.avoid.insert(where);  // its copy may be the only bad one
  if (t.input_failures < 255) ++t.input_failures;
  if (why.code != errc::data_loss && t.input_failures < input_failures_max) return;
  const auto& segment = segment_of(what.stage, what.task);
  metadata::job_error error;
  error.message = "segment " + to_string(segment.id) + " of dataset " + segment.dataset +
                  " cannot be read on any node: " + why.message;
  error.node = name_of(where);
  error.dataset = segment.dataset;
  error.offset = why.offset;
  fail(std::move(error));
}

void job_tracker::lost_sources(const failure& why) {
  const bool gone = why.code == errc::not_found || why.code == errc::corrupted || why.code == errc::data_loss ||
                    why.code == errc::failed_precondition;
  for (const auto& source : why.sources) {
    if (!is_current(source, task_state::committed) || is_last(source.stage)) continue;  // done again since
    auto& t = at(source);
    if (t.input_failures < 255) ++t.input_failures;
    if (gone || t.input_failures >= source_failures_max) revoke(source);
  }
}

}  // namespace troupe::scheduling
