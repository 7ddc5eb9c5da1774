#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/metadata/model.hpp>
#include <vector>

namespace troupe::membership {

/// Monotonic time, handed in by the caller; wall clocks jump.
using time_point = std::chrono::steady_clock::time_point;

/// How patient the detector is. The defaults are the cluster's; tests shorten them.
struct detector_options {
  std::chrono::milliseconds suspect_after{500};         ///< of silence
  std::chrono::milliseconds lease{limits::lease_time};  ///< of silence: then it is dead
};

/// A change that the detector wants to have committed (as `metadata::set_member_state`).
struct verdict {
  member_id id;
  troupe::incarnation incarnation;
  metadata::member_state state = metadata::member_state::alive;
  std::string reason;  ///< «its connection closed», «silent for 1.0 s»
  friend bool operator==(const verdict&, const verdict&) = default;
};

/// Decides which members are alive, suspect or dead from what the leader of the metadata hears of them. Owned by
/// the leader's node and called on its thread; pure: events and times come in, `check` returns verdicts.
///
///   heard        alive   ── 500 ms of silence ──► suspect ── 1 s ──► dead
///   the process is known to be gone (its connection ended, and its port refuses): dead at once
///   its connection ended, and no more is known: suspect at once, dead when the lease runs out
///
/// A verdict is given once. Dead is final for an incarnation: only a higher one is followed again.
class failure_detector {
 public:
  explicit failure_detector(detector_options options = {}) : options_(options) {}

  /// Follows a member from now on and grants it one full lease: it has registered, or this node has just become the
  /// leader and knows it as alive. A lower incarnation than the one followed is ignored.
  void follow(member_id id, incarnation its, metadata::member_state known, time_point now);
  /// It left, or someone else's verdict was committed.
  void forget(member_id id);

  /// Anything came from it.
  void heard(member_id id, incarnation its, time_point now);
  /// Its connection ended. `process_gone`: nobody listens on its port any more, so the process is not there.
  void closed(member_id id, incarnation its, bool process_gone, time_point now);
  /// This process itself did not run between `from` and `to` (stopped, starved, suspended): silence in that time is
  /// nobody's fault but ours, so every lease is extended by it.
  void paused(time_point from, time_point to);

  /// A verdict was not committed (no room on the disk): `committed` is what the cluster still believes, and `check`
  /// says it again.
  void not_committed(member_id id, incarnation its, metadata::member_state committed);

  /// Verdicts that are due. Each is returned once; the caller commits them.
  [[nodiscard]] std::vector<verdict> check(time_point now);
  /// When `check` has something to say at the earliest; none when nobody is followed.
  [[nodiscard]] std::optional<time_point> next_check() const;

  /// Whether that incarnation holds its lease: followed and not found dead. What a heartbeat's answer confirms.
  [[nodiscard]] bool holds_lease(member_id id, incarnation its) const;

 private:
  struct followed {
    troupe::incarnation incarnation;
    metadata::member_state said = metadata::member_state::alive;  ///< the last verdict
    time_point heard;
    bool connection_lost = false;
    bool process_gone = false;
  };
  detector_options options_;
  std::map<member_id, followed> members_;
};

}  // namespace troupe::membership
