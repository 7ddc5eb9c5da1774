#include <algorithm>
#include <troupe/scheduling/job_tracker.hpp>

// Where reduces are at home: decided when the job begins, so that their inputs can travel while maps run.
namespace troupe::scheduling {

void job_tracker::move_home(stage_index s, task& t, member_id to) {
  if (t.home == to) return;
  if (is_prefetched(s)) {
    homes_changed_.insert(t.home);
    homes_changed_.insert(to);
  }
  t.home = to;
}

/// Whether a stage's inputs travel before it starts: only a first shuffle's do, while the input is read.
bool job_tracker::is_prefetched(stage_index s) const {
  if (s.value != 1 || shape_[1].branches.size() != 1) return false;
  const auto& edges = shape_[1].branches[0].edges;
  return edges.size() == 1 && edges[0].kind == edge_kind::partitioned && edges[0].from == 0;
}

/// A task is committed: those that read it alone are at home where it lies.
void job_tracker::follow_source(stage_index s, task_index i) {
  const auto where = at({s, i, {}}).where;
  for (const auto by : links_[s.value].read_by)
    for (std::size_t b = 0; b < shape_[by].branches.size(); ++b) {
      const auto& range = layout_[by].branches[b];
      for (const auto& e : shape_[by].branches[b].edges)
        if (e.kind == edge_kind::forward && e.from == s.value && i.value < range.tasks)
          move_home(stage_index(by), stages_[by].tasks[range.first_task + i.value], where);
    }
}

/// Every reduce without a living home gets one, where there are fewest for a slot; among equals the lowest id, and so
/// the same for every supervisor that begins with the same members. A member that joins later gets what others have no
/// slot for.
void job_tracker::choose_homes() {
  for (std::uint32_t s = 0; s < stages_.size(); ++s) {
    std::map<member_id, std::uint32_t> count;
    for (const auto& [id, p] : places_) count.emplace(id, 0U);  // also one whose link is only just coming up
    if (count.empty()) return;
    auto& tasks = stages_[s].tasks;
    for (const auto& t : tasks)
      if (const auto found = count.find(t.home); found != count.end()) ++found->second;
    for (std::uint32_t i = 0; i < tasks.size(); ++i) {
      auto& t = tasks[i];
      if (split_of(stage_index(s), task_index(i)) || t.state == task_state::committed || places_.contains(t.home))
        continue;
      const auto load = [&](const auto& entry) {
        return static_cast<double>(entry.second) / std::max(places_.at(entry.first).member.slots, 1U);
      };
      const auto best =
          std::min_element(count.begin(), count.end(), [&](const auto& x, const auto& y) { return load(x) < load(y); });
      ++best->second;
      move_home(stage_index(s), t, best->first);
    }
  }
}

void job_tracker::tell_homes() {
  if (homes_changed_.empty() || stages_.size() < 2 || !is_prefetched(stage_index(1))) return;
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
