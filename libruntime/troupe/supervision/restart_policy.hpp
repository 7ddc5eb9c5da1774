#pragma once
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace troupe::supervision {

/// Milliseconds of a clock that never goes back; handed in.
using time_ms = std::int64_t;

/// When a child that has ended is started again (OTP, supervisor(3)).
enum class restart : std::uint8_t {
  permanent,  ///< always
  transient,  ///< when it ended abnormally
  temporary,  ///< never
};
BOOST_DESCRIBE_ENUM(restart, permanent, transient, temporary)

/// What becomes of the other children then.
enum class strategy : std::uint8_t {
  one_for_one,   ///< nothing
  one_for_all,   ///< all are stopped, and started again in order
  rest_for_one,  ///< those that were started after it are stopped, and started again in order
};
BOOST_DESCRIBE_ENUM(strategy, one_for_one, one_for_all, rest_for_one)

/// At most `restarts` restarts in any `period_ms`; one more and the supervisor escalates: it stops its children and
/// ends with the child's last error. Retries of tasks do not count here: they are the job tracker's.
struct intensity {
  std::uint32_t restarts = 3;
  time_ms period_ms = 60'000;
};

/// A child's name within its supervisor.
using child_name = std::string;

/// What the supervisor has to do, in this order: stop, then start. With `escalate` it stops all of `stop` and ends
/// itself.
struct verdict {
  std::vector<child_name> stop;   ///< still running; last started first
  std::vector<child_name> start;  ///< in the order in which they were added
  bool escalate = false;
  std::string reason;  ///< with escalate: which child, how often, its last error
};

/// Decides about the children of one supervisor. Owned and called by it; pure: whoever calls stops and starts.
///
///     restart_policy policy(strategy::one_for_one, {3, 60'000});
///     policy.add("monitor", restart::permanent);
///     auto v = policy.ended("monitor", "it threw: …", now);   // v.start == {"monitor"}
class restart_policy {
 public:
  explicit restart_policy(strategy how, intensity limit = {}) : how_(how), limit_(limit) {}

  /// A child that has been started. A name that is there already is an invariant broken.
  void add(const child_name& name, restart kind);
  /// A child that was stopped on purpose, and is not coming back.
  void remove(const child_name& name);

  /// The child ended. `abnormal` is its error's words, empty when it ended normally. Unknown names get an empty
  /// verdict.
  verdict ended(const child_name& name, const std::string& abnormal, time_ms now);

  /// Times the child was started again; 0 for an unknown one.
  [[nodiscard]] std::uint32_t restarts_of(const child_name& name) const;
  [[nodiscard]] bool has(const child_name& name) const;

 private:
  struct child {
    child_name name;
    restart kind;
    std::uint32_t restarts = 0;
  };
  strategy how_;
  intensity limit_;
  std::vector<child> children_;  ///< in order of start
  std::deque<time_ms> restarts_at_;
};

}  // namespace troupe::supervision
