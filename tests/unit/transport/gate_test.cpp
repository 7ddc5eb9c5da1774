#include <sys/resource.h>

#include <algorithm>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/framed.hpp>
#include <troupe/transport/gate.hpp>

#include "harness.hpp"

using namespace test;

namespace {

/// A gate whose block protocol echoes one frame per connection, with what it took on record.
struct node {
  explicit node(background& on, gate_options options = {}) : io(on), me(make_identity(cluster_id::random())) {
    options.listen = tcp::endpoint(asio::ip::address_v4::loopback(), 0);
    door = std::make_unique<gate>(io.context, options, me, caught.log, metrics);
    door->on(protocol::block, [](connection stream) {
      const auto on_strand = stream.executor();
      asio::co_spawn(on_strand, echo(std::move(stream)), asio::detached);
    });
    door->on(
        protocol::raft, [this](connection stream) { taken.change([&] { held.push_back(std::move(stream)); }); }, true);
    door->on_http([this](connection stream, bytes prefix) {
      taken.change([&] {
        http.push_back(std::move(prefix));
        held.push_back(std::move(stream));
      });
    });
    REQUIRE_OK(door->start());
  }
  ~node() {
    io.end();
    held.clear();
    door.reset();
  }
  static awaitable<void> echo(connection stream) {
    framed frames(std::move(stream));
    auto got = co_await frames.read(after(10s));
    if (got) (void)co_await frames.write(got->type, 0, bytes_view(got->payload), after(10s));
    (void)co_await frames.read(after(10s));
  }

  transport::identity friend_of(std::uint64_t incarnation = 1) const {
    auto other = make_identity(me.cluster, incarnation);
    other.token = me.token;
    return other;
  }
  dial_request request(transport::identity from, protocol what = protocol::block) const {
    dial_request r;
    r.to = door->local();
    r.protocol = what;
    r.self = std::move(from);
    r.deadline = after(10s);
    return r;
  }
  result<connection> dial_it(dial_request r) { return io.run(dial(std::move(r))); }

  background& io;
  transport::identity me;
  log_catcher caught;
  telemetry::metrics metrics;
  signal_box taken;
  std::vector<connection> held;
  std::vector<bytes> http;
  std::unique_ptr<gate> door;
};

awaitable<result<std::string>> ask(dial_request r) {
  auto stream = co_await dial(std::move(r));
  if (!stream) co_return stream.error();
  framed frames(std::move(*stream));
  const std::string text = "hello";
  TROUPE_CO_TRY_VOID(co_await frames.write(3, 0, bytes_view(text), after(10s)));
  auto got = co_await frames.read(after(10s));
  if (!got) co_return got.error();
  co_return got->payload;
}

}  // namespace

TEST_CASE("a member dials, is known, and its frames go through") {
  background io;
  node n(io);
  CHECK(io.run(ask(n.request(n.friend_of()))) == result<std::string>("hello"));
  auto from = n.friend_of();
  auto r = n.request(from, protocol::raft);
  r.from = asio::ip::make_address("127.0.0.5");
  r.expected = n.me.member;
  auto stream = n.dial_it(r);
  REQUIRE_OK(stream);
  CHECK(stream->peer().member == n.me.member);
  CHECK(stream->local().address().to_string() == "127.0.0.5");
  REQUIRE(n.taken.wait([&] { return n.held.size() == 1; }));
  CHECK(n.held[0].peer().member == from.member);
  CHECK(n.held[0].peer().protocol == protocol::raft);
  CHECK(n.held[0].remote().address().to_string() == "127.0.0.5");
  CHECK(n.door->unauthenticated() == 0);
}

TEST_CASE("refusals are sentences on both sides") {
  background io;
  gate_options options;
  options.log_interval = 0ms;
  node n(io, options);

  auto stranger = n.friend_of();
  stranger.token = "wrong";
  const auto token = n.dial_it(n.request(stranger));
  REQUIRE(!token);
  CHECK(token.error().code() == errc::permission_denied);
  CHECK(token.error().message().find("dial 127.0.0.1:") == 0);
  CHECK(n.caught.wait_for("does not know this cluster's token"));

  auto foreign = n.friend_of();
  foreign.cluster = cluster_id::random();
  CHECK(n.dial_it(n.request(foreign)).error().code() == errc::failed_precondition);
  CHECK(n.caught.wait_for("belongs to another cluster"));

  CHECK(n.dial_it(n.request(n.friend_of(), protocol::log)).error().code() == errc::unsupported);
  CHECK(n.dial_it(n.request(n.me)).error().code() == errc::failed_precondition);
  CHECK(n.caught.wait_for("own member id"));

  n.door->set_admission([](const peer&) { return std::optional(refusal_code::stale_incarnation); });
  CHECK(n.dial_it(n.request(n.friend_of())).error().message().find("a later start of this member") !=
        std::string::npos);
}

TEST_CASE(
    "one live connection per member where asked for: a second is refused, a later start displaces, an earlier one is a "
    "ghost") {
  background io;
  node n(io);
  auto member = n.friend_of(5);
  auto first = n.dial_it(n.request(member, protocol::raft));
  REQUIRE_OK(first);
  const auto second = n.dial_it(n.request(member, protocol::raft));
  REQUIRE(!second);
  CHECK(second.error().message().find("already connected") != std::string::npos);

  member.incarnation = incarnation(6);
  auto later = n.dial_it(n.request(member, protocol::raft));
  REQUIRE_OK(later);
  char byte[1];
  auto displaced =
      io.start(first->executor(), [](connection& c, std::span<char> into) -> awaitable<result<std::size_t>> {
        co_return co_await c.read_some(into, after(10s));
      }(*first, byte));
  CHECK(background::wait(std::move(displaced)) == result<std::size_t>(0u));

  member.incarnation = incarnation(5);
  CHECK(n.dial_it(n.request(member, protocol::raft)).error().message().find("a later start") != std::string::npos);

  // When the connection has gone, the same member may come again.
  REQUIRE(n.taken.wait([&] { return n.held.size() == 2; }));
  n.taken.change([&] { n.held.clear(); });
  member.incarnation = incarnation(6);
  CHECK(n.dial_it(n.request(member, protocol::raft)).has_value());
  // Other members and protocols without the rule are not concerned.
  CHECK(n.dial_it(n.request(n.friend_of(5), protocol::raft)).has_value());
  CHECK(io.run(ask(n.request(member))) == result<std::string>("hello"));
}

TEST_CASE("HTTP is told by its first bytes and stays unauthenticated") {
  background io;
  node n(io);
  raw_client c(n.door->local());
  REQUIRE(c.send("GET / HTTP/1.1\r\n"));
  REQUIRE(n.taken.wait([&] { return n.http.size() == 1; }));
  CHECK(n.http[0] == "GET ");
  CHECK(n.door->unauthenticated() == 1);
  n.taken.change([&] { n.held.clear(); });
  CHECK(n.door->unauthenticated() == 0);
}

TEST_CASE("rubbish, huge lengths, half handshakes and silence are refused, with one line for all") {
  background io;
  gate_options options;
  options.handshake_time_max = 150ms;
  node n(io, options);
  const bytes hello_of_4_gib = bytes(handshake::magic) + bytes("\xff\xff\xff\xff", 4);
  for (const bytes& rude :
       {bytes(1000, 'x'), bytes("\x16\x03\x01\x02\x00"), bytes(handshake::magic.substr(0, 4)) + "junk",
        bytes("\0\0\0\0", 4), bytes("SSH-2.0-x\r\n")}) {
    raw_client c(n.door->local());
    c.send(rude);
    CHECK(c.closed_without_a_word());
  }
  {
    raw_client c(n.door->local());
    c.send(hello_of_4_gib);
    // A refusal in 9 bytes, then the end.
    CHECK(c.read_all().size() == 9);
  }
  const auto began = std::chrono::steady_clock::now();
  raw_client silent(n.door->local()), half(n.door->local());
  half.send(handshake::magic);
  CHECK(silent.closed_without_a_word());
  CHECK(half.closed_without_a_word());
  CHECK(std::chrono::steady_clock::now() - began < 5s);
  CHECK(n.caught.count_now("gate: refused") == 1);
  CHECK(io.run(ask(n.request(n.friend_of()))) == result<std::string>("hello"));
}

TEST_CASE("thousands of silent connections are bounded, lock nobody out, and make one line") {
  background io;
  gate_options options;
  options.unauthenticated_max = 64;
  options.handshake_time_max = 10s;
  node n(io, options);
  std::vector<raw_client> crowd;
  crowd.reserve(600);
  for (int i = 0; i < 600; ++i) {
    crowd.emplace_back(n.door->local());
    REQUIRE(crowd.back().connected());
    if (i % 100 == 99) CHECK(io.run(ask(n.request(n.friend_of()))) == result<std::string>("hello"));
  }
  // The last dial has gone through, so all that came before it were accepted.
  CHECK(n.door->unauthenticated() <= 64);
  CHECK(crowd[0].closed_without_a_word());
  CHECK(n.caught.count_now("gate: refused") <= 1);
}

TEST_CASE("out of descriptors, the gate waits, frees what is silent, and goes on") {
  background io;
  gate_options options;
  options.handshake_time_max = 10s;
  node n(io, options);
  std::vector<raw_client> crowd;
  for (int i = 0; i < 20; ++i) crowd.emplace_back(n.door->local());
  CHECK(io.run(ask(n.request(n.friend_of()))) == result<std::string>("hello"));  // all accepted

  // Clients' sockets, made before the limit, which then allows no descriptor more. Several, because the connection just
  // asked on may free its own meanwhile.
  std::vector<int> clients(8);
  for (int& fd : clients) fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit tight{static_cast<rlim_t>(*std::max_element(clients.begin(), clients.end())) + 1, before.rlim_max};
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  std::vector<int> fillers;  // of holes below the limit
  for (int filler = ::dup(clients[0]); filler >= 0; filler = ::dup(clients[0])) fillers.push_back(filler);
  const auto to = n.door->local();
  bool connected = true;
  for (const int fd : clients)
    connected = connected && ::connect(fd, to.data(), static_cast<socklen_t>(to.size())) == 0;
  const bool said = n.caught.wait_for("out of descriptors");
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  for (const int filler : fillers) ::close(filler);
  for (const int fd : clients) ::close(fd);
  CHECK(connected);
  CHECK(said);
  CHECK(crowd[0].closed_without_a_word());
  CHECK(io.run(ask(n.request(n.friend_of()))) == result<std::string>("hello"));
}

TEST_CASE("a gate listens on loopback only, on a free port, and says what is wrong") {
  background io;
  node n(io);
  telemetry::metrics metrics;
  gate_options options;
  options.listen = tcp::endpoint(asio::ip::make_address("0.0.0.0"), 0);
  gate open(io.context, options, n.me, n.caught.log, metrics);
  CHECK(open.start().error().code() == errc::invalid_argument);
  options.listen = n.door->local();
  gate taken(io.context, options, n.me, n.caught.log, metrics);
  CHECK(taken.start().error().code() == errc::unavailable);
}

TEST_CASE("dialling nobody, a black hole, and somebody who is no node") {
  background io;
  node n(io);
  auto r = n.request(n.friend_of());
  n.door->stop();
  // The port is closed soon after stop; until then, connections are closed without a word.
  CHECK(n.dial_it(r).error().code() == errc::unavailable);

  const int listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in any{};
  any.sin_family = AF_INET;
  any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(::bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof any) == 0);
  REQUIRE(::listen(listener, 4) == 0);
  socklen_t size = sizeof any;
  REQUIRE(::getsockname(listener, reinterpret_cast<sockaddr*>(&any), &size) == 0);
  r.to.port(ntohs(any.sin_port));
  r.deadline = after(50ms);
  CHECK(n.dial_it(r).error().code() == errc::deadline_exceeded);
  r.deadline = after(10s);
  std::thread rude([listener] {
    for (int i = 0; i < 2; ++i) {  // the first is the one that gave up
      const int fd = ::accept(listener, nullptr, nullptr);
      (void)!::write(fd, "220 smtp ready\r\n", 16);
      char hello[256];
      while (::read(fd, hello, sizeof hello) > 0) break;
      ::close(fd);
    }
  });
  CHECK(n.dial_it(r).error().code() == errc::corrupted);
  rude.join();
  ::close(listener);
}
