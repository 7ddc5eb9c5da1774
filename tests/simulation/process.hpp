#pragma once
#include <deque>
#include <functional>
#include <string>
#include <tests/simulation/scheduler.hpp>
#include <troupe/consensus/types.hpp>
#include <vector>

namespace troupe::simulation {

/// What the members of both worlds have in common: a process starts and ends, may hang, and has a clock of its own.
struct process {
  std::size_t slot = 0;
  unsigned generation = 0;  ///< of the disk: a wiped one is a new member
  member_id id;
  bool up = false, paused = false;
  std::uint64_t start = 0;  ///< counts starts; what belongs to an earlier one is void
  sim_time clock_offset = 0;
  std::int64_t clock_ppm = 0;  ///< how much faster its clock runs, in parts per million

  [[nodiscard]] static member_id id_of(std::size_t slot, unsigned generation) {
    member_id id;
    id.value.octets[0] = static_cast<std::uint8_t>(slot + 1);
    id.value.octets[1] = static_cast<std::uint8_t>(generation);
    return id;
  }
  [[nodiscard]] std::string name() const {
    return "m" + std::to_string(slot + 1) + (generation == 0 ? "" : "." + std::to_string(generation));
  }

  /// Its steady clock at simulated time `now`, and back: a little later rather than earlier, so that a timer is due.
  [[nodiscard]] consensus::time_point local(sim_time now) const {
    return consensus::time_point(consensus::duration(clock_offset + now + now / 1000 * clock_ppm / 1000));
  }
  [[nodiscard]] sim_time global(consensus::time_point t) const {
    const auto elapsed = t.time_since_epoch().count() - clock_offset;
    return static_cast<sim_time>(static_cast<double>(elapsed) / (1.0 + static_cast<double>(clock_ppm) / 1e6)) +
           2 * microsecond;
  }

  /// Does it now, or once the process goes on; never when it ends before. Of what is `droppable` (messages) so much
  /// waits as a socket holds; timers and answers of the disk are never lost.
  void deliver(std::function<void()> what, bool droppable) {
    if (!up) return;
    if (!paused) return what();
    if (droppable && ++messages_waiting_ > messages_max) return;
    waiting_.push_back([start = start, this, what = std::move(what)] {
      if (this->start == start && up) what();
    });
  }
  /// Goes on with what came meanwhile, in its order; what hangs it again leaves the rest for later.
  void resume() {
    paused = false;
    messages_waiting_ = 0;
    while (!waiting_.empty() && up && !paused) {
      const auto next = std::move(waiting_.front());
      waiting_.pop_front();
      next();
    }
  }
  /// Nothing that it began will be heard of again.
  void end() {
    up = paused = false;
    ++start;
    waiting_.clear();
    messages_waiting_ = 0;
  }

 private:
  static constexpr std::size_t messages_max = 3000;
  std::deque<std::function<void()>> waiting_;
  std::size_t messages_waiting_ = 0;
};

/// The last events of a run as text, when they are asked for.
class event_log {
 public:
  explicit event_log(bool on) : on_(on) {}
  template <class F>
  void note(sim_time now, F&& text) {
    if (!on_) return;
    events_.push_back(std::to_string(now / microsecond) + " µs  " + text());
    if (events_.size() > events_kept) events_.pop_front();
  }
  [[nodiscard]] std::vector<std::string> last() const { return {events_.begin(), events_.end()}; }

 private:
  static constexpr std::size_t events_kept = 200'000;
  bool on_;
  std::deque<std::string> events_;
};

}  // namespace troupe::simulation
