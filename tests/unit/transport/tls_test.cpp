#include <fcntl.h>

#include <boost/asio/local/stream_protocol.hpp>
#include <support/pki.hpp>
#include <troupe/transport/record_gatherer.hpp>

#include "harness.hpp"

using namespace test;

namespace {

/// Two ends of one encrypted connection, each on its own strand.
struct encrypted {
  explicit encrypted(background& on) : io(on) {
    tcp::acceptor door(io.context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
    tcp::socket one(asio::make_strand(io.context)), other(asio::make_strand(io.context));
    one.connect(door.local_endpoint());
    door.accept(other);
    a_fd = one.native_handle();
    a = connection(std::move(one));
    b = connection(std::move(other));
    auto mine = io.start(a.executor(), a.start_tls(p.credentials_for(first)->context(), tls_side::dialler, after(10s)));
    auto its =
        io.start(b.executor(), b.start_tls(p.credentials_for(second)->context(), tls_side::acceptor, after(10s)));
    REQUIRE_OK(background::wait(std::move(mine)));
    REQUIRE_OK(background::wait(std::move(its)));
  }
  template <class T>
  T run(const connection& on, awaitable<T> work) {
    return background::wait(io.start(on.executor(), std::move(work)));
  }
  result<std::string> read(connection& from, std::size_t size, steady_time deadline = after(10s)) {
    std::string text(size, '\0');
    const auto got = run(from, from.read_exactly(text, deadline));
    if (!got) return got.error();
    return text;
  }
  result<void> write(connection& to, bytes_view data) { return run(to, to.write(data, after(10s))); }

  background& io;
  pki p;
  member_id first = member_id::random(), second = member_id::random();
  connection a, b;
  int a_fd = -1;
};

std::string pattern(std::size_t size) {
  std::string out(size, '\0');
  std::uint32_t x = 1;
  for (auto& c : out) c = static_cast<char>((x = x * 1664525 + 1013904223) >> 24);
  return out;
}

}  // namespace

TEST_CASE("records are gathered from small pieces, and every byte goes once") {
  const auto whole = pattern(200'000);
  const std::vector<std::size_t> sizes{0, 12, 0, 1, 40'000, 16'384, 3, 5, 0, 100'000, 0};
  std::vector<bytes_view> pieces;
  std::size_t at = 0;
  for (const auto size : sizes) pieces.push_back(bytes_view(whole).substr(std::exchange(at, at + size), size));
  record_gatherer records(pieces);
  std::string got;
  std::size_t step = 1;
  for (auto next = records.next(); !next.empty(); next = records.next()) {
    CHECK(records.next() == next);  // asked again, it is the same
    const auto size = std::min(next.size(), step = step * 7 % 20'011 + 1);
    got += next.substr(0, size);
    records.consume(size);
  }
  CHECK(got == whole.substr(0, at));
  const std::array<bytes_view, 2> frame{bytes_view(whole).substr(0, 12), bytes_view(whole).substr(12, 100'000)};
  record_gatherer first(frame);
  CHECK(first.next().size() == record_gatherer::record_bytes);
  CHECK(record_gatherer(std::span<const bytes_view>()).next().empty());
}

TEST_CASE("an end in order before any handshake is no handshake") {
  background io;
  const pki p;
  for (const auto side : {tls_side::acceptor, tls_side::dialler}) {
    auto [one, other] = connected_pair(asio::make_strand(io.context), asio::make_strand(io.context)).value();
    const bytes_view close_notify("\x15\x03\x03\x00\x02\x01\x00", 7);
    REQUIRE_OK(background::wait(io.start(other.executor(), other.write(close_notify, after(10s)))));
    const auto mine = p.credentials_for(member_id::random());
    const auto shaken = background::wait(io.start(one.executor(), one.start_tls(mine->context(), side, after(10s))));
    REQUIRE_FALSE(shaken);
    // Which of the two is OpenSSL's to say.
    CHECK((shaken.error().code() == errc::unavailable || shaken.error().code() == errc::corrupted));
  }
}

TEST_CASE("both ends know whose certificate the other has, and bytes go through whole") {
  background io;
  encrypted e(io);
  CHECK(e.a.is_encrypted());
  REQUIRE(e.a.certified());
  REQUIRE(e.b.certified());
  CHECK(*e.a.certified() == security::member_name{e.p.cluster, e.second});
  CHECK(*e.b.certified() == security::member_name{e.p.cluster, e.first});

  const auto data = pattern(3'000'001);
  const std::array<bytes_view, 3> pieces{bytes_view(data).substr(0, 12), bytes_view(data).substr(12, 1'000'000),
                                         bytes_view(data).substr(1'000'012)};
  // In both directions at once.
  auto sends = io.start(e.a.executor(), e.a.write(std::span<const bytes_view>(pieces), after(10s)));
  auto answers = io.start(e.b.executor(), e.b.write(bytes_view(data), after(10s)));
  std::string to_a(data.size(), '\0');
  auto reads = io.start(e.a.executor(), e.a.read_exactly(to_a, after(10s)));
  const auto to_b = e.read(e.b, data.size());
  REQUIRE_OK(to_b);
  REQUIRE_OK(background::wait(std::move(sends)));
  REQUIRE_OK(background::wait(std::move(answers)));
  REQUIRE_OK(background::wait(std::move(reads)));
  CHECK(*to_b == data);
  CHECK(to_a == data);
}

TEST_CASE("a deadline ends an encrypted read, which has then taken nothing") {
  background io;
  encrypted e(io);
  CHECK(e.read(e.b, 1, after(30ms)).error().code() == errc::deadline_exceeded);
  REQUIRE_OK(e.write(e.a, "late"));
  CHECK(e.read(e.b, 4) == result<std::string>("late"));
  const auto much = pattern(64 << 20);
  CHECK(e.run(e.a, e.a.write(bytes_view(much), after(50ms))).error().code() == errc::deadline_exceeded);
}

TEST_CASE("an end in order is told from one that was cut") {
  background io;
  encrypted e(io);
  REQUIRE_OK(e.write(e.a, "last"));
  e.run(e.a, [](connection& c) -> awaitable<int> {
    c.shutdown_send();
    co_return 0;
  }(e.a));
  char into[16];
  const auto last = e.run(e.b, e.b.read_some(into, after(10s)));
  REQUIRE_OK(last);
  CHECK(*last == 4);
  for (int i = 0; i < 2; ++i) CHECK(e.run(e.b, e.b.read_some(into, after(10s))) == result<std::size_t>(0));
  CHECK(e.b.ended_by_peer());
  CHECK_FALSE(e.a.ended_by_peer());

  // Without the word that ends TLS, an end of file could be anybody's doing: it is an error, not an end.
  encrypted cut(io);
  ::shutdown(cut.a_fd, SHUT_WR);
  CHECK(cut.run(cut.b, cut.b.read_some(into, after(10s))).error().code() == errc::unavailable);
}

TEST_CASE("an encrypted connection moves to another executor") {
  background io, other;
  encrypted e(io);
  e.b.set_peer({e.p.cluster, e.first, incarnation(3), protocol::log, 1});
  auto moved = e.b.move_to(asio::make_strand(other.context));
  REQUIRE_OK(moved);
  CHECK(moved->is_encrypted());
  CHECK(moved->certified()->member == e.first);
  CHECK(moved->peer().member == e.first);
  REQUIRE_OK(e.write(e.a, "over there"));
  std::string text(10, '\0');
  REQUIRE_OK(background::wait(other.start(moved->executor(), moved->read_exactly(text, after(10s)))));
  CHECK(text == "over there");
  *moved = connection();
}

TEST_CASE("who takes the descriptor of an encrypted connection gets a pump's, and either end closes the other") {
  background io;
  encrypted e(io);
  const auto loose = e.run(e.b, [](connection& c) -> awaitable<int> {
    auto released = c.release_fd();
    co_return released ? released->fd : -1;
  }(e.b));
  REQUIRE(loose >= 0);
  CHECK((::fcntl(loose, F_GETFD) & FD_CLOEXEC) != 0);
  asio::local::stream_protocol::socket plain(io.context);
  plain.assign(asio::local::stream_protocol(), loose);
  const auto data = pattern(1'000'000);
  auto sending = io.start(e.a.executor(), e.a.write(bytes_view(data), after(10s)));
  std::string got(data.size(), '\0');
  for (std::size_t at = 0; at < got.size();) {
    boost::system::error_code failure;
    plain.wait(asio::socket_base::wait_read, failure);
    const auto some = plain.read_some(asio::buffer(got.data() + at, got.size() - at), failure);
    REQUIRE((!failure || failure == asio::error::would_block));
    at += some;
  }
  CHECK(got == data);
  REQUIRE_OK(background::wait(std::move(sending)));
  plain.write_some(asio::buffer("answer", 6));
  CHECK(e.read(e.a, 6) == result<std::string>("answer"));
  plain.close();
  char one[1];
  const auto end = e.run(e.a, e.a.read_some(one, after(10s)));
  CHECK((end == result<std::size_t>(0) || end.error().code() == errc::unavailable));
}
