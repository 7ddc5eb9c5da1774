#include <algorithm>
#include <troupe/base/invariant.hpp>
#include <troupe/supervision/restart_policy.hpp>

namespace troupe::supervision {

void restart_policy::add(const child_name& name, restart kind) {
  TROUPE_INVARIANT(!has(name), name + " is supervised already");
  children_.push_back({name, kind, 0});
}

void restart_policy::remove(const child_name& name) {
  std::erase_if(children_, [&](const child& c) { return c.name == name; });
}

bool restart_policy::has(const child_name& name) const {
  return std::any_of(children_.begin(), children_.end(), [&](const child& c) { return c.name == name; });
}

std::uint32_t restart_policy::restarts_of(const child_name& name) const {
  const auto found = std::find_if(children_.begin(), children_.end(), [&](const child& c) { return c.name == name; });
  return found == children_.end() ? 0 : found->restarts;
}

verdict restart_policy::ended(const child_name& name, const std::string& abnormal, time_ms now) {
  verdict v;
  const auto found = std::find_if(children_.begin(), children_.end(), [&](const child& c) { return c.name == name; });
  if (found == children_.end()) return v;
  if (found->kind == restart::temporary || (found->kind == restart::transient && abnormal.empty())) {
    children_.erase(found);
    return v;
  }
  while (!restarts_at_.empty() && now - restarts_at_.front() >= limit_.period_ms) restarts_at_.pop_front();
  if (restarts_at_.size() >= limit_.restarts) {
    v.escalate = true;
    v.reason = name + " ended " + std::to_string(restarts_at_.size() + 1) + " times within " +
               std::to_string(limit_.period_ms) +
               " ms, the last time: " + (abnormal.empty() ? std::string("it ended normally") : abnormal);
    for (auto c = children_.rbegin(); c != children_.rend(); ++c)
      if (c->name != name) v.stop.push_back(c->name);
    children_.clear();
    return v;
  }
  restarts_at_.push_back(now);
  const auto position = found - children_.begin();
  const auto first = how_ == strategy::one_for_all ? 0 : position;
  const auto last = how_ == strategy::one_for_one ? position + 1 : static_cast<std::ptrdiff_t>(children_.size());
  for (auto i = last; i-- > first;)
    if (i != position) v.stop.push_back(children_[static_cast<std::size_t>(i)].name);
  // A temporary child that is stopped for another's sake does not come back.
  std::vector<child> kept;
  for (std::ptrdiff_t i = 0; i < static_cast<std::ptrdiff_t>(children_.size()); ++i) {
    auto& c = children_[static_cast<std::size_t>(i)];
    const bool again = i >= first && i < last;
    if (again && i != position && c.kind == restart::temporary) continue;
    if (again) {
      ++c.restarts;
      v.start.push_back(c.name);
    }
    kept.push_back(c);
  }
  children_ = std::move(kept);
  return v;
}

}  // namespace troupe::supervision
