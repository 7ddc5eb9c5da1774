#pragma once
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <troupe/base/result.hpp>
#include <vector>

namespace troupe::data {

/// The threads that may wait for a disk (and that do what is too long for the I/O thread). The queue is bounded; what
/// does not fit is refused. Thread-safe.
class disk_pool {
 public:
  disk_pool(unsigned threads, std::size_t queued_max);
  /// Finishes what is queued.
  ~disk_pool();
  disk_pool(const disk_pool&) = delete;
  disk_pool& operator=(const disk_pool&) = delete;

  /// False when the queue is full or the pool is closed; `task` is then as before.
  bool post(std::function<void()>&& task);
  /// Takes nothing more, finishes what is queued, joins. Idempotent.
  void close();

  /// Runs `f`, which returns a result<…>, on a disk thread and comes back to the calling coroutine's executor. `f` and
  /// what it holds live until it has run, whatever becomes of the coroutine.
  template <class F>
  boost::asio::awaitable<std::invoke_result_t<F&>> run(F f) {
    using answer = std::invoke_result_t<F&>;
    auto executor = co_await boost::asio::this_coro::executor;
    auto slot = std::make_shared<std::optional<answer>>();
    co_await boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void()>(
        // GCC 12 destroys what a lambda within an await expression holds twice: this one holds references only, and
        // callers of run() make theirs in a statement of its own.
        [this, &f, &slot, &executor](auto handler) {
          // std::function wants something copyable; the handler is not.
          auto shared = std::make_shared<decltype(handler)>(std::move(handler));
          auto work = boost::asio::make_work_guard(executor);
          std::function<void()> task = [f = std::make_shared<F>(std::move(f)), slot, executor, shared, work] {
            slot->emplace((*f)());
            boost::asio::post(executor, [shared, slot] { std::move (*shared)(); });
          };
          if (!post(std::move(task))) {
            slot->emplace(
                error{errc::resource_exhausted, "too many requests wait for the disk of this node; try again later"});
            boost::asio::post(executor, [shared] { std::move (*shared)(); });
          }
        },
        boost::asio::use_awaitable);
    co_return std::move(**slot);
  }

 private:
  void work();

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> queue_;
  const std::size_t queued_max_;
  bool closed_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace troupe::data
