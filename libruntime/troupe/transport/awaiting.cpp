#include <boost/asio/co_spawn.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <list>
#include <troupe/transport/awaiting.hpp>

namespace troupe::transport {

namespace detail {
awaitable<void> wait_on(asio::steady_timer& timer) {
  boost::system::error_code ignored;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}
}  // namespace detail

awaitable<bool> sleep_until(steady_time when) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  boost::system::error_code failure;
  co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, failure));
  co_return !failure;
}

namespace {
/// A waiter's timer is touched on its own executor only. `woken` may be set anywhere.
struct waiter {
  explicit waiter(const asio::any_io_executor& on) : executor(on), timer(on) {}
  asio::any_io_executor executor;
  asio::steady_timer timer;
};

void wake(const std::shared_ptr<waiter>& one) {
  asio::post(one->executor, [one] { one->timer.expires_at(steady_time::min()); });
}
}  // namespace

struct notifier::shared {
  std::mutex mutex;
  std::uint64_t generation = 0;
  bool gone = false;
  std::list<std::shared_ptr<waiter>> waiters;
};

notifier::notifier() : shared_(std::make_shared<shared>()) {}

notifier::~notifier() {
  const std::lock_guard lock(shared_->mutex);
  shared_->gone = true;
  for (const auto& one : shared_->waiters) wake(one);
}

void notifier::notify_all() {
  const std::lock_guard lock(shared_->mutex);
  ++shared_->generation;
  for (const auto& one : shared_->waiters) wake(one);
}

std::uint64_t notifier::generation() const {
  const std::lock_guard lock(shared_->mutex);
  return shared_->generation;
}

awaitable<bool> notifier::wait(std::uint64_t seen, steady_time deadline) {
  const auto kept = shared_;  // the notifier may go while this waits
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  const auto self = std::make_shared<waiter>(executor);
  self->timer.expires_at(deadline);
  // Taken off the list however this coroutine ends, also when it is destroyed while it waits.
  struct listed {
    shared& in;
    std::list<std::shared_ptr<waiter>>::iterator at;
    ~listed() {
      const std::lock_guard lock(in.mutex);
      in.waiters.erase(at);
    }
  };
  std::list<std::shared_ptr<waiter>>::iterator at;
  {
    const std::lock_guard lock(kept->mutex);
    if (kept->generation > seen) co_return true;
    if (kept->gone) co_return false;
    at = kept->waiters.insert(kept->waiters.end(), self);
  }
  const listed guard{*kept, at};
  for (;;) {
    co_await detail::wait_on(self->timer);
    const std::lock_guard lock(kept->mutex);
    if (kept->generation > seen) co_return true;
    if (kept->gone || std::chrono::steady_clock::now() >= deadline) co_return false;
  }
}

}  // namespace troupe::transport
