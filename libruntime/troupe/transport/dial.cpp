#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/handshake_io.hpp>
#include <troupe/transport/secure.hpp>

namespace troupe::transport {

namespace {

using boost::system::error_code;

/// Asio opens sockets that a forked child would inherit until somebody closes them; this one never is.
result<tcp::socket> open_socket(const asio::any_io_executor& executor, const tcp& family) {
  const int fd = ::socket(family.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  if (fd < 0) return error::from_errno("socket", "TCP", errno);
  tcp::socket socket(executor);
  error_code failure;
  socket.assign(family, fd, failure);
  if (failure) return error{errc::io_error, "a socket: " + failure.message()};
  return socket;
}

result<void> bind_host(tcp::socket& socket, const asio::ip::address& from) {
#ifdef IP_BIND_ADDRESS_NO_PORT
  // The port is chosen at connect, where it need only be unique together with the peer's.
  const int on = 1;
  if (from.is_v4()) ::setsockopt(socket.native_handle(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
#endif
  error_code failure;
  socket.bind(tcp::endpoint(from, 0), failure);
  if (failure)
    return error{errc::unavailable, "can't use this node's own address " + from.to_string() + ": " + failure.message()};
  return ok();
}

awaitable<result<void>> connect(tcp::socket& socket, tcp::endpoint to, steady_time deadline) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  // Closing the socket is what ends a connect; shared, because the timer's handler may run after this has returned.
  struct watch {
    explicit watch(const asio::any_io_executor& on) : timer(on) {}
    asio::steady_timer timer;
    asio::cancellation_signal cancel;
    bool done = false;
    bool timed_out = false;
  };
  const auto w = std::make_shared<watch>(executor);
  w->timer.expires_at(deadline);
  w->timer.async_wait([w](const error_code& failure) {
    if (failure || w->done) return;
    w->timed_out = true;
    w->cancel.emit(asio::cancellation_type::terminal);
  });
  error_code failure;
  co_await socket.async_connect(
      to, asio::bind_cancellation_slot(w->cancel.slot(), asio::redirect_error(asio::use_awaitable, failure)));
  w->done = true;
  w->timer.cancel();
  if (!failure) co_return ok();
  if (w->timed_out) co_return error{errc::deadline_exceeded, "no answer before the deadline"};
  co_return error{errc::unavailable, failure.message()};
}

awaitable<result<connection>> attempt(const dial_request& request) {
  const asio::any_io_executor executor = co_await asio::this_coro::executor;
  TROUPE_CO_TRY(tcp::socket socket, open_socket(executor, request.to.protocol()));
  if (request.from) TROUPE_CO_TRY_VOID(bind_host(socket, *request.from));
  TROUPE_CO_TRY_VOID(co_await connect(socket, request.to, request.deadline));
  connection stream(std::move(socket));
  // Dialling a free port of one's own range can connect a socket to itself.
  if (stream.local() == stream.remote()) co_return error{errc::unavailable, "nobody listens there"};
  TROUPE_CO_TRY_VOID(co_await secure_dialled(stream, request.self, request.expected, request.deadline));
  TROUPE_CO_TRY_VOID(
      co_await handshake::dial(stream, request.self, request.protocol, request.expected, request.deadline));
  TROUPE_CO_TRY_VOID(check_dialled(stream, request.self));
  close_when_revoked(stream, request.self);
  co_return stream;
}

}  // namespace

awaitable<result<connection>> dial(dial_request request) {
  auto made = co_await attempt(request);
  if (made) co_return std::move(*made);
  co_return made.error().with_context("dial " + to_string(request.to) + " for " +
                                      std::string(to_string(request.protocol)));
}

}  // namespace troupe::transport
