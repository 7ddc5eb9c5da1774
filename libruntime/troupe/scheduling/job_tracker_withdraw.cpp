#include <algorithm>
#include <troupe/scheduling/job_tracker.hpp>

// Attempts that wait at a busy member go where a slot is free. A member prefetches for as many attempts as it has
// slots; when its tasks turn out long, those would wait while others have nothing to do.
namespace troupe::scheduling {

/// As far as this job knows: other jobs may have taken the slot, which is why a task moves at most `withdrawals_max`
/// times.
std::vector<const job_tracker::place*> job_tracker::places_with_free_slots() const {
  std::vector<const place*> free;
  if (places_.size() < 2) return free;
  for (const auto& [id, p] : places_)
    if (p.out.size() < std::max(p.member.slots, 1U) && may_get_work(p)) free.push_back(&p);
  return free;
}

bool job_tracker::may_be_withdrawn(const attempt_ref& what) const {
  const auto& t = stages_[what.stage.value].tasks[what.task.value];
  if (t.has_slot || t.withdrawals >= withdrawals_max) return false;
  const auto at = places_.find(t.where);
  return at != places_.end() && at->second.member.reachable;
}

/// Called when everything that can be placed is placed: a slot that is free now has nothing else to do.
void job_tracker::withdraw_queued(time_ms now) {
  const auto free = places_with_free_slots();
  if (free.empty()) return;
  std::size_t slots = 0;
  for (const auto* p : free) slots += std::max(p->member.slots, 1U) - p->out.size();
  std::size_t asked = 0;
  struct candidate {
    std::size_t queue;  ///< attempts at its member
    time_ms since;
    attempt_ref what;
  };
  std::vector<candidate> candidates;
  for (const auto& [id, p] : places_)
    for (const auto& what : p.out) {
      const auto& t = at(what);
      if (t.withdrawing) ++asked;
      if (!may_be_withdrawn(what) || now < t.withdraw_from) continue;
      const bool fits = std::any_of(free.begin(), free.end(), [&](const place* to) {
        return to->member.id != t.where && is_eligible(what.stage, what.task, *to);
      });
      if (fits) candidates.push_back({p.out.size(), t.withdraw_from, what});
    }
  // From the longest queue its end, which would have waited longest; among equals in order of the tasks.
  std::stable_sort(candidates.begin(), candidates.end(), [](const candidate& a, const candidate& b) {
    return std::pair(a.queue, a.since) > std::pair(b.queue, b.since);
  });
  for (const auto& c : candidates) {
    auto& t = at(c.what);
    if (!t.withdrawing && ++asked > slots) return;
    t.withdrawing = true;
    t.withdraw_from = now + withdraw_answer_ms;
    effects_.push_back(withdraw_effect{c.what, t.where});
  }
}

void job_tracker::attempt_withdrawn(time_ms now, const attempt_ref& what, bool dropped) {
  if (!is_out(what)) return;
  auto& t = at(what);
  t.withdrawing = false;
  if (!dropped) {
    t.withdraw_from = now + withdraw_after_ms;
    return;
  }
  --own_.attempts;  // it never began
  ++t.withdrawals;
  t.avoid.insert(t.where);
  leave_state(what.stage, what.task);
  make_pending(now, what.stage, what.task, now);
  step(now);
}

}  // namespace troupe::scheduling
