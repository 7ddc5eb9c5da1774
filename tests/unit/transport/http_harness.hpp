#pragma once
#include <troupe/base/checksum.hpp>
#include <troupe/transport/gate.hpp>
#include <troupe/transport/http_client.hpp>
#include <troupe/transport/http_server.hpp>

#include "harness.hpp"

namespace test {

/// A gate with an HTTP server behind it, as in a node.
struct web {
  explicit web(http_router router, http_server_options options = {}, gate_options door_options = {}) {
    options.token = "the-token";
    server = std::make_unique<http_server>(options, std::move(router), caught.log, metrics);
    door_options.listen = tcp::endpoint(asio::ip::address_v4::loopback(), 0);
    door = std::make_unique<gate>(io.context, door_options, make_identity(cluster_id::random()), caught.log, metrics);
    door->on_http([this](connection stream, bytes prefix) { server->serve(std::move(stream), std::move(prefix)); });
    REQUIRE_OK(door->start());
  }
  ~web() {
    door->stop();
    stop(0ms);
    io.end();
  }
  bool stop(std::chrono::milliseconds grace) {
    std::promise<void> done;
    server->stop(grace, [&] { done.set_value(); });
    if (stopped) return true;
    stopped = done.get_future().wait_for(10s) == std::future_status::ready;
    return stopped;
  }
  http_client client(std::string token = "the-token") const {
    http_client_options o;
    o.host = "127.0.0.1";
    o.port = door->local().port();
    o.token = std::move(token);
    return http_client(o);
  }
  raw_client raw() const { return raw_client(door->local()); }
  /// A whole request with the token, by hand.
  static std::string request(const std::string& method_and_target, const std::string& more = "",
                             const std::string& body = "") {
    return method_and_target + " HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer the-token\r\n" + more + "\r\n" +
           body;
  }

  background io;  ///< first: the gate's timers and sockets live in it
  log_catcher caught;
  telemetry::metrics metrics;
  std::unique_ptr<http_server> server;
  std::unique_ptr<gate> door;
  bool stopped = false;
};

inline bool is_status(const std::string& answer, int status) {
  return answer.rfind("HTTP/1.1 " + std::to_string(status) + " ", 0) == 0;
}

/// Answers with how many bytes the body had, and their XXH3.
inline http_handler digest_body() {
  return [](http_request& request, http_response& response) -> awaitable<void> {
    std::uint64_t size = 0;
    digest128_stream digest;
    std::string piece(100'000, '\0');
    for (;;) {
      const auto some = co_await request.read_some(piece);
      if (!some) {
        const error why = some.error();
        co_await response.send_problem(why);
        co_return;
      }
      if (*some == 0) break;
      size += *some;
      digest.update({piece.data(), *some});
    }
    const auto text = std::to_string(size) + " " + digest.finish().to_string();
    co_await response.send(200, "text/plain", text);
  };
}

/// Streams `parameter("bytes")` bytes.
inline http_handler stream_bytes() {
  return [](http_request& request, http_response& response) -> awaitable<void> {
    auto left = static_cast<std::size_t>(std::stoull(std::string(request.parameter("bytes"))));
    co_await response.begin(200, "application/octet-stream");
    std::string piece(70'001, '\0');
    std::size_t at = 0;
    while (left > 0) {
      const auto size = std::min(left, at % 3 == 0 ? std::size_t{17} : piece.size());
      for (std::size_t i = 0; i < size; ++i) piece[i] = static_cast<char>('a' + (at + i) % 26);
      const auto sent = co_await response.write({piece.data(), size});
      if (!sent) co_return;
      at += size;
      left -= size;
    }
    co_await response.end();
  };
}

inline http_handler say(std::string text) {
  return [text](http_request&, http_response& response) -> awaitable<void> {
    co_await response.send(200, "text/plain", text);
  };
}

}  // namespace test
