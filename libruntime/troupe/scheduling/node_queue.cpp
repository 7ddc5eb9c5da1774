#include <algorithm>
#include <troupe/scheduling/node_queue.hpp>

namespace troupe::scheduling {

result<void> node_queue::add(job_id job, const attempt_ref& what) {
  if (ready_ >= ready_max)
    return error{errc::resource_exhausted,
                 "this node has " + std::to_string(ready_) + " attempts waiting for a slot already"};
  auto& share = jobs_[job];
  if (share.arrivals.contains(what) || share.with_slot.contains(what))
    return error{errc::already_exists,
                 task_name(what.stage, what.task) + ", attempt " + to_string(what.attempt) + " is queued already"};
  const auto arrival = ++clock_;
  share.arrivals.emplace(what, arrival);
  share.ready.emplace(std::pair(what.stage, arrival), what);
  ++ready_;
  return ok();
}

std::optional<std::pair<job_id, attempt_ref>> node_queue::next() {
  if (taken_ >= slots_ || ready_ == 0) return std::nullopt;
  auto best = jobs_.end();
  for (auto i = jobs_.begin(); i != jobs_.end(); ++i) {
    if (i->second.ready.empty()) continue;
    if (best == jobs_.end() || std::pair(i->second.with_slot.size(), i->second.served) <
                                   std::pair(best->second.with_slot.size(), best->second.served))
      best = i;
  }
  auto& share = best->second;
  const auto what = share.ready.begin()->second;
  share.ready.erase(share.ready.begin());
  share.arrivals.erase(what);
  share.with_slot.insert(what);
  share.served = ++clock_;
  --ready_;
  ++taken_;
  return std::pair(best->first, what);
}

void node_queue::remove(job_id job, const attempt_ref& what) {
  const auto found = jobs_.find(job);
  if (found == jobs_.end()) return;
  auto& share = found->second;
  if (share.with_slot.erase(what) > 0) --taken_;
  if (const auto arrival = share.arrivals.find(what); arrival != share.arrivals.end()) {
    share.ready.erase(std::pair(what.stage, arrival->second));
    share.arrivals.erase(arrival);
    --ready_;
  }
  if (share.with_slot.empty() && share.arrivals.empty()) jobs_.erase(found);
}

bool node_queue::has_slot(job_id job, const attempt_ref& what) const {
  const auto found = jobs_.find(job);
  return found != jobs_.end() && found->second.with_slot.contains(what);
}

}  // namespace troupe::scheduling
