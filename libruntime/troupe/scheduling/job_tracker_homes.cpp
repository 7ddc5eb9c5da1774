#include <algorithm>
#include <troupe/scheduling/job_tracker.hpp>

// Where reduces are at home: decided when the job begins, so that their inputs can travel while maps run.
namespace troupe::scheduling {

void job_tracker::move_home(task& t, member_id to) {
  if (t.home == to) return;
  homes_changed_.insert(t.home);
  homes_changed_.insert(to);
  t.home = to;
}

/// Every reduce without a living home gets one, where there are fewest for a slot; among equals the lowest id, and so
/// the same for every supervisor that begins with the same members. A member that joins later gets what others have no
/// slot for.
void job_tracker::choose_homes() {
  if (stages_.size() < 2) return;
  std::map<member_id, std::uint32_t> count;
  for (const auto& [id, p] : places_) count.emplace(id, 0U);  // also one whose link is only just coming up
  if (count.empty()) return;
  auto& reduces = stages_[1].tasks;
  for (const auto& t : reduces)
    if (const auto found = count.find(t.home); found != count.end()) ++found->second;
  for (auto& t : reduces) {
    if (t.state == task_state::committed || places_.contains(t.home)) continue;
    const auto load = [&](const auto& entry) {
      return static_cast<double>(entry.second) / std::max(places_.at(entry.first).member.slots, 1U);
    };
    const auto best =
        std::min_element(count.begin(), count.end(), [&](const auto& x, const auto& y) { return load(x) < load(y); });
    ++best->second;
    move_home(t, best->first);
  }
}

void job_tracker::tell_homes() {
  if (homes_changed_.empty() || stages_.size() < 2) return;
  std::map<member_id, std::vector<task_index>> lists;
  for (auto i = homes_changed_.begin(); i != homes_changed_.end();) {
    const auto place = places_.find(*i);
    if (place != places_.end() && !place->second.member.reachable) {
      ++i;  // when it is back
      continue;
    }
    // Alone, a member has nothing to fetch.
    if (place != places_.end() && places_.size() > 1 && !stages_[0].tasks.empty()) lists[*i];
    i = homes_changed_.erase(i);
  }
  if (lists.empty()) return;
  const auto& reduces = stages_[1].tasks;
  for (std::uint32_t i = 0; i < reduces.size(); ++i)
    if (const auto list = lists.find(reduces[i].home); list != lists.end() && reduces[i].state == task_state::pending)
      list->second.push_back(task_index(i));
  for (auto& [where, list] : lists) effects_.push_back(prefetch_effect{where, std::move(list)});
}

}  // namespace troupe::scheduling
