#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <troupe/base/error.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/telemetry/log.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/awaiting.hpp>
#include <troupe/transport/connection.hpp>
#include <troupe/transport/http_router.hpp>
#include <troupe/transport/request_rate.hpp>

namespace troupe::transport {

class http_session;  // one connection, http_session.hpp

/// Who a request comes from, as its token says.
struct http_caller {
  std::string name;
  http_access may = http_access::viewer;
  /// The cluster itself: no user, and as often as it likes.
  bool cluster = false;
  /// It was a browser that showed a cookie, not a program with a token.
  bool by_cookie = false;
};

/// One request that may have changed something.
struct http_deed {
  std::string who;
  std::string from;  ///< address and port
  std::string what;  ///< method and path
  int status = 0;
};

/// A request as its handler sees it. Lives while the handler runs. The body is read by the handler, piece by piece, and
/// nothing is read ahead of it but one buffer: a slow consumer stops the sender (backpressure), and any size passes at
/// bounded memory.
class http_request {
 public:
  [[nodiscard]] const http_head& head() const noexcept;
  [[nodiscard]] const std::string& method() const noexcept { return head().method; }
  [[nodiscard]] const http_target& target() const noexcept { return target_; }
  /// What stands in the pattern's braces: parameter("name") for «/datasets/{name}»; decoded. Empty when the pattern has
  /// none of that name.
  [[nodiscard]] std::string_view parameter(std::string_view name) const noexcept;
  /// The query's first value of that name.
  [[nodiscard]] std::optional<std::string_view> query(std::string_view name) const noexcept;
  /// The same as a number: `fallback` when it is absent, `invalid_argument` when it is none or not within [least,
  /// most].
  [[nodiscard]] result<std::uint64_t> query_number(std::string_view name, std::uint64_t fallback, std::uint64_t least,
                                                   std::uint64_t most) const;
  [[nodiscard]] std::string_view field(std::string_view name) const noexcept { return head().field(name); }
  [[nodiscard]] tcp::endpoint remote() const noexcept;
  /// What it came over: addresses, whether encrypted, whose certificate. Not to be read from.
  [[nodiscard]] const connection& stream() const noexcept;
  /// Who asks; nobody on an open route, unless a good token came along.
  [[nodiscard]] const std::optional<http_caller>& caller() const noexcept;

  /// Some of the body, at least one byte; 0 at its end. Sends «100 Continue» first where the client waits for it.
  /// `deadline_exceeded` when nothing came for the server's body_idle_time_max, `unavailable` when the client is gone.
  awaitable<result<std::size_t>> read_some(std::span<char> into);
  /// The whole body; `resource_exhausted` (413) above `bytes_max`.
  awaitable<result<bytes>> read_body(std::size_t bytes_max = limits::http_body_bytes_max);

  /// The server is being stopped: long polls should answer with what they have.
  [[nodiscard]] bool stopping() const noexcept;
  /// min(now + wanted, the server's long_poll_time_max): the deadline of a long poll, from wait_ms.
  [[nodiscard]] steady_time poll_deadline(std::chrono::milliseconds wanted) const;
  /// Waits for `changes` to go beyond `seen` as notifier::wait does, but also ends (false) when the server stops or the
  /// client closes its connection.
  awaitable<bool> wait_for(notifier& changes, std::uint64_t seen, steady_time deadline);

 private:
  friend class http_session;
  explicit http_request(http_session& session) : session_(session) {}
  http_session& session_;
  http_target target_;
  std::vector<std::pair<std::string, std::string>> parameters_;
};

/// The answer. Either one of the `send` kind, or begin … write … end. A handler that throws, or returns without an
/// answer, gives a 500; if it had begun already, the connection is cut, so that the client never takes half a body for
/// a whole one.
class http_response {
 public:
  /// A field to go out with the header, before send or begin.
  void set_field(std::string_view name, std::string_view value);

  awaitable<result<void>> send(int status, std::string_view content_type, bytes_view body);
  awaitable<result<void>> send_json(bytes_view json, int status = 200);
  awaitable<result<void>> send_empty(int status = 204);
  /// problem+json, with the status that belongs to the code (problem.hpp) or the one given.
  awaitable<result<void>> send_problem(const error& e);
  awaitable<result<void>> send_problem(int status, const error& e);

  /// A body of unknown length, chunked (or, for HTTP/1.0, ended by closing).
  awaitable<result<void>> begin(int status, std::string_view content_type);
  /// Collects small pieces to 64 KiB; waits while the client doesn't read (backpressure). `unavailable` when it is
  /// gone: stop producing.
  awaitable<result<void>> write(bytes_view data);
  awaitable<result<void>> flush();
  awaitable<result<void>> end();
  /// Cuts the connection without ending the body: the client sees that it isn't whole. For errors after begin.
  void abort() noexcept;

  [[nodiscard]] bool started() const noexcept;
  [[nodiscard]] bool ended() const noexcept;

 private:
  friend class http_session;
  explicit http_response(http_session& session) : session_(session) {}
  http_session& session_;
  std::string fields_;
};

struct http_server_options {
  std::string token;  ///< `Authorization: Bearer …` that may do everything; of no use where `authenticate` is set
  /// Whose token it is, if it is good on this connection. On the connection's strand; must not block.
  std::function<std::optional<http_caller>(std::string_view bearer, const connection& stream)> authenticate;
  /// A cookie of this name may stand instead of Authorization, and this is whose it is. A request that changes
  /// something then needs an Origin, which is ours: browsers send it, and no other page can make one up.
  std::string cookie;
  std::function<std::optional<http_caller>(std::string_view value)> authenticate_cookie;
  /// Called after every request of a known caller that is neither GET nor HEAD, refused ones included.
  std::function<void(http_deed)> deed;
  /// Another place for a request of a known client than the executor that its connection came in on: one that is run
  /// by one thread and outlives the server's sessions. The connection goes there, and comes back for the next request
  /// that has no such place. `away`: it is at such a place now.
  std::function<std::optional<asio::any_io_executor>(const http_head& head, bool away)> place;
  std::vector<std::string>
      hosts;  ///< further names that may stand in Host, without ports; loopback's are always allowed
  std::size_t header_bytes_max = limits::http_header_bytes_max;
  std::chrono::milliseconds header_time_max =
      limits::handshake_time_max;  ///< for a request's header once its first byte is there
  std::chrono::milliseconds idle_time_max = limits::http_idle_time_max;     ///< between requests of a known client
  std::chrono::milliseconds body_idle_time_max = limits::request_time_max;  ///< without a byte of the body
  std::chrono::milliseconds write_time_max = limits::request_time_max;      ///< for the client to take up one write
  std::chrono::milliseconds long_poll_time_max = limits::long_poll_time_max;
  std::size_t connections_max = limits::http_connections_max;
  /// … of one address that is not loopback: half of them, so that others get in while one program runs wild.
  std::size_t connections_per_address_max = limits::http_connections_max / 2;
  request_rate::limits rate;  ///< of each user, over all connections and tokens
};

/// Serves HTTP/1.1 on connections that the gate hands over. One coroutine a connection, on the connection's strand;
/// handlers run there too and must not block: what takes long goes elsewhere and is awaited (await_result).
///
/// Before a handler runs: Host must be ours (else 421; where TLS tells the name, it need not), Origin absent or the
/// same origin (403; with a cookie, what changes something needs one), the token or cookie right (401; the connection
/// is closed), its user not too fast (429, with Retry-After), the path and method known (404, 405), the caller's role
/// enough (403). Every error is problem+json.
class http_server {
 public:
  http_server(http_server_options options, http_router router, telemetry::logger& log, telemetry::metrics& metrics);
  /// Closes what is left at once.
  ~http_server();
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;

  /// Takes a connection over; `prefix` was read from it already. Fits gate::on_http. Any thread.
  void serve(connection stream, bytes prefix);

  /// No new requests: idle connections close now, running requests may finish for `grace`, then they are cut. Calls
  /// `done` once, on any thread, when none is left (perhaps before it returns). Any thread.
  void stop(std::chrono::milliseconds grace, std::function<void()> done);
  [[nodiscard]] std::size_t connections() const;

 private:
  friend class http_session;
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace troupe::transport
