#pragma once
#include <actors/cluster/metadata_core.hpp>
#include <actors/cluster/metadata_wakeup.hpp>
#include <actors/cluster/metadata_wire.hpp>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <random>
#include <troupe/membership/member_lease.hpp>
#include <troupe/transport/framed.hpp>

namespace troupe::actors {

/// A node that follows: finds the holder, applies what it is sent, forwards proposals, renews its lease. Keeps nothing
/// on its disk: after a restart it takes in a snapshot. Metadata thread; kept alive by its coroutines.
class metadata_follower final : public metadata_role, public std::enable_shared_from_this<metadata_follower> {
 public:
  explicit metadata_follower(metadata_core& core);

  void start() override;
  void submit(request_id id, const bytes& envelope) override;
  void ask_barrier(std::uint64_t number) override;
  void accept(transport::connection stream) override;
  void tick(steady_time now) override;
  void applied(log_index index, const metadata::command& what, const result<metadata::response>& answer) override;
  void stop() override;
  /// Of the cluster, once a holder has been met.
  [[nodiscard]] cluster_id cluster() const { return self_.cluster; }

 private:
  /// One connection to the holder and what waits to be written to it.
  struct link {
    link(transport::framed s, boost::asio::io_context& io) : stream(std::move(s)), changed(io) {}
    transport::framed stream;
    wakeup changed;
    std::deque<std::pair<wire::frame_type, bytes>> outbox;
    bool closed = false;
    void close() {
      closed = true;
      stream.close();
      changed.notify();
    }
  };
  boost::asio::awaitable<void> follow();
  boost::asio::awaitable<result<void>> follow_once(std::string address);
  boost::asio::awaitable<result<void>> greet(link& l);
  boost::asio::awaitable<void> write(std::shared_ptr<link> l);
  boost::asio::awaitable<void> redirect(transport::connection stream);
  result<void> handle(transport::frame f);
  result<void> take_snapshot_part(wire::snapshot_part part);
  result<void> take_entries(const wire::entries& part);
  void push(wire::frame_type type, bytes payload);
  [[nodiscard]] std::string next_address();
  void note_failure(const std::string& address, const error& why);

  metadata_core& core_;
  transport::identity self_;
  std::shared_ptr<link> link_;       ///< while welcome
  std::optional<std::string> hint_;  ///< where a redirect pointed
  std::size_t turn_ = 0;
  std::chrono::milliseconds backoff_;
  boost::asio::steady_timer pause_;
  steady_time beat_at_{};
  membership::member_lease lease_;
  bytes snapshot_;  ///< the parts so far
  log_index snapshot_index_;
  telemetry::rate_limit failures_{std::chrono::seconds(10)};
  std::minstd_rand random_;
};

}  // namespace troupe::actors
