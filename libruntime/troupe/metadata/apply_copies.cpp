#include <algorithm>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/state.hpp>

/// Where the copies of sealed segments are: repaired, moved away from members that go, given up with members that are
/// lost.
namespace troupe::metadata {

result<response> state::on(const add_holder& c, std::int64_t) {
  const auto name = "segment " + to_string(c.segment);
  const auto place = segments_.find(c.segment);
  if (place == segments_.end() || place->second.dataset != c.dataset)
    return error{errc::not_found, "dataset " + to_string(c.dataset) + " has no sealed " + name + " (any more)"};
  auto& s = datasets_.at(c.dataset).partitions[place->second.partition].segments[place->second.position];
  if (std::find(s.holders.begin(), s.holders.end(), c.holder.member) != s.holders.end())
    return error{errc::already_exists, "member " + to_string(c.holder.member) + " holds " + name + " already"};
  if (c.source != c.holder.member && std::find(s.holders.begin(), s.holders.end(), c.source) == s.holders.end())
    return error{errc::aborted,
                 "member " + to_string(c.source) + " does not hold " + name + " any more: copy from one that does"};
  if (c.digest != s.digest)
    return error{errc::corrupted, "the copy of " + name + " on member " + to_string(c.holder.member) +
                                      " has the digest " + c.digest.to_string() + " instead of " +
                                      s.digest.to_string()};
  if (!is_current(c.holder))
    return error{errc::aborted, "member " + to_string(c.holder.member) + " was lost since it copied " + name};
  if (s.holders.size() >= copies_max)
    return error{errc::resource_exhausted, name + " has " + std::to_string(copies_max) + " copies already"};
  s.holders.push_back(c.holder.member);
  s.remade.push_back({c.holder.member, applied_});
  return response{.dataset = c.dataset};
}

/// Copies on live members that stay, beside one member's.
std::size_t state::other_copies(const segment& s, member_id without) const {
  return static_cast<std::size_t>(std::count_if(s.holders.begin(), s.holders.end(), [&](member_id h) {
    return h != without && is_live(h) && !find_member(h)->draining;
  }));
}

result<response> state::on(const remove_holder& c, std::int64_t) {
  const auto name = "segment " + to_string(c.segment);
  const auto place = segments_.find(c.segment);
  if (place == segments_.end() || place->second.dataset != c.dataset)
    return error{errc::not_found, "dataset " + to_string(c.dataset) + " has no sealed " + name + " (any more)"};
  auto& d = datasets_.at(c.dataset);
  auto& s = d.partitions[place->second.partition].segments[place->second.position];
  const auto at = std::find(s.holders.begin(), s.holders.end(), c.holder);
  if (at == s.holders.end())
    return error{errc::not_found, "member " + to_string(c.holder) + " does not count as a holder of " + name};
  const auto* m = find_member(c.holder);
  std::size_t may_hold = 0;
  for (const auto& [id, other] : members_) may_hold += id != c.holder && takes_copies(id) ? 1 : 0;
  const bool goes = m != nullptr && m->draining;
  // Whoever drains may go once as many others have it as there can be; a surplus copy only when all wanted ones stay.
  const auto needed = goes ? std::min<std::size_t>(d.copies, std::max<std::size_t>(may_hold, 1)) : d.copies;
  const auto others = other_copies(s, c.holder);
  if (others < needed)
    return error{errc::failed_precondition, "the copy of " + name + " on member " + to_string(c.holder) +
                                                " is needed: " + std::to_string(others) + " others are there, and " +
                                                std::to_string(needed) + " are wanted"};
  s.drop_holder(c.holder);
  return response{.dataset = c.dataset};
}

result<response> state::on(const drain_member& c, std::int64_t) {
  const auto at = members_.find(c.id);
  if (at == members_.end()) return error{errc::not_found, "member " + to_string(c.id) + " is not known"};
  at->second.draining = c.on;
  return response{.text = at->second.name};
}

result<response> state::on(const remove_member& c, std::int64_t) {
  const auto at = members_.find(c.id);
  if (at == members_.end()) return error{errc::not_found, "member " + to_string(c.id) + " is not known"};
  const auto name = at->second.name;
  if (is_live(c.id)) return error{errc::failed_precondition, "node " + name + " is alive: stop it first, or drain it"};
  if (removed_.size() >= members_removed_max)
    return error{errc::resource_exhausted,
                 "the cluster remembers " + std::to_string(members_removed_max) + " removed members already"};
  std::size_t lost = 0;
  for (const auto& [id, d] : datasets_) {
    for (const auto& p : d.partitions) {
      for (const auto& s : p.segments) lost += s.holders.size() == 1 && s.holders.front() == c.id ? 1 : 0;
      if (!p.log.open) continue;
      const auto& replicas = p.log.open->replicas;
      lost += std::none_of(replicas.begin(), replicas.end(),
                           [&](const auto& r) { return r.member != c.id && members_.contains(r.member); })
                  ? 1
                  : 0;
    }
  }
  if (lost != 0 && !c.accept_loss)
    return error{errc::failed_precondition, "node " + name + " has the only copy of " + std::to_string(lost) +
                                                " segment(s), which would be lost: start it, or accept the loss"};
  for (auto& [id, d] : datasets_) {
    for (auto& p : d.partitions) {
      for (auto& s : p.segments) s.drop_holder(c.id);
      if (p.log.leader && p.log.leader->member == c.id) p.log.leader.reset();
    }
  }
  for (const auto running : running_)
    for (auto& progress : jobs_.at(running).stages)
      for (auto& [task, commit] : progress.committed)
        if (commit.output) commit.output->drop_holder(c.id);  // others hold it, or it would not be committed
  for (auto& m : modules_) std::erase(m.holders, c.id);
  access_.certificates.erase(c.id);
  members_.erase(at);
  removed_.insert(c.id);
  return response{.text = name};
}

}  // namespace troupe::metadata
