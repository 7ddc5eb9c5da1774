#include <boost/asio/io_context.hpp>
#include <chrono>
#include <future>

#include "node/daemon/daemon_impl.hpp"

namespace troupe::node {
namespace {

using namespace std::chrono_literals;

constexpr auto leave_time_max = 3s;          ///< for telling the others that this node goes
constexpr auto leaderless_time_max = 600ms;  ///< of them, while nobody leads: the last ones of a cluster go unheard
constexpr auto http_grace = 1s;              ///< for requests that are being answered

}  // namespace

/// Tells the cluster, so that it need not find out.
void daemon::impl::leave() {
  std::promise<void> told;
  auto done = told.get_future();
  auto once = std::make_shared<std::atomic<bool>>(false);
  auto promise = std::make_shared<std::promise<void>>(std::move(told));
  metadata->propose(metadata::set_member_state{identity.member_id, identity.incarnation, metadata::member_state::left,
                                               "left in order"},
                    request_id::random(), static_cast<std::uint32_t>(std::chrono::milliseconds(leave_time_max).count()),
                    [once, promise](const result<metadata::response>&) {
                      if (!once->exchange(true)) promise->set_value();
                    });
  const auto begun = std::chrono::steady_clock::now();
  auto led = begun;
  while (done.wait_for(20ms) != std::future_status::ready) {
    const auto now = std::chrono::steady_clock::now();
    if (!metadata->leader().is_nil()) led = now;
    if (now - begun < leave_time_max && now - led < leaderless_time_max) continue;
    return log.warning("node", "nobody leads the metadata or answers in time: leaving without the others' knowledge");
  }
}

void daemon::impl::stop() {
  if (http) {
    std::promise<void> closed;
    auto done = closed.get_future();
    http->stop(std::chrono::duration_cast<std::chrono::milliseconds>(http_grace), [&closed] { closed.set_value(); });
    done.wait();
  }
  {
    const std::lock_guard lock(lease_mutex);
    tell_of_lease = nullptr;
  }
  for (const auto& end_observation : unobserve) end_observation();
  if (links) links->stop();
  if (supervisors) supervisors->stop();
  pool.reset();
  if (gate) gate->stop();
  if (logs) logs->stop();
  if (data) data->stop();
  if (metadata) metadata->stop();
  if (signals) signals->cancel();
  if (certificate_timer) certificate_timer->cancel();
  work.reset();
  io.stop();
  for (auto& t : threads) t.join();
  threads.clear();
  blocking.join();
  http.reset();
  links.reset();
  supervisors.reset();
  ports.reset();
  log_calls.reset();
  logs.reset();
  data.reset();
  bridge.reset();
  system.reset();
}

}  // namespace troupe::node
