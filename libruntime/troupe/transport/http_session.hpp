#pragma once
#include <atomic>
#include <map>
#include <mutex>
#include <troupe/transport/address_share.hpp>
#include <troupe/transport/http_parser.hpp>
#include <troupe/transport/http_server.hpp>

/// Inside of the HTTP server: one connection, and what all of them share. Nobody else includes this.
namespace troupe::transport {

struct http_server::state : std::enable_shared_from_this<http_server::state> {
  state(http_server_options o, http_router r, telemetry::logger& l, telemetry::metrics& m);

  const http_server_options options;
  const http_router router;
  telemetry::logger& log;
  telemetry::counter& requests;
  telemetry::counter& refused;
  telemetry::counter& failed;
  telemetry::counter& too_fast;
  telemetry::histogram& seconds;
  std::atomic<bool> stopping{false};

  mutable std::mutex mutex;  ///< of everything below
  address_shares known_clients;
  request_rate rate;
  std::map<const http_session*, std::weak_ptr<http_session>> sessions;
  std::function<void()> done;  ///< of stop

  void leave(const http_session* session);
  /// One connection of somebody known more. An error when there is no room for it.
  result<void> take_place(const asio::ip::address& from);
  void give_place(const asio::ip::address& from);
  /// Zero: this caller may; else how long to wait.
  request_rate::duration ask_rate(const http_caller& caller);
  /// Every session now; outside the lock, so that a session may end meanwhile.
  std::vector<std::shared_ptr<http_session>> all() const;
};

/// One connection: reads requests one after another, checks them, runs their handlers. Runs on the connection's
/// executor.
class http_session : public std::enable_shared_from_this<http_session> {
 public:
  http_session(std::shared_ptr<http_server::state> server, connection stream, bytes prefix);
  ~http_session();

  /// Until the connection ends, or goes on elsewhere. `self` keeps the session while it runs. `has_header`: of the
  /// first request, read where the connection was before.
  awaitable<void> run(std::shared_ptr<http_session> self, bool has_header);
  /// On the executor: closes now if no request runs.
  void close_if_idle();
  void close() { stream_.close(); }
  /// Where it runs now. Any thread; by the time it is used the session may run elsewhere, unless the server stops.
  [[nodiscard]] asio::any_io_executor executor() const {
    const std::lock_guard lock(place_mutex_);
    return place_;
  }

 private:
  /// What is left of a body is read to its end when it is at most this; beyond it, closing costs less.
  static constexpr std::size_t drain_bytes_max = 64 * 1024;

  friend class http_request;
  friend class http_response;
  enum class answer { none, whole, streaming, ended, cut };

  /// Goes to where the request that has come is handled. True: it runs there, or the connection has ended.
  bool move_to_its_place(const std::shared_ptr<http_session>& self);
  /// The next request's header. False: the connection ends, without or after an answer.
  awaitable<bool> read_header();
  awaitable<result<std::size_t>> read_more(steady_time deadline);
  awaitable<void> handle();
  awaitable<void> run_handler(const http_handler& handler, http_request& request, http_response& response);
  awaitable<void> refuse(int status, error why);
  /// Answers 429; the connection goes on.
  awaitable<void> refuse_for_now(http_response& response, request_rate::duration wait);
  /// Why this request is not for us, or not from somebody we know; ok for what may be routed.
  struct verdict {
    int status = 0;
    error why;
  };
  [[nodiscard]] verdict check_origin() const;
  [[nodiscard]] std::optional<http_caller> find_caller() const;
  void note_deed() const;
  /// Reads what is left of a small body, so that the next request can follow. False: close instead.
  awaitable<bool> drain();
  /// Ends our side and waits a little for the client to end its own, so that it gets to read our answer.
  awaitable<void> linger();

  awaitable<result<std::size_t>> read_body_some(std::span<char> into);
  [[nodiscard]] bool keeps_alive() const;
  bytes make_header(int status, std::string_view content_type, const std::string& fields,
                    std::optional<std::size_t> length);
  awaitable<result<void>> send_whole(int status, std::string_view content_type, const std::string& fields,
                                     bytes_view body);
  awaitable<result<void>> begin(int status, std::string_view content_type, const std::string& fields);
  awaitable<result<void>> send_chunk(bytes_view data);
  awaitable<result<void>> write_streaming(bytes_view data);
  awaitable<result<void>> end_streaming();

  /// Says that the session has gone when all that is behind it has: the server's owner may then take away the contexts
  /// that the session's executors belong to.
  struct presence {
    std::shared_ptr<http_server::state> server;
    const http_session* session;
    ~presence() { server->leave(session); }
  };

  const std::shared_ptr<http_server::state> server_;
  const presence presence_;
  connection stream_;
  const asio::any_io_executor home_;  ///< where the connection came in
  mutable std::mutex place_mutex_;
  asio::any_io_executor place_;
  bool known_ = false;  ///< a request with the token has come
  bool idle_ = false;

  std::unique_ptr<char[]> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;

  // Of the present request.
  std::optional<http_caller> caller_;
  std::unique_ptr<http_parser> parser_;
  answer answer_ = answer::none;
  int status_ = 0;
  bool body_started_ = false;
  bool close_after_ = false;
  bool chunked_answer_ = false;
  bytes out_;
};

}  // namespace troupe::transport
