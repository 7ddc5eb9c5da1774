#pragma once
#include <actors/cluster/metadata_wakeup.hpp>
#include <actors/cluster/metadata_wire.hpp>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <memory>
#include <troupe/transport/framed.hpp>

namespace troupe::actors {

/// One connection between two members of the metadata service, and what waits to be written to it. Metadata thread;
/// kept alive by its coroutines.
class peer_link : public std::enable_shared_from_this<peer_link> {
 public:
  peer_link(transport::framed stream, boost::asio::io_context& io, std::chrono::milliseconds write_time_max);

  /// Starts writing what is pushed.
  void start();
  /// A frame behind what waits already. A peer that takes nothing up loses messages of consensus, which repeats them,
  /// and then the connection.
  void push(wire::frame_type type, bytes payload);
  /// Tells why, and ends the connection when that was sent.
  void dismiss(bytes fenced);
  void close();

  boost::asio::awaitable<result<transport::frame>> read(transport::steady_time deadline);

  [[nodiscard]] bool is_open() const noexcept { return !closed_; }
  /// Open, and not about to end.
  [[nodiscard]] bool is_usable() const noexcept { return !closed_ && !dismissed_; }
  [[nodiscard]] const transport::peer& peer() const noexcept { return peer_; }
  [[nodiscard]] const member_id& member() const noexcept { return peer_.member; }
  [[nodiscard]] troupe::incarnation incarnation() const noexcept { return peer_.incarnation; }
  [[nodiscard]] const std::string& remote() const noexcept { return remote_; }

 private:
  struct waiting {
    wire::frame_type type;
    bytes payload;
    bool last = false;
  };
  boost::asio::awaitable<void> write();

  boost::asio::io_context& io_;
  transport::framed stream_;
  const transport::peer peer_;
  const std::string remote_;
  const std::chrono::milliseconds write_time_max_;
  wakeup changed_;
  std::deque<waiting> outbox_;
  std::size_t outbox_bytes_ = 0;
  bool dismissed_ = false;
  bool closed_ = false;
};

}  // namespace troupe::actors
