#include <algorithm>
#include <cstdio>
#include <troupe/membership/failure_detector.hpp>

namespace troupe::membership {
namespace {
using metadata::member_state;

std::string silence(time_point::duration d) {
  char text[64];
  std::snprintf(text, sizeof text, "silent for %.1f s", std::chrono::duration<double>(d).count());
  return text;
}
}  // namespace

void failure_detector::follow(member_id id, incarnation its, member_state known, time_point now) {
  if (known == member_state::dead || known == member_state::left) return;
  auto [at, fresh] = members_.try_emplace(id);
  if (!fresh && at->second.incarnation > its) return;
  at->second = followed{its, known, now, false, false};
}

void failure_detector::forget(member_id id) { members_.erase(id); }

void failure_detector::heard(member_id id, incarnation its, time_point now) {
  const auto at = members_.find(id);
  if (at == members_.end() || at->second.incarnation != its || at->second.said == member_state::dead) return;
  at->second.heard = std::max(at->second.heard, now);
  at->second.connection_lost = false;
  at->second.process_gone = false;
}

void failure_detector::closed(member_id id, incarnation its, bool process_gone, time_point) {
  const auto at = members_.find(id);
  if (at == members_.end() || at->second.incarnation != its) return;
  at->second.connection_lost = true;
  at->second.process_gone = process_gone;
}

void failure_detector::paused(time_point from, time_point to) {
  if (to <= from) return;
  for (auto& [id, m] : members_) m.heard += to - from;
}

void failure_detector::not_committed(member_id id, incarnation its, member_state committed) {
  const auto at = members_.find(id);
  if (at != members_.end() && at->second.incarnation == its) at->second.said = committed;
}

std::vector<verdict> failure_detector::check(time_point now) {
  std::vector<verdict> due;
  for (auto& [id, m] : members_) {
    if (m.said == member_state::dead) continue;
    const auto quiet = now - m.heard;
    auto found = member_state::alive;
    std::string reason;
    if (m.process_gone) {
      found = member_state::dead;
      reason = "its process is gone: the connection ended, and its port refuses";
    } else if (quiet >= options_.lease) {
      found = member_state::dead;
      reason = silence(quiet) + ", longer than its lease";
    } else if (m.connection_lost) {
      found = member_state::suspect;
      reason = "its connection broke";
    } else if (quiet >= options_.suspect_after) {
      found = member_state::suspect;
      reason = silence(quiet);
    }
    if (found == m.said) continue;
    m.said = found;
    due.push_back({id, m.incarnation, found, std::move(reason)});
  }
  return due;
}

std::optional<time_point> failure_detector::next_check() const {
  std::optional<time_point> earliest;
  const auto offer = [&](time_point t) { earliest = earliest ? std::min(*earliest, t) : t; };
  for (const auto& [id, m] : members_) {
    if (m.said == member_state::dead) continue;
    if (m.process_gone || (m.connection_lost && m.said == member_state::alive)) offer(m.heard);
    if (m.said == member_state::alive) offer(m.heard + options_.suspect_after);
    offer(m.heard + options_.lease);
  }
  return earliest;
}

bool failure_detector::holds_lease(member_id id, incarnation its) const {
  const auto at = members_.find(id);
  return at != members_.end() && at->second.incarnation == its && at->second.said != member_state::dead;
}

}  // namespace troupe::membership
