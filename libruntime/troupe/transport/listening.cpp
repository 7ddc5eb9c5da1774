#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <troupe/base/random.hpp>
#include <troupe/transport/endpoint.hpp>
#include <troupe/transport/listening.hpp>

namespace troupe::transport {

namespace {

using boost::asio::ip::tcp;

/// Below the kernel's range for outgoing connections (32768 and up): a port that is remembered over a restart must not
/// serve as somebody's source port meanwhile.
constexpr std::uint16_t chosen_port_min = 20000;
constexpr std::uint16_t chosen_port_max = 32000;
constexpr int choices_max = 64;

boost::system::error_code bind_to(tcp::acceptor& acceptor, const tcp::endpoint& to) {
  boost::system::error_code failure;
  if (to.port() != 0) {
    acceptor.bind(to, failure);
    return failure;
  }
  for (int i = 0; i < choices_max; ++i) {
    std::uint16_t random = 0;
    fill_random(&random, sizeof random);
    const auto port = static_cast<std::uint16_t>(chosen_port_min + random % (chosen_port_max - chosen_port_min));
    acceptor.bind(tcp::endpoint(to.address(), port), failure);
    if (!failure) return failure;
  }
  acceptor.bind(to, failure);  // a machine that is so full gets what the kernel has
  return failure;
}

}  // namespace

result<void> listen_on(tcp::acceptor& acceptor, const tcp::endpoint& to, int backlog) {
  const int fd = ::socket(to.protocol().family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_TCP);
  if (fd < 0) return error::from_errno("socket", to_string(to), errno);
  boost::system::error_code failure;
  acceptor.assign(to.protocol(), fd, failure);
  if (failure) {
    ::close(fd);
  } else {
    acceptor.set_option(tcp::acceptor::reuse_address(true), failure);
    if (!failure) failure = bind_to(acceptor, to);
    if (!failure) acceptor.listen(backlog, failure);
  }
  if (!failure) return ok();
  boost::system::error_code ignored;
  acceptor.close(ignored);
  return error{errc::unavailable, "listen on " + to_string(to) + ": " + failure.message()};
}

}  // namespace troupe::transport
