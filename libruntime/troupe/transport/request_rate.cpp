#include <algorithm>
#include <troupe/transport/request_rate.hpp>

namespace troupe::transport {

double request_rate::level_of(const bucket& b, time_point now) const {
  const auto passed = std::chrono::duration<double>(now - b.at).count();
  return std::min(limits_.burst, b.level + std::max(0.0, passed) * limits_.per_second);
}

void request_rate::make_room(time_point now) {
  std::erase_if(buckets_, [&](const auto& item) { return level_of(item.second, now) >= limits_.burst; });
  if (buckets_.size() < limits_.callers_max) return;
  buckets_.erase(std::max_element(buckets_.begin(), buckets_.end(), [&](const auto& a, const auto& b) {
    return level_of(a.second, now) < level_of(b.second, now);
  }));
}

request_rate::duration request_rate::ask(const std::string& caller, time_point now) {
  if (limits_.per_second <= 0) return duration::zero();
  auto at = buckets_.find(caller);
  if (at == buckets_.end()) {
    if (buckets_.size() >= limits_.callers_max) make_room(now);
    at = buckets_.emplace(caller, bucket{limits_.burst, now}).first;
  }
  auto& mine = at->second;
  mine.level = level_of(mine, now);
  mine.at = std::max(mine.at, now);
  if (mine.level >= 1) {
    mine.level -= 1;
    return duration::zero();
  }
  const std::chrono::duration<double> wait((1 - mine.level) / limits_.per_second);
  return std::max(duration(1), std::chrono::ceil<duration>(wait));
}

}  // namespace troupe::transport
