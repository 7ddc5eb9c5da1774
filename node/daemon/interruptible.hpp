#pragma once
#include <memory>
#include <mutex>
#include <optional>
#include <troupe/transport/awaiting.hpp>
#include <troupe/transport/http_server.hpp>

namespace troupe::node {

/// await_result for what may take long: also ends, with `cancelled`, when the server stops or the client is gone. An
/// answer that comes later is dropped.
template <class T, class Start>
boost::asio::awaitable<result<T>> await_while_wanted(transport::http_request& request, Start start,
                                                     transport::steady_time deadline) {
  struct waiting {
    std::mutex mutex;
    std::optional<result<T>> value;
    transport::notifier told;
  };
  auto state = std::make_shared<waiting>();
  const auto seen = state->told.generation();
  std::function<void(result<T>)> then = [state](result<T> value) {
    {
      const std::lock_guard lock(state->mutex);
      if (state->value) return;
      state->value.emplace(std::move(value));
    }
    state->told.notify_all();
  };
  start(std::move(then));
  (void)co_await request.wait_for(state->told, seen, deadline);
  const std::lock_guard lock(state->mutex);
  if (state->value) co_return std::move(*state->value);
  const bool late = std::chrono::steady_clock::now() >= deadline;
  state->value.emplace(late ? error{errc::deadline_exceeded, "no answer before the deadline"}
                            : error{errc::cancelled, "the node stops, or the client has gone"});
  co_return std::move(*state->value);
}

}  // namespace troupe::node
