#pragma once
#include <actors/replication/log_frames.hpp>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <troupe/metadata/service.hpp>
#include <troupe/replication/messages.hpp>
#include <troupe/telemetry/log.hpp>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/framed.hpp>

namespace troupe::logs {

/// Connections of the protocol `log` to all live members, two to each (lanes), dialled by the one with the smaller id
/// and kept, so that a kill shows at once. Everything on the log thread.
///
/// Queues are bounded: a message beyond is dropped (replication sends again), a call beyond is refused.
class log_links : public std::enable_shared_from_this<log_links> {
 public:
  using shared_bytes = replication::shared_bytes;
  using steady_time = transport::steady_time;
  using answer = std::function<void(result<shared_bytes>)>;

  struct settings {
    boost::asio::io_context& io;
    member_id self;
    metadata::service& metadata;
    telemetry::logger& log;
    std::function<transport::dial_request()> request;  ///< who we are, and the host address that connections leave from
    std::function<void(replication::message)> message;
    /// A call from somebody (or from here); `then` answers it.
    std::function<void(member_id from, call_kind, shared_bytes body, steady_time deadline, answer then)> called;
    std::function<void(member_id)> connected;
    /// Its connection was closed and nobody listens at its address any more.
    std::function<void(member_id, troupe::incarnation)> gone;
  };
  explicit log_links(settings with) : with_(std::move(with)), sweep_timer_(with_.io) {}

  /// Members have come or gone: dials whom it should, closes what leads nowhere.
  void refresh();
  void accept(transport::connection incoming);
  void stop();

  void send(member_id to, const replication::message& what, lane by);
  /// `then` comes once, never before this returns: `unavailable` (no connection, or it broke), `deadline_exceeded`,
  /// `resource_exhausted` (queues), or what the other one says.
  void call(member_id to, call_kind kind, bytes head, shared_bytes tail, steady_time deadline, answer then);
  [[nodiscard]] bool is_connected(member_id id, lane by) const { return sessions_.contains({id, by}); }

 private:
  struct outgoing {
    frame_type type = frame_type::message;
    bytes head;
    shared_bytes tail;
  };
  struct session : std::enable_shared_from_this<session> {
    session(transport::connection c, lane l, boost::asio::io_context& io)
        : stream(std::move(c)), by(l), wake(io, steady_time::max()) {}
    transport::framed stream;
    lane by;
    std::deque<outgoing> queue;
    std::size_t queued_bytes = 0;
    boost::asio::steady_timer wake;
    bool writing = false;  ///< the writing coroutine is at it
    bool closed = false;
  };
  using session_ptr = std::shared_ptr<session>;
  using key = std::pair<member_id, lane>;
  struct pending {
    std::weak_ptr<session> over;
    steady_time deadline;
    answer then;
    bytes gathered;
  };

  boost::asio::awaitable<void> dial_for_ever(key whom);
  boost::asio::awaitable<void> greet(transport::connection incoming);
  boost::asio::awaitable<void> serve(session_ptr s);
  boost::asio::awaitable<void> write_for_ever(session_ptr s);
  boost::asio::awaitable<void> probe(member_id id, troupe::incarnation was);
  bool receive(session& s, transport::frame& f);
  bool receive_call(session& s, transport::frame& f);
  bool receive_answer(session& s, transport::frame& f);
  bool push(session& s, outgoing o);
  void adopt(session_ptr s);
  void lost(const session_ptr& s);
  void sweep();
  [[nodiscard]] std::string address_of(member_id id) const;

  settings with_;
  std::atomic<bool> stopped_{false};
  std::set<member_id> live_;
  std::set<key> dialling_;
  std::map<key, session_ptr> sessions_;
  std::uint64_t last_call_ = 0;
  std::map<std::uint64_t, pending> pending_;
  boost::asio::steady_timer sweep_timer_;
  bool sweeping_ = false;
};

}  // namespace troupe::logs
