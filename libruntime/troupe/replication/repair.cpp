#include <algorithm>
#include <troupe/replication/placement.hpp>
#include <troupe/replication/repair.hpp>

namespace troupe::replication {
namespace {

bool holds(const metadata::segment& g, member_id id) {
  return std::find(g.holders.begin(), g.holders.end(), id) != g.holders.end();
}

/// Copies that count: on members that live and stay.
std::size_t staying(const metadata::state& s, const metadata::segment& g) {
  return static_cast<std::size_t>(std::count_if(
      g.holders.begin(), g.holders.end(), [&](member_id h) { return s.is_live(h) && !s.find_member(h)->draining; }));
}

/// Calls f(dataset, partition key, segment) for every sealed segment of a ready dataset.
template <class F>
void each_segment(const metadata::state& s, F&& f) {
  for (const auto& [id, d] : s.datasets()) {
    if (d.state != metadata::dataset_state::ready) continue;
    for (std::uint32_t p = 0; p < d.partitions.size(); ++p)
      for (const auto& g : d.partitions[p].segments) f(d, partition_key{id, partition_index{p}}, g);
  }
}

}  // namespace

bool repair_planner::is_wanted(const metadata::state& s, member_id self) {
  bool wanted = false;
  if (!s.takes_copies(self)) return wanted;
  each_segment(s, [&](const metadata::dataset& d, const partition_key&, const metadata::segment& g) {
    wanted = wanted || (!holds(g, self) && staying(s, g) < d.copies);
  });
  return wanted;
}

std::vector<copy_task> repair_planner::plan(time_point now, const metadata::state& s, member_id self,
                                            const std::set<segment_id>& files) {
  std::vector<copy_task> tasks;
  std::map<segment_id, time_point> missing;
  if (!s.takes_copies(self)) return tasks;
  each_segment(s, [&](const metadata::dataset& d, const partition_key& where, const metadata::segment& g) {
    const auto there = staying(s, g);
    if (there >= d.copies) return;
    const auto known = since_.find(g.id);
    const auto since = known == since_.end() ? now : known->second;
    missing.emplace(g.id, since);
    if (holds(g, self)) return;
    copy_task task{d.id, g.id, g.file_bytes, g.digest, {}, there};
    for (const auto h : g.holders)
      if (s.is_live(h)) task.sources.push_back(h);
    const bool has_file = files.contains(g.id);
    task.fetch = false;
    if (!task.sources.empty() && (has_file || now - since >= options_.head_start)) {
      // The first so many by rank that don't hold it; the longer it takes, the further down the list.
      auto wanted = d.copies - there + static_cast<std::size_t>((now - since) / options_.next_target_after);
      for (const auto& who : placement::ranked(s, where)) {
        if (holds(g, who.member)) continue;
        task.fetch = who.member == self;
        if (task.fetch || --wanted == 0) break;
      }
    }
    if (task.fetch || has_file) tasks.push_back(std::move(task));
  });
  since_ = std::move(missing);
  std::stable_sort(tasks.begin(), tasks.end(), [](const copy_task& a, const copy_task& b) {
    return a.copies != b.copies ? a.copies < b.copies : a.segment < b.segment;
  });
  if (tasks.size() > options_.tasks_max) tasks.resize(options_.tasks_max);
  return tasks;
}

std::vector<metadata::remove_holder> repair_planner::plan_removals(const metadata::state& s, member_id self) const {
  std::vector<metadata::remove_holder> out;
  const auto* me = s.find_member(self);
  if (me == nullptr) return out;
  std::size_t others = 0;
  for (const auto& [id, m] : s.members()) others += id != self && s.takes_copies(id) ? 1 : 0;
  each_segment(s, [&](const metadata::dataset& d, const partition_key& where, const metadata::segment& g) {
    if (out.size() >= options_.tasks_max || !holds(g, self)) return;
    const auto there = staying(s, g);
    if (me->draining) {
      if (there >= std::min<std::size_t>(d.copies, std::max<std::size_t>(others, 1))) out.push_back({d.id, g.id, self});
      return;
    }
    if (there <= d.copies) return;
    // The lowest-ranked holder goes, and only that one: everybody comes to the same answer.
    const auto all = placement::ranked(s, where);
    const auto last = std::find_if(all.rbegin(), all.rend(), [&](const auto& who) { return holds(g, who.member); });
    if (last != all.rend() && last->member == self) out.push_back({d.id, g.id, self});
  });
  return out;
}

repair_planner::progress repair_planner::missing(const metadata::state& s, dataset_id of) {
  progress sum;
  each_segment(s, [&](const metadata::dataset& d, const partition_key&, const metadata::segment& g) {
    if (d.id != of) return;
    if (g.holders.empty()) ++sum.lost;
    if (staying(s, g) >= d.copies) return;
    ++sum.segments;
    sum.bytes += g.file_bytes;
  });
  return sum;
}

time_point bandwidth_limit::reserve(time_point now, std::uint64_t bytes) {
  using namespace std::chrono;
  // `at_` is when everything reserved so far has gone; a second of idleness is saved up, no more.
  at_ = std::max(at_, now - seconds(1));
  const auto start = std::max(at_, now);
  at_ += nanoseconds(static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(rate_)));
  return at_ <= now ? now : start;
}

std::optional<std::pair<scrub_planner::due, time_point>> scrub_planner::next(time_point now, const metadata::state& s,
                                                                             member_id self) {
  std::optional<std::pair<due, time_point>> best;
  std::map<segment_id, time_point> kept;
  each_segment(s, [&](const metadata::dataset& d, const partition_key&, const metadata::segment& g) {
    if (!holds(g, self)) return;
    // What was not checked yet is spread over the period, not checked at once.
    const auto [at, is_new] = checked_.try_emplace(
        g.id,
        now - duration(static_cast<std::int64_t>(g.id.value * 0x9e3779b97f4a7c15 % 1000) * (period_.count() / 1000)));
    kept.insert(*at);
    const auto when = at->second + period_;
    if (!best || when < best->second) best = {due{d.id, g.id, g.digest, g.file_bytes, g.made(self)}, when};
  });
  checked_ = std::move(kept);
  return best;
}

}  // namespace troupe::replication
