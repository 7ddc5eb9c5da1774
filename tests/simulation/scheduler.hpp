#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

namespace troupe::simulation {

using sim_time = std::int64_t;  ///< nanoseconds since the run began
inline constexpr sim_time microsecond = 1'000;
inline constexpr sim_time millisecond = 1'000'000;
inline constexpr sim_time second = 1'000'000'000;

/// Simulated time: what is scheduled happens in the order of its time, then of its scheduling.
class scheduler {
 public:
  [[nodiscard]] sim_time now() const noexcept { return now_; }
  [[nodiscard]] std::uint64_t events() const noexcept { return done_; }
  void at(sim_time when, std::function<void()> what) {
    heap_.push_back({std::max(when, now_), ++sequence_, std::move(what)});
    std::push_heap(heap_.begin(), heap_.end(), later);
  }
  void after(sim_time delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }
  /// Runs the next event; false when there is none up to `end`.
  bool step(sim_time end) {
    if (heap_.empty() || heap_.front().when > end) return false;
    std::pop_heap(heap_.begin(), heap_.end(), later);
    auto next = std::move(heap_.back());
    heap_.pop_back();
    now_ = next.when;
    ++done_;
    next.what();
    return true;
  }

 private:
  struct event {
    sim_time when;
    std::uint64_t sequence;
    std::function<void()> what;
  };
  static bool later(const event& a, const event& b) noexcept {
    return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
  }
  std::vector<event> heap_;
  sim_time now_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace troupe::simulation
