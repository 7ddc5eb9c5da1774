#pragma once
#include <troupe/membership/failure_detector.hpp>

namespace troupe::membership {

/// Since when members are away (dead, or left in order), by the clock of whoever leads the metadata; and who is away
/// for so long that others take over its vote. Owned by the leader's node, made anew with each leader: a change of
/// leader gives the absent more time, never less. Pure.
///
///   alive ──► dead or left ── `gone_after` (10 min) ──► given up as voter, though it may still come back
class absences {
 public:
  explicit absences(std::chrono::milliseconds gone_after) : gone_after_(gone_after) {}

  /// What was committed about the member. Repeated news of an absence does not begin it anew.
  void follow(member_id id, metadata::member_state now_is, time_point now) {
    const bool away = now_is == metadata::member_state::dead || now_is == metadata::member_state::left;
    if (away)
      since_.emplace(id, now);
    else
      since_.erase(id);
  }
  void forget(member_id id) { since_.erase(id); }
  [[nodiscard]] bool away(member_id id) const { return since_.contains(id); }
  [[nodiscard]] bool given_up(member_id id, time_point now) const {
    const auto at = since_.find(id);
    return at != since_.end() && now - at->second >= gone_after_;
  }

 private:
  std::chrono::milliseconds gone_after_;
  std::map<member_id, time_point> since_;
};

}  // namespace troupe::membership
