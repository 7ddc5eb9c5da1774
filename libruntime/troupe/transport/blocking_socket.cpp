#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <troupe/security/credentials.hpp>
#include <troupe/transport/blocking_socket.hpp>
#include <troupe/transport/tls_session.hpp>
#include <utility>

namespace troupe::transport {

namespace {

using clock = std::chrono::steady_clock;

error from_errno(int why) {
  if (why == EPIPE || why == ECONNRESET) return {errc::unavailable, "the server closed the connection"};
  return {errc::unavailable, std::strerror(why)};
}

error nothing_moved(std::chrono::milliseconds time_max) {
  return {errc::deadline_exceeded,
          "nothing moved for " + std::to_string(time_max.count()) + " ms; the server hangs or is cut off"};
}

/// poll for one descriptor and the cancelling one, going on after signals. The events that came; 0 when time is up.
result<short> poll_until(int fd, short events, int cancel_fd, clock::time_point deadline) {
  for (;;) {
    pollfd both[2] = {{fd, events, 0}, {cancel_fd, POLLIN, 0}};
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - clock::now()).count();
    const int timeout = static_cast<int>(std::clamp<long long>(left, 0, 1'000'000'000));
    const int count = ::poll(both, cancel_fd >= 0 ? 2 : 1, timeout);
    if (count < 0 && errno != EINTR) return from_errno(errno);
    if (count > 0 && cancel_fd >= 0 && both[1].revents != 0) return error{errc::cancelled, "interrupted"};
    if (count > 0) return both[0].revents;
    if (count == 0 && clock::now() >= deadline) return short{0};
  }
}

result<int> connect_one(const addrinfo& to, int cancel_fd, clock::time_point deadline) {
  const int fd = ::socket(to.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, to.ai_protocol);
  if (fd < 0) return error::from_errno("socket", "TCP", errno);
  const auto fail = [fd](error why) {
    ::close(fd);
    return why;
  };
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (::connect(fd, to.ai_addr, to.ai_addrlen) == 0) return fd;
  if (errno != EINPROGRESS) return fail(from_errno(errno));
  const auto ready = poll_until(fd, POLLOUT, cancel_fd, deadline);
  if (!ready) return fail(ready.error());
  if (*ready == 0) return fail({errc::deadline_exceeded, "no answer in time"});
  int why = 0;
  socklen_t size = sizeof why;
  ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &size);
  if (why != 0) return fail(from_errno(why));
  return fd;
}

}  // namespace

blocking_socket::blocking_socket() = default;
blocking_socket::blocking_socket(int fd, int cancel_fd) : fd_(fd), cancel_fd_(cancel_fd) {}
blocking_socket::~blocking_socket() { close(); }

blocking_socket::blocking_socket(blocking_socket&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), cancel_fd_(other.cancel_fd_), tls_(std::move(other.tls_)) {}

blocking_socket& blocking_socket::operator=(blocking_socket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
    cancel_fd_ = other.cancel_fd_;
    tls_ = std::move(other.tls_);
  }
  return *this;
}

result<blocking_socket> blocking_socket::connect(const std::string& host, std::uint16_t port,
                                                 std::chrono::milliseconds time_max, int cancel_fd) {
  const auto deadline = clock::now() + time_max;
  std::string name = host;
  if (name.size() > 2 && name.front() == '[' && name.back() == ']') name = name.substr(1, name.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failure = ::getaddrinfo(name.c_str(), std::to_string(port).c_str(), &hints, &found);
  if (failure != 0) return error{errc::unavailable, std::string("no such host: ") + ::gai_strerror(failure)};
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  error last{errc::unavailable, "the host has no address"};
  for (const auto* one = found; one != nullptr; one = one->ai_next) {
    const auto fd = connect_one(*one, cancel_fd, deadline);
    if (fd) return blocking_socket(*fd, cancel_fd);
    last = fd.error();
    if (last.code() == errc::cancelled || last.code() == errc::deadline_exceeded) break;
  }
  return last;
}

result<void> blocking_socket::start_tls(const security::trust& trust, const cluster_id& cluster,
                                        std::chrono::milliseconds time_max) {
  const auto deadline = clock::now() + time_max;
  TROUPE_TRY(tls_, tls_session::make(trust.context(), tls_side::dialler, fd_));
  for (;;) {
    TROUPE_TRY(const auto step, tls_->shake());
    if (step.what == tls_session::progress::done) break;
    const auto wanted = static_cast<short>(step.what == tls_session::progress::wants_read ? POLLIN : POLLOUT);
    TROUPE_TRY(const auto came, poll_until(fd_, wanted, cancel_fd_, deadline));
    if (came == 0) return error{errc::deadline_exceeded, "no TLS handshake in time"};
  }
  TROUPE_TRY(const auto who, tls_->certified());
  if (who && (cluster.is_nil() || who->cluster == cluster)) return ok();
  return error{errc::permission_denied, "its certificate is of another cluster; do not trust what listens there"};
}

bool blocking_socket::is_loopback() const noexcept {
  sockaddr_storage other{};
  socklen_t size = sizeof other;
  if (::getpeername(fd_, reinterpret_cast<sockaddr*>(&other), &size) != 0) return false;
  if (other.ss_family == AF_INET)
    return (ntohl(reinterpret_cast<const sockaddr_in*>(&other)->sin_addr.s_addr) >> 24) == 127;
  return other.ss_family == AF_INET6 &&
         IN6_IS_ADDR_LOOPBACK(&reinterpret_cast<const sockaddr_in6*>(&other)->sin6_addr) != 0;
}

result<blocking_socket::readiness> blocking_socket::wait(bool for_read, bool for_write,
                                                         std::chrono::milliseconds time_max, bool must) {
  if (for_read && tls_ && tls_->has_pending()) return readiness{true, false};
  const auto wanted = static_cast<short>((for_read ? POLLIN : 0) | (for_write ? POLLOUT : 0));
  TROUPE_TRY(const auto came, poll_until(fd_, wanted, cancel_fd_, clock::now() + time_max));
  if (came == 0 && must) return nothing_moved(time_max);
  // A hangup or an error is found out by reading.
  const bool ended = (came & (POLLHUP | POLLERR)) != 0;
  return readiness{(came & POLLIN) != 0 || (ended && for_read), (came & POLLOUT) != 0 || (ended && !for_read)};
}

result<std::size_t> blocking_socket::read_some(std::span<char> into, std::chrono::milliseconds time_max) {
  while (tls_) {
    TROUPE_TRY(const auto step, tls_->read(into));
    if (step.what == tls_session::progress::done) return step.size;
    const bool reads = step.what == tls_session::progress::wants_read;
    TROUPE_TRY(const auto came, poll_until(fd_, reads ? POLLIN : POLLOUT, cancel_fd_, clock::now() + time_max));
    if (came == 0) return nothing_moved(time_max);
  }
  for (;;) {
    const auto got = ::recv(fd_, into.data(), into.size(), 0);
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return from_errno(errno);
    TROUPE_TRY_VOID(wait(true, false, time_max));
  }
}

result<std::size_t> blocking_socket::write_available(bytes_view data) {
  if (tls_) {
    TROUPE_TRY(const auto step, tls_->write(data));
    return step.size;
  }
  for (;;) {
    const auto sent = ::send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return std::size_t{0};
    return from_errno(errno);
  }
}

bool blocking_socket::ended_by_peer() const noexcept {
  if (tls_) return tls_->ended_by_peer();
  char one = 0;
  const auto got = ::recv(fd_, &one, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

void blocking_socket::close() noexcept {
  if (tls_ && fd_ >= 0) tls_->end();
  tls_.reset();
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace troupe::transport
