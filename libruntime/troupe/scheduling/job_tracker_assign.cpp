#include <algorithm>
#include <troupe/scheduling/job_tracker.hpp>

// Which task goes where.
namespace troupe::scheduling {

namespace {

/// How many ready tasks are looked at before a member is passed over: avoided members are rare, so the first nearly
/// always fits.
constexpr int looked_at_max = 64;

}  // namespace

void job_tracker::make_pending(time_ms now, stage_index s, task_index i, time_ms not_before) {
  auto& in = stages_[s.value];
  auto& t = in.tasks[i.value];
  t.state = task_state::pending;
  t.not_before = not_before;
  ++in.pending;
  if (not_before > now)
    delayed_.insert({not_before, s, i});
  else
    make_ready(s, i);
}

void job_tracker::make_ready(stage_index s, task_index i) {
  stages_[s.value].ready.insert(i);
  if (!split_of(s, i)) return;
  for (const auto holder : segment_of(s, i).holders)
    if (auto found = places_.find(holder); found != places_.end()) found->second.local.emplace(s, i);
}

void job_tracker::leave_ready(stage_index s, task_index i) {
  if (stages_[s.value].ready.erase(i) == 0 || !split_of(s, i)) return;
  for (const auto holder : segment_of(s, i).holders)
    if (auto found = places_.find(holder); found != places_.end()) found->second.local.erase({s, i});
}

void job_tracker::assign(time_ms now) {
  while (!delayed_.empty() && std::get<0>(*delayed_.begin()) <= now) {
    const auto [due, s, i] = *delayed_.begin();
    delayed_.erase(delayed_.begin());
    make_ready(s, i);
  }
  for (auto& [id, p] : places_)
    if (p.quarantined_until <= now) p.quarantined_until = 0;
  for (std::uint32_t s = 0; s < stages_.size(); ++s) {
    const stage_index stage(s);
    // No slot waits for another: a task starts when everything that it reads is there.
    if (stages_[s].ready.empty() || !inputs_committed(stage)) continue;
    while (!stages_[s].ready.empty() && (assign_one(now, stage, reach::local) || assign_one(now, stage, reach::deep) ||
                                         assign_one(now, stage, reach::idle))) {
    }
  }
}

/// One start at the least loaded member that has room and something fitting:
///   local  free slots, tasks with a copy there, reduces at home there
///   deep   as many again as slots, so that the next inputs are there when a slot comes free
///   idle   free slots and one attempt more, any task: better read from afar than do nothing; last, since a split read
///          from afar costs both nodes as much again as the work on it
bool job_tracker::assign_one(time_ms now, stage_index s, reach how) {
  std::vector<std::pair<double, place*>> by_load;
  for (auto& [id, p] : places_) {
    const auto slots = std::max(p.member.slots, 1U);
    const auto room = how == reach::local ? slots : how == reach::idle ? slots + 1 : 2 * slots;
    if (p.out_of_stage[s.value] >= std::min(room, outstanding_max) || !may_get_work(p)) continue;
    by_load.emplace_back(static_cast<double>(p.out.size()) / slots, &p);
  }
  std::stable_sort(by_load.begin(), by_load.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [load, p] : by_load) {
    if (const auto task = pick(s, *p, how)) {
      start(now, s, *task, *p);
      return true;
    }
  }
  return false;
}

std::optional<task_index> job_tracker::pick(stage_index s, const place& p, reach how) const {
  int looked_at = 0;
  if (how != reach::idle)
    for (auto at = p.local.lower_bound({s, task_index(0)}); at != p.local.end() && at->first == s; ++at) {
      if (is_eligible(s, at->second, p)) return at->second;
      if (++looked_at == looked_at_max) break;
    }
  const auto& ready = stages_[s.value].ready;
  if (links_[s.value].has_reduces)
    for (const auto i : ready)
      if (!split_of(s, i) && stages_[s.value].tasks[i.value].home == p.member.id && is_eligible(s, i, p)) return i;
  // Others' homes may have fetched inputs: only for a slot that nobody else can fill.
  if (how != reach::idle || (links_[s.value].has_reduces && p.out.size() >= std::max(p.member.slots, 1U)))
    return std::nullopt;
  looked_at = 0;
  // From the end: those who have copies, or are at home, take theirs from the beginning.
  for (auto i = ready.rbegin(); i != ready.rend() && looked_at < looked_at_max; ++i, ++looked_at)
    if (is_eligible(s, *i, p)) return *i;
  return std::nullopt;
}

bool job_tracker::is_eligible(stage_index s, task_index i, const place& p) const {
  const auto& t = stages_[s.value].tasks[i.value];
  if (split_of(s, i) && segments_without_holder_.contains(position_of(s, i))) return false;
  if (!t.avoid.contains(p.member.id)) return true;
  // It was tried here. Only when it was tried on every member that can take it.
  return std::all_of(places_.begin(), places_.end(), [&](const auto& other) {
    return !other.second.member.reachable || t.avoid.contains(other.first);
  });
}

bool job_tracker::may_get_work(const place& p) const {
  if (!p.member.reachable) return false;
  if (p.quarantined_until == 0) return true;
  return std::all_of(places_.begin(), places_.end(), [&](const auto& other) {
    return !other.second.member.reachable || other.second.quarantined_until > 0;
  });
}

void job_tracker::start(time_ms now, stage_index s, task_index i, place& p) {
  auto& in = stages_[s.value];
  auto& t = in.tasks[i.value];
  leave_state(s, i);
  t.state = task_state::running;
  t.where = p.member.id;
  if (!split_of(s, i)) move_home(s, t, p.member.id);
  t.withdrawing = false;
  t.withdraw_from = now + withdraw_after_ms;
  const auto next = [&] { return attempt_number((attempt_base_ + t.tried++) % metadata::attempts_per_task + 1); };
  auto number = next();
  if (number == t.attempt) number = next();  // an earlier supervisor's, whose files may lie about
  t.attempt = number;
  const attempt_ref what{s, i, t.attempt};
  p.out.insert(what);
  ++p.out_of_stage[s.value];
  ++in.out;
  ++own_.attempts;
  effects_.push_back(
      start_effect{what, p.member.id, is_last(s) ? choose_replicas(i, p.member.id) : std::vector<member_id>{}});
}

/// The next members after the first in the order of ids, beginning at a place that turns with the task: copies spread
/// evenly. Fewer when fewer live.
std::vector<member_id> job_tracker::choose_replicas(task_index t, member_id first) const {
  std::vector<member_id> others;
  for (const auto& [id, p] : places_)
    if (id != first && p.member.reachable) others.push_back(id);
  if (others.empty()) return others;
  std::rotate(others.begin(), others.begin() + t.value % static_cast<std::uint32_t>(others.size()), others.end());
  if (others.size() > output_copies_ - 1) others.resize(output_copies_ - 1);
  return others;
}

std::optional<time_ms> job_tracker::wakeup() const {
  if (over_) return std::nullopt;
  std::optional<time_ms> first;
  const auto consider = [&](time_ms at) { first = first ? std::min(*first, at) : at; };
  if (!delayed_.empty()) consider(std::get<0>(*delayed_.begin()));
  for (const auto& [position, since] : segments_without_holder_) {
    const auto& tasks = tasks_of_segment_[position];
    if (std::any_of(tasks.begin(), tasks.end(), [&](const auto& t) {
          return stages_[t.first.value].tasks[t.second.value].state == task_state::pending;
        }))
      consider(since + input_wait_ms);
  }
  const bool idle_tasks = std::any_of(stages_.begin(), stages_.end(), [](const stage& s) { return !s.ready.empty(); });
  if (idle_tasks)
    for (const auto& [id, p] : places_)
      if (p.quarantined_until > 0) consider(p.quarantined_until);
  if (!places_with_free_slots().empty())
    for (const auto& [id, p] : places_)
      for (const auto& what : p.out)
        if (may_be_withdrawn(what)) consider(stages_[what.stage.value].tasks[what.task.value].withdraw_from);
  return first;
}

}  // namespace troupe::scheduling
