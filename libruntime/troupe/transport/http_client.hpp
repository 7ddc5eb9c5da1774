#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/base/result.hpp>
#include <troupe/transport/http_message.hpp>

namespace troupe::security {
class trust;
}

namespace troupe::transport {

struct http_client_options {
  std::string host;  ///< a name or an address
  std::uint16_t port = 0;
  std::string token;  ///< sent as Authorization: Bearer; none when empty
  /// Whose certificates are believed: then everything is encrypted. Without it the server must be at a loopback
  /// address: nothing goes beyond this machine in plain text.
  std::shared_ptr<const security::trust> trust{};
  cluster_id cluster{};  ///< that the server's certificate must be of, unless nil
  std::chrono::milliseconds connect_time_max = std::chrono::seconds(5);
  std::chrono::milliseconds write_time_max = limits::request_time_max;  ///< without a byte taken by the server
  std::chrono::milliseconds read_time_max = limits::request_time_max;   ///< without a byte from the server
  /// A descriptor that becomes readable when the user wants to stop (a self-pipe, a signalfd): requests then end with
  /// `cancelled`.
  int cancel_fd = -1;
};

struct http_client_request {
  std::string method = "GET";
  std::string target = "/";
  std::vector<http_field> fields;  ///< besides Host, Authorization, Content-Length, Transfer-Encoding
  std::string content_type;
  bytes body;
  /// Instead of `body`: fills the span and says how much, 0 at the end; an error stops the upload and is the request's
  /// result. The span has 256 KiB.
  std::function<result<std::size_t>(std::span<char>)> body_source;
  /// What body_source will give in all, if known: Content-Length instead of chunks.
  std::optional<std::uint64_t> body_bytes;
  /// Gets the body of a 2xx answer piece by piece instead of `http_client_response::body`; an error stops the download
  /// and is the request's result.
  std::function<result<void>(bytes_view)> body_sink;
  /// Instead of the option, for long polls.
  std::optional<std::chrono::milliseconds> read_time_max;
};

struct http_client_response {
  int status = 0;
  std::vector<http_field> fields;
  bytes body;  ///< at most limits::http_body_bytes_max unless it went to body_sink

  [[nodiscard]] bool ok() const noexcept { return status >= 200 && status < 300; }
  [[nodiscard]] std::string_view field(std::string_view name) const noexcept;
};

/// A blocking HTTP/1.1 client for the shell. One thread at a time; one connection, kept alive and dialled again when
/// the server has closed it. Plain sockets and poll: no Asio, so it costs nothing to include.
class http_client {
 public:
  explicit http_client(http_client_options options);
  ~http_client();
  http_client(http_client&&) noexcept;
  http_client& operator=(http_client&&) noexcept;

  /// Any status is a response, also one that comes before the body was sent to its end (the rest is then not sent). An
  /// error means that there is no response: `unavailable` (can't connect, cut off), `deadline_exceeded`, `cancelled`,
  /// or what body_source or body_sink said.
  result<http_client_response> send(const http_client_request& request);

  /// `send`, and a status that isn't 2xx becomes the error that its problem+json tells.
  result<http_client_response> send_ok(const http_client_request& request);

  [[nodiscard]] const http_client_options& options() const noexcept;
  /// Closes the connection; the next request dials again.
  void disconnect() noexcept;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace troupe::transport
