#pragma once
#include <troupe/membership/failure_detector.hpp>

namespace troupe::membership {

/// A member's own lease, as it may believe in it: it lasts `lease` from the SENDING of the heartbeat that the leader
/// confirmed, so it ends here before the leader can declare this member dead. Owned by the node that follows; pure.
class member_lease {
 public:
  explicit member_lease(std::chrono::milliseconds lease = limits::lease_time) : lease_(lease) {}

  /// The leader confirmed the heartbeat that was sent then. Older news than what is known is ignored.
  void confirmed(time_point sent_at) {
    if (!confirmed_ || sent_at > *confirmed_) confirmed_ = sent_at;
  }
  void reset() { confirmed_.reset(); }
  /// False before the first confirmation, too.
  [[nodiscard]] bool holds(time_point now) const { return confirmed_ && now < *confirmed_ + lease_; }
  [[nodiscard]] std::optional<time_point> ends_at() const {
    return confirmed_ ? std::optional(*confirmed_ + lease_) : std::nullopt;
  }

 private:
  std::chrono::milliseconds lease_;
  std::optional<time_point> confirmed_;
};

}  // namespace troupe::membership
