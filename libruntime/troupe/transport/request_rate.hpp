#pragma once
#include <chrono>
#include <cstddef>
#include <map>
#include <string>

namespace troupe::transport {

/// How often each caller may ask: a token bucket for each, all of the same size (Turner, «New directions in
/// communications», 1986). Of one server; the caller locks. Time is handed in and never goes back.
///
///   rate {.per_second = 2, .burst = 3}: three requests at once pass, the fourth waits for 0.5 s, and so on
///
/// The buckets are bounded in number: those that are full again are forgotten first, at no loss; when none is, the
/// fullest, whose owner gains least by it.
class request_rate {
 public:
  using time_point = std::chrono::steady_clock::time_point;
  using duration = std::chrono::steady_clock::duration;

  struct limits {
    double per_second = 10'000;        ///< over any long time; 0: no limit at all
    double burst = 20'000;             ///< at once, after a pause
    std::size_t callers_max = 10'000;  ///< as many users and more than a cluster can have
  };

  explicit request_rate(const limits& l) : limits_(l) {}

  /// Zero: the caller may. Else how long to wait until it may; asking too early costs nothing more.
  duration ask(const std::string& caller, time_point now);
  [[nodiscard]] std::size_t callers() const noexcept { return buckets_.size(); }

 private:
  struct bucket {
    double level = 0;  ///< requests that may come now, as of `at`
    time_point at;
  };
  [[nodiscard]] double level_of(const bucket& b, time_point now) const;
  void make_room(time_point now);

  const limits limits_;
  std::map<std::string, bucket> buckets_;
};

}  // namespace troupe::transport
