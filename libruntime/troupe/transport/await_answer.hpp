#pragma once
#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <troupe/base/result.hpp>
#include <utility>

namespace troupe::transport {

namespace detail {
/// Who waits for one answer, wherever it comes from. Shared by the copies of a callback: when the last one goes
/// uncalled, nobody can answer any more, and that is the answer.
template <class T, class Handler>
class one_answer {
 public:
  one_answer(Handler handler, boost::asio::any_io_executor on, std::shared_ptr<std::optional<result<T>>> slot)
      : handler_(std::move(handler)), on_(std::move(on)), slot_(std::move(slot)) {}
  one_answer(const one_answer&) = delete;
  one_answer& operator=(const one_answer&) = delete;
  ~one_answer() { tell(error{errc::cancelled, "whoever was asked has ended"}); }

  void tell(result<T> value) {
    if (told_.exchange(true)) return;
    slot_->emplace(std::move(value));
    boost::asio::post(on_, [handler = std::move(handler_)]() mutable { std::move(handler)(); });
  }

 private:
  Handler handler_;
  boost::asio::any_io_executor on_;
  std::shared_ptr<std::optional<result<T>>> slot_;
  std::atomic<bool> told_{false};
};
}  // namespace detail

/// As await_result, for whoever promises an answer in time, or to let go of the callback: no timer, and a single step
/// on the caller's executor once the answer is there. That is what an append of one small record can be charged with.
template <class T, class Start>
boost::asio::awaitable<result<T>> await_answer(Start start) {
  auto executor = co_await boost::asio::this_coro::executor;
  auto slot = std::make_shared<std::optional<result<T>>>();
  co_await boost::asio::async_initiate<decltype(boost::asio::use_awaitable), void()>(
      // GCC 12 destroys what a lambda within an await expression holds twice: this one holds references only.
      [&start, &slot, &executor](auto handler) {
        using waiting = detail::one_answer<T, decltype(handler)>;
        auto one = std::make_shared<waiting>(std::move(handler), executor, slot);
        std::function<void(result<T>)> then = [one](result<T> value) { one->tell(std::move(value)); };
        one.reset();
        start(std::move(then));
      },
      boost::asio::use_awaitable);
  co_return std::move(**slot);
}

}  // namespace troupe::transport
