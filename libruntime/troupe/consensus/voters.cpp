#include <algorithm>
#include <troupe/consensus/voters.hpp>

namespace troupe::consensus {

std::optional<configuration> changed(const configuration& from, const member_change& step) {
  if (step.id.is_nil()) return std::nullopt;
  configuration to = from;
  bool did = false;
  switch (step.what) {
    case member_change::kind::add_learner:
      did = !from.contains(step.id) && to.learners.insert(step.id).second;
      break;
    case member_change::kind::promote:
      did = to.learners.erase(step.id) == 1 && to.voters.insert(step.id).second;
      break;
    case member_change::kind::demote:
      did = to.voters.erase(step.id) == 1 && to.learners.insert(step.id).second;
      break;
    case member_change::kind::remove:
      did = to.voters.erase(step.id) + to.learners.erase(step.id) == 1;
      break;
  }
  if (!did || to.voters.empty()) return std::nullopt;
  return to;
}

std::size_t voters_wanted(std::size_t members) noexcept { return members >= 5 ? 5 : members >= 3 ? 3 : 1; }

std::optional<member_change> next_change(const configuration& now, const std::vector<member_view>& members,
                                         const member_id& self) {
  using kind = member_change::kind;
  const auto find = [&](const member_id& id) {
    const auto at = std::find_if(members.begin(), members.end(), [&](const auto& m) { return m.id == id; });
    return at == members.end() ? nullptr : &*at;
  };
  const auto gone = [&](const member_id& id) {
    const auto* m = find(id);
    return m == nullptr || m->gone;
  };
  // Who is given up leaves first: a dead voter only raises the majority that the living have to reach.
  for (const auto& id : now.voters)
    if (gone(id) && now.voters.size() > 1) return member_change{kind::remove, id};
  for (const auto& id : now.learners)
    if (gone(id)) return member_change{kind::remove, id};

  std::vector<member_view> present;
  for (const auto& m : members)
    if (!m.gone) present.push_back(m);
  std::sort(present.begin(), present.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (const auto& m : present)
    if (!now.contains(m.id)) return member_change{kind::add_learner, m.id};

  const auto wanted = voters_wanted(present.size());
  if (now.voters.size() > wanted) {
    // One that can't be reached first, then the highest id, never the leader.
    std::optional<member_id> out;
    for (const auto& id : now.voters) {
      if (id == self) continue;
      const auto* m = find(id);
      if (m != nullptr && !m->reachable) return member_change{kind::demote, id};
      out = id;
    }
    if (out) return member_change{kind::demote, *out};
    return std::nullopt;
  }
  // Two voters are worse than one: begin with a second only when a third is ready as well.
  std::vector<member_id> ready;
  for (const auto& m : present)
    if (now.learners.contains(m.id) && m.reachable && m.caught_up) ready.push_back(m.id);
  const auto missing = wanted - now.voters.size();
  const bool leaves_even = now.voters.size() % 2 == 1;
  if (missing == 0 || ready.empty() || (leaves_even && ready.size() < 2)) return std::nullopt;
  return member_change{kind::promote, ready.front()};
}

}  // namespace troupe::consensus
