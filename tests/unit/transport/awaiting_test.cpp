#include <troupe/transport/awaiting.hpp>

#include "harness.hpp"

using namespace test;

namespace {
awaitable<result<int>> ask(std::function<void(std::function<void(result<int>)>)> start, steady_time deadline) {
  co_return co_await await_result<int>(start, deadline);
}
awaitable<bool> wait_on(notifier& n, std::uint64_t seen, steady_time deadline) {
  co_return co_await n.wait(seen, deadline);
}
}  // namespace

TEST_CASE("a callback's value is awaited, whichever thread it comes on and however early") {
  background io;
  CHECK(io.run(ask([](auto then) { then(1); }, after(10s))) == result<int>(1));
  std::thread other;
  CHECK(io.run(ask([&](auto then) { other = std::thread([then] { then(2); }); }, after(10s))) == result<int>(2));
  other.join();
  CHECK(io.run(ask([](auto then) { then(error(errc::aborted, "no")); }, after(10s))).error().message() == "no");
}

TEST_CASE("a callback that never comes costs its deadline, one that comes late is dropped") {
  background io;
  std::function<void(result<int>)> late;
  CHECK(io.run(ask([&](auto then) { late = then; }, after(20ms))).error().code() == errc::deadline_exceeded);
  late(5);
  late(6);
}

TEST_CASE("a notifier wakes all who wait, and misses nobody who looked before") {
  background io;
  notifier changes;
  const auto seen = changes.generation();
  std::vector<std::future<bool>> waiting;
  for (int i = 0; i < 8; ++i)
    waiting.push_back(io.start(asio::make_strand(io.context), wait_on(changes, seen, after(10s))));
  changes.notify_all();
  for (auto& one : waiting) CHECK(background::wait(std::move(one)));
  CHECK(io.run(wait_on(changes, seen, after(10s))));
  CHECK(!io.run(wait_on(changes, changes.generation(), after(10ms))));
}

TEST_CASE("a notifier may go while somebody waits") {
  background io;
  auto changes = std::make_unique<notifier>();
  std::promise<void> begun;
  const auto strand = asio::make_strand(io.context);
  auto waiting = io.start(strand, [](notifier& n, std::promise<void>& at) -> awaitable<bool> {
    at.set_value();
    co_return co_await n.wait(0, after(10s));
  }(*changes, begun));
  begun.get_future().wait();
  // On the same strand, so after the wait has begun.
  asio::post(strand, [&] { changes.reset(); });
  CHECK(!background::wait(std::move(waiting)));
}
