#pragma once
#include <actors/cluster/metadata_wakeup.hpp>
#include <actors/cluster/metadata_wire.hpp>
#include <boost/asio/awaitable.hpp>
#include <deque>
#include <memory>
#include <troupe/transport/framed.hpp>

namespace troupe::actors {

class metadata_holder;

/// The holder's side of one follower's connection: what it reads, and what it still has to be sent. Metadata thread;
/// kept alive by its coroutines.
class metadata_session : public std::enable_shared_from_this<metadata_session> {
 public:
  metadata_session(std::shared_ptr<metadata_holder> holder, transport::connection stream);

  void start();
  /// There are new entries.
  void wake() { changed_.notify(); }
  /// Sent behind the entries that are committed by now. A peer that does not take things up is dropped.
  void push(wire::frame_type type, bytes payload);
  /// Tells why, and ends the connection when that was sent.
  void dismiss(wire::frame_type type, bytes payload);
  void close();

  [[nodiscard]] member_id member() const noexcept { return member_; }
  [[nodiscard]] troupe::incarnation incarnation() const noexcept { return incarnation_; }
  [[nodiscard]] const std::string& remote() const noexcept { return remote_; }

 private:
  struct control {
    wire::frame_type type;
    bytes payload;
    bool last = false;
  };
  boost::asio::awaitable<void> read();
  boost::asio::awaitable<bool> read_hello();
  boost::asio::awaitable<void> write();
  boost::asio::awaitable<bool> send_entries(log_index until);
  boost::asio::awaitable<bool> send_snapshot();
  boost::asio::awaitable<bool> send(wire::frame_type type, bytes_view payload);
  bool handle(transport::frame f);

  std::shared_ptr<metadata_holder> holder_;
  transport::framed stream_;
  const member_id member_;
  const troupe::incarnation incarnation_;
  const std::string remote_;
  wakeup changed_;
  std::deque<control> controls_;
  log_index next_;          ///< the entry to be sent next
  bool following_ = false;  ///< hello was heard: entries flow
  bool closed_ = false;
};

}  // namespace troupe::actors
