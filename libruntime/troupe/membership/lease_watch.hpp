#pragma once
#include <map>
#include <set>
#include <string>
#include <troupe/membership/failure_detector.hpp>

namespace troupe::membership {

/// How a member stands, as far as it can tell by its own clock.
enum class standing : std::uint8_t {
  unconfirmed,  ///< it has just started: nothing was granted yet, and nothing begun
  holds,
  leaderless,  ///< nobody can lead the metadata now: commits wait, tasks go on
  lost,        ///< others may have given it up: it leads nothing and computes nothing until it is confirmed again
};

/// Whether a member still has its lease. Owned by the metadata thread of every node; pure.
///
/// A confirmation counts from the SENDING of the heartbeat that was confirmed, so a lease ends here before the leader
/// can declare this member dead. What a member does whose lease has run out depends on who could lead without it:
///
///   voters a b c, this is a   b and c silent: they may have elected one of themselves, and given a up   → lost
///                             b silent, c heard and it knows no leader: nobody has a majority            → leaderless
///                             b and c gone (their ports refuse): the same                                → leaderless
///                             c heard, and it says that b leads: b has not confirmed a for so long       → lost
///
/// While nobody leads, and for one full lease afterwards, nobody is given up: a new leader grants everyone one first.
class lease_watch {
 public:
  explicit lease_watch(std::chrono::milliseconds lease = limits::lease_time) : lease_(lease) {}

  /// The leader confirmed the heartbeat that was sent then; or this node leads, and has a majority. Older news than
  /// what is known is ignored.
  void confirmed(time_point sent_at);
  /// Something came from that member.
  void heard(const member_id& who, time_point now);
  /// It said who leads the metadata; nil: nobody that it knows.
  void named(const member_id& who, const member_id& leader, time_point now);
  /// Nobody listens at its address: its process is gone.
  void gone(const member_id& who);

  standing look(time_point now, const std::set<member_id>& voters, const member_id& self);

  /// Until when it may answer for what it leads without another look: a process that was stopped meanwhile may not.
  [[nodiscard]] time_point acts_until() const noexcept { return acts_until_; }
  /// A sentence, while it is lost.
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }

 private:
  struct other {
    time_point heard_at{};
    bool heard = false;
    bool gone = false;
    member_id names;
    time_point named_at{};
  };
  [[nodiscard]] bool recent(time_point at, time_point now) const { return now < at + lease_; }

  std::chrono::milliseconds lease_;
  std::optional<time_point> since_;  ///< the lease counts from here
  std::map<member_id, other> others_;
  time_point granted_until_{};  ///< nobody led until a lease before: nobody can have been given up
  time_point acts_until_{};
  std::string reason_;
};

}  // namespace troupe::membership
