#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdio>
#include <ctime>
#include <future>
#include <thread>
#include <troupe/security/authority.hpp>
#include <troupe/security/credentials.hpp>
#include <troupe/transport/framed.hpp>

/// How fast frames of 1 MiB go through one connection, in plain text and encrypted, against raw TCP, in turns. Two
/// threads, as between two nodes' data planes; both on this machine. Prints a line of JSON at its end.
using namespace troupe;
using namespace troupe::transport;
using namespace std::chrono_literals;

namespace {

constexpr int frames_each = 1024;
constexpr int rounds = 5;

struct side {
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> guard = asio::make_work_guard(context);
  std::thread thread{[this] { context.run(); }};
  ~side() {
    context.stop();
    thread.join();
  }
};

awaitable<result<void>> give(framed& to) {
  const std::string payload(1 << 20, 'x');
  for (int i = 0; i < frames_each; ++i) TROUPE_CO_TRY_VOID(co_await to.write(1, 0, bytes_view(payload), after(30s)));
  co_return ok();
}

awaitable<result<void>> take(framed& from) {
  for (int i = 0; i < frames_each; ++i) {
    TROUPE_CO_TRY(const auto got, co_await from.read(after(30s)));
    if (got.payload.size() != 1 << 20) co_return error{errc::corrupted, "a frame of another size"};
  }
  co_return ok();
}

/// MB/s, or a negative number when it failed.
double run(side& a, side& b, const security::credentials* mine, const security::credentials* its) {
  auto both = connected_pair(a.context.get_executor(), b.context.get_executor());
  if (!both) return -1;
  if (mine != nullptr) {
    auto x = asio::co_spawn(a.context, both->first.start_tls(mine->context(), tls_side::dialler, after(10s)),
                            asio::use_future);
    auto y = asio::co_spawn(b.context, both->second.start_tls(its->context(), tls_side::acceptor, after(10s)),
                            asio::use_future);
    if (!x.get() || !y.get()) return -1;
  }
  framed out(std::move(both->first)), in(std::move(both->second));
  const auto begun = std::chrono::steady_clock::now();
  auto sent = asio::co_spawn(a.context, give(out), asio::use_future);
  auto taken = asio::co_spawn(b.context, take(in), asio::use_future);
  const bool good = sent.get().has_value() && taken.get().has_value();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  asio::co_spawn(
      a.context, [o = std::move(out)]() mutable -> awaitable<void> { co_return; }, asio::detached);
  asio::co_spawn(
      b.context, [i = std::move(in)]() mutable -> awaitable<void> { co_return; }, asio::detached);
  return good ? frames_each * 1.048576 / took.count() : -1;
}

/// The same bytes through a socket of the loopback with nothing around it: one thread sends, one receives.
double run_raw() {
  const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const where = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listening, where, length) != 0 || ::listen(listening, 1) != 0 ||
      ::getsockname(listening, where, &length) != 0)
    return -1;
  const int out = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (::connect(out, where, length) != 0) return -1;
  const int in = ::accept(listening, nullptr, nullptr);
  constexpr std::size_t total = std::size_t{frames_each} << 20;
  const auto begun = std::chrono::steady_clock::now();
  std::thread sender([&] {
    const std::string payload(1 << 20, 'x');
    for (std::size_t sent = 0; sent < total;) {
      const auto n = ::send(out, payload.data(), std::min(payload.size(), total - sent), MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    ::shutdown(out, SHUT_WR);
  });
  std::string room(1 << 20, '\0');
  std::size_t got = 0;
  for (ssize_t n = 0; (n = ::recv(in, room.data(), room.size(), 0)) > 0;) got += static_cast<std::size_t>(n);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
  sender.join();
  for (const int fd : {listening, out, in}) ::close(fd);
  return got == total ? frames_each * 1.048576 / took.count() : -1;
}

std::shared_ptr<security::credentials> credentials(const security::authority& by, cluster_id cluster) {
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  const auto key = security::private_key::generate().value();
  const security::member_name who{cluster, member_id::random()};
  const auto made = by.sign(security::make_request(key).value(), who, {now - 60, now + 3600}, {}).value();
  return security::credentials::make({made.pem(), key.pem(), by.own().pem()}, true).value();
}

}  // namespace

int main() {
  const auto now = static_cast<std::int64_t>(std::time(nullptr));
  const auto cluster = cluster_id::random();
  const auto authority = security::authority::create(cluster, {now - 60, now + 3600}).value();
  const auto first = credentials(authority, cluster), second = credentials(authority, cluster);
  std::vector<double> to_raw, to_plain;
  side a, b;
  for (int i = 0; i < rounds; ++i) {
    const double raw = run_raw(), plain = run(a, b, nullptr, nullptr), encrypted = run(a, b, first.get(), second.get());
    if (raw < 0 || plain < 0 || encrypted < 0) {
      std::fprintf(stderr, "a connection failed\n");
      return 1;
    }
    to_raw.push_back(plain / raw);
    to_plain.push_back(encrypted / plain);
    std::fprintf(stderr,
                 "round %d: raw TCP %.0f MB/s, frames %.0f MB/s, %.2f of it; TLS 1.3 %.0f MB/s, %.2f of frames\n",
                 i + 1, raw, plain, to_raw.back(), encrypted, to_plain.back());
  }
  std::sort(to_raw.begin(), to_raw.end());
  std::sort(to_plain.begin(), to_plain.end());
  std::printf("{\"frames_to_raw\": %.3f, \"tls_to_frames\": %.3f}\n", to_raw[rounds / 2], to_plain[rounds / 2]);
  return 0;
}
