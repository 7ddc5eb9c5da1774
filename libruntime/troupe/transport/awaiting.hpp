#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <troupe/base/result.hpp>
#include <utility>
#include <vector>

namespace troupe::transport {

namespace asio = boost::asio;
using asio::awaitable;
using steady_time = std::chrono::steady_clock::time_point;

/// The deadline that is `duration` from now.
template <class Rep, class Period>
steady_time after(std::chrono::duration<Rep, Period> duration) {
  return std::chrono::steady_clock::now() + std::chrono::duration_cast<std::chrono::steady_clock::duration>(duration);
}

/// Waits until the time has come. False when the wait was cancelled.
awaitable<bool> sleep_until(steady_time when);

namespace detail {
/// Waits for the timer to be cancelled or to expire, on the calling coroutine's executor.
awaitable<void> wait_on(asio::steady_timer& timer);
}  // namespace detail

/// Turns an asynchronous call with a callback into something to await, with a deadline. The callback may come on any
/// thread, before `start` returns, late, or never: what comes after the deadline is dropped. T needs no default
/// constructor.
///
///   auto reply = co_await await_result<metadata::response>(
///       [&](auto then) { service.propose(command, id, 5000, std::move(then)); }, after(6s));
///
/// `start` runs on the calling coroutine and is given a copyable `std::function<void(result<T>)>`.
template <class T, class Start>
awaitable<result<T>> await_result(Start start, steady_time deadline) {
  struct waiting {
    explicit waiting(const asio::any_io_executor& on) : timer(on) {}
    std::mutex mutex;
    std::optional<result<T>> value;
    asio::steady_timer timer;
  };
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  auto state = std::make_shared<waiting>(executor);
  state->timer.expires_at(deadline);
  std::function<void(result<T>)> then = [state, executor](result<T> value) {
    {
      const std::lock_guard lock(state->mutex);
      if (state->value) return;
      state->value.emplace(std::move(value));
    }
    // The timer belongs to the executor. A negative infinite expiry also ends a wait that has not begun yet.
    asio::post(executor, [state] { state->timer.expires_at(steady_time::min()); });
  };
  start(std::move(then));
  for (;;) {
    {
      const std::lock_guard lock(state->mutex);
      if (state->value) co_return std::move(*state->value);
      if (std::chrono::steady_clock::now() >= deadline) {
        state->value.emplace(error{errc::deadline_exceeded, "no answer before the deadline"});
        co_return std::move(*state->value);
      }
    }
    co_await detail::wait_on(state->timer);
  }
}

/// Wakes coroutines that wait for a change. `notify_all` may be called from any thread; waiters may be on any executor.
/// For long polls:
///
///   for (;;) {
///     const auto seen = changes.generation();
///     if (job_has_ended()) break;
///     const bool changed = co_await changes.wait(seen, deadline);
///     if (!changed) break;
///   }
///
/// (One co_await a statement, never behind || or && or ?: — g++ 12 destroys temporaries there that it never made.)
class notifier {
 public:
  notifier();
  ~notifier();
  notifier(const notifier&) = delete;
  notifier& operator=(const notifier&) = delete;

  void notify_all();
  /// Grows with every notification: read it before looking at what may change, so that none is missed.
  [[nodiscard]] std::uint64_t generation() const;
  /// Waits until the generation is above `seen` (true) or the deadline has come (false). The notifier may be destroyed
  /// meanwhile: false.
  awaitable<bool> wait(std::uint64_t seen, steady_time deadline);

 private:
  struct shared;
  std::shared_ptr<shared> shared_;
};

}  // namespace troupe::transport

/// TROUPE_TRY for coroutines.
#define TROUPE_CO_TRY_IMPL_(tmp, declaration, ...) \
  auto tmp = (__VA_ARGS__);                        \
  if (!tmp) co_return tmp.error();                 \
  declaration = std::move(*tmp)
#define TROUPE_CO_TRY(declaration, ...) \
  TROUPE_CO_TRY_IMPL_(TROUPE_CONCAT(troupe_co_try_, __LINE__), declaration, __VA_ARGS__)
#define TROUPE_CO_TRY_VOID(...) \
  if (auto troupe_co_try_void = (__VA_ARGS__); !troupe_co_try_void) co_return troupe_co_try_void.error()
