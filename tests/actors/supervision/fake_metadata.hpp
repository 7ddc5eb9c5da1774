#pragma once
#include <atomic>
#include <condition_variable>
#include <deque>
#include <thread>
#include <troupe/base/invariant.hpp>
#include <troupe/metadata/service.hpp>

namespace troupe::actors::testing {

/// The replicated state without replication: one thread applies proposals in order, tells the observers, answers. Any
/// thread.
class fake_metadata final : public metadata::service {
 public:
  fake_metadata() : thread_([this] { run(); }) {}
  ~fake_metadata() override {
    {
      std::lock_guard lock(queue_mutex_);
      stopping_ = true;
    }
    arrived_.notify_all();
    thread_.join();
  }

  void propose(metadata::command what, request_id id, std::uint32_t, reply then) override {
    {
      std::lock_guard lock(queue_mutex_);
      if (unavailable_) {
        then(error{errc::unavailable, "the holder cannot be reached"});
        return;
      }
      queue_.push_back({{id, 1'000, std::move(what)}, std::move(then)});
    }
    arrived_.notify_all();
  }
  void barrier(std::uint32_t, std::function<void(result<void>)> then) override { then(ok()); }
  std::function<void()> observe(observer f) override {
    std::lock_guard lock(observers_mutex_);
    const auto id = ++last_observer_;
    observers_[id] = std::move(f);
    return [this, id] {
      std::lock_guard again(observers_mutex_);
      observers_.erase(id);
    };
  }
  [[nodiscard]] member_id leader() const override { return {}; }

  /// Proposes and waits for the answer.
  result<metadata::response> commit(metadata::command what) {
    std::mutex mutex;
    std::condition_variable answered;
    std::optional<result<metadata::response>> answer;
    propose(std::move(what), request_id::random(), 1'000, [&](result<metadata::response> r) {
      std::lock_guard lock(mutex);
      answer.emplace(std::move(r));
      answered.notify_all();
    });
    std::unique_lock lock(mutex);
    answered.wait(lock, [&] { return answer.has_value(); });
    return *answer;
  }
  /// Until `f(state)`; false when that takes longer than `most`.
  template <class F>
  bool wait_for(F f, std::chrono::milliseconds most = std::chrono::seconds(30)) {
    std::unique_lock lock(changed_mutex_);
    return changed_.wait_for(lock, most, [&] { return read(f); });
  }
  void set_unavailable(bool now) {
    std::lock_guard lock(queue_mutex_);
    unavailable_ = now;
  }

 private:
  struct entry {
    metadata::envelope what;
    reply then;
  };
  void run() {
    for (;;) {
      std::unique_lock lock(queue_mutex_);
      arrived_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;
      auto next = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      std::optional<result<metadata::response>> answer;
      {
        std::unique_lock state_lock(mutex_);
        answer.emplace(state_.apply(state_.applied().next(), next.what));
      }
      {
        std::lock_guard observers(observers_mutex_);
        std::shared_lock state_lock(mutex_);
        for (const auto& [id, f] : observers_) f(state_.applied(), next.what.command, *answer, state_);
      }
      next.then(*answer);
      { std::lock_guard changed(changed_mutex_); }
      changed_.notify_all();
    }
  }

  std::mutex queue_mutex_;
  std::condition_variable arrived_;
  std::deque<entry> queue_;
  bool stopping_ = false;
  bool unavailable_ = false;
  std::mutex observers_mutex_;
  std::map<int, observer> observers_;
  int last_observer_ = 0;
  std::mutex changed_mutex_;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace troupe::actors::testing
