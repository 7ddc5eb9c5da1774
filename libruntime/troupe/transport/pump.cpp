#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <troupe/transport/pump.hpp>

namespace troupe::transport {

namespace {

using boost::system::error_code;
constexpr std::size_t pump_buffer_bytes = 64 * 1024;
/// A link may be silent for as long as it likes: others find out whether its member lives.
constexpr auto silence_max = std::chrono::hours(24);
/// The other node takes nothing for so long: it hangs, and its member is declared dead long before.
constexpr auto write_time_max = std::chrono::seconds(30);

struct pump {
  pump(connection s, asio::local::stream_protocol::socket l) : stream(std::move(s)), local(std::move(l)) {}
  connection stream;
  asio::local::stream_protocol::socket local;

  void close() {
    error_code ignored;
    stream.close();
    local.close(ignored);
  }
};

awaitable<void> inwards(std::shared_ptr<pump> p) {
  const auto buffer = std::make_unique<char[]>(pump_buffer_bytes);
  for (;;) {
    const auto got = co_await p->stream.read_some({buffer.get(), pump_buffer_bytes}, after(silence_max));
    if (!got && got.error().code() == errc::deadline_exceeded) continue;
    if (!got || *got == 0) break;
    error_code failure;
    co_await asio::async_write(p->local, asio::buffer(buffer.get(), *got),
                               asio::redirect_error(asio::use_awaitable, failure));
    if (failure) break;
  }
  p->close();
}

awaitable<void> outwards(std::shared_ptr<pump> p) {
  const auto buffer = std::make_unique<char[]>(pump_buffer_bytes);
  for (;;) {
    error_code failure;
    const auto got = co_await p->local.async_read_some(asio::buffer(buffer.get(), pump_buffer_bytes),
                                                       asio::redirect_error(asio::use_awaitable, failure));
    if (failure) break;
    const auto sent = co_await p->stream.write(bytes_view(buffer.get(), got), after(write_time_max));
    if (!sent) break;
  }
  p->close();
}

}  // namespace

result<int> start_pump(connection stream) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0)
    return error::from_errno("socketpair", "for an encrypted link", errno);
  const auto executor = stream.executor();
  asio::local::stream_protocol::socket local(executor);
  error_code failure;
  local.assign(asio::local::stream_protocol(), ends[0], failure);
  if (failure) {
    ::close(ends[0]);
    ::close(ends[1]);
    return error{errc::io_error, "a socketpair for an encrypted link: " + failure.message()};
  }
  const auto p = std::make_shared<pump>(std::move(stream), std::move(local));
  asio::co_spawn(
      executor, [p] { return inwards(p); }, asio::detached);
  asio::co_spawn(
      executor, [p] { return outwards(p); }, asio::detached);
  return ends[1];
}

}  // namespace troupe::transport
