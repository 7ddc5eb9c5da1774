#include <fcntl.h>

#include "harness.hpp"

using namespace test;

namespace {

awaitable<result<std::size_t>> read_some(connection& c, std::span<char> into, steady_time deadline) {
  co_return co_await c.read_some(into, deadline);
}
awaitable<result<void>> write(connection& c, bytes_view data, steady_time deadline) {
  co_return co_await c.write(data, deadline);
}
awaitable<result<std::string>> read_text(connection& c, std::size_t size) {
  std::string text(size, '\0');
  const auto got = co_await c.read_exactly(text, after(10s));
  if (!got) co_return got.error();
  co_return text;
}

struct pair_on_strands {
  explicit pair_on_strands(background& io)
      : first(asio::make_strand(io.context)), second(asio::make_strand(io.context)) {
    auto made = connected_pair(first, second);
    REQUIRE_OK(made);
    a = std::move(made->first);
    b = std::move(made->second);
  }
  asio::any_io_executor first, second;
  connection a, b;
};

}  // namespace

TEST_CASE("pieces are gathered and arrive in order; an end of file is told from an error") {
  background io;
  pair_on_strands p(io);
  const auto send = [](connection& c) -> awaitable<result<void>> {
    const std::array<bytes_view, 4> pieces{"one ", "", "two ", "three"};
    co_return co_await c.write(std::span<const bytes_view>(pieces), after(10s));
  };
  REQUIRE_OK(background::wait(io.start(p.first, send(p.a))));
  CHECK(background::wait(io.start(p.second, read_text(p.b, 13))) == result<std::string>("one two three"));
  p.a.shutdown_send();
  char more[8];
  CHECK(background::wait(io.start(p.second, read_some(p.b, more, after(10s)))) == result<std::size_t>(0u));
  CHECK(background::wait(io.start(p.second, read_text(p.b, 1))).error().code() == errc::unavailable);
}

TEST_CASE("a read whose deadline passes takes nothing, and the stream goes on") {
  background io;
  pair_on_strands p(io);
  char into[4];
  for (int i = 0; i < 3; ++i)
    CHECK(background::wait(io.start(p.second, read_some(p.b, into, after(15ms)))).error().code() ==
          errc::deadline_exceeded);
  REQUIRE_OK(background::wait(io.start(p.first, write(p.a, "yes", after(10s)))));
  CHECK(background::wait(io.start(p.second, read_text(p.b, 3))) == result<std::string>("yes"));
  // An early deadline after a late one, and a late one after an early one.
  CHECK(background::wait(io.start(p.second, read_some(p.b, into, after(15ms)))).error().code() ==
        errc::deadline_exceeded);
}

TEST_CASE("a write that nobody takes ends at its deadline, while a read underway is not disturbed") {
  background io;
  pair_on_strands p(io);
  char into[4];
  auto reading = io.start(p.first, read_some(p.a, into, after(10s)));
  const std::string much(64 << 20, 'x');
  CHECK(background::wait(io.start(p.first, write(p.a, much, after(50ms)))).error().code() == errc::deadline_exceeded);
  REQUIRE_OK(background::wait(io.start(p.second, write(p.b, "hi", after(10s)))));
  CHECK(background::wait(std::move(reading)) == result<std::size_t>(2u));
}

TEST_CASE("a closer ends what is underway, from any thread, and does no harm later") {
  background io;
  pair_on_strands p(io);
  char into[4];
  auto closer = p.b.closer();
  auto reading = io.start(p.second, read_some(p.b, into, after(10s)));
  closer();
  CHECK(background::wait(std::move(reading)).error().code() == errc::cancelled);
  p.b = connection();
  closer();
}

TEST_CASE("a descriptor is let go with what came with it, not inherited and not blocking") {
  background io;
  pair_on_strands p(io);
  auto ticket = std::make_shared<int>(1);
  p.a.keep(ticket);
  transport::peer who;
  who.incarnation = incarnation(3);
  p.a.set_peer(who);
  CHECK(ticket.use_count() == 2);
  auto loose = p.a.release_fd();
  REQUIRE_OK(loose);
  CHECK(!p.a.is_open());
  CHECK(ticket.use_count() == 2);
  CHECK(loose->peer.incarnation == incarnation(3));
  CHECK((::fcntl(loose->fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((::fcntl(loose->fd, F_GETFL) & O_NONBLOCK) != 0);
  REQUIRE(::send(loose->fd, "x", 1, 0) == 1);
  CHECK(background::wait(io.start(p.second, read_text(p.b, 1))) == result<std::string>("x"));
  ::close(loose->fd);
}

TEST_CASE("a closer also ends what another program part has taken over, as long as its tickets live") {
  background io;
  for (const bool before : {false, true}) {
    pair_on_strands p(io);
    const auto closer = p.a.closer();
    auto loose = p.a.release_fd();
    REQUIRE_OK(loose);
    if (before) {
      // The tickets gone, the closer does nothing, and the descriptor is the only one left: its end is the end.
      loose->tickets.clear();
      closer();
      REQUIRE(::send(loose->fd, "x", 1, 0) == 1);
      CHECK(background::wait(io.start(p.second, read_text(p.b, 1))) == result<std::string>("x"));
      ::close(loose->fd);
    } else {
      closer();
      CHECK(::send(loose->fd, "x", 1, MSG_NOSIGNAL) == -1);
    }
    char into[4];
    CHECK(background::wait(io.start(p.second, read_some(p.b, into, after(10s)))) == result<std::size_t>(0u));
    if (!before) ::close(loose->fd);
  }
}

TEST_CASE("a connection moves to another context and works there") {
  background io, other;
  pair_on_strands p(io);
  auto ticket = std::make_shared<int>(1);
  p.a.keep(ticket);
  const asio::any_io_executor there = asio::make_strand(other.context);
  auto moved = p.a.move_to(there);
  REQUIRE_OK(moved);
  CHECK(ticket.use_count() == 2);
  REQUIRE_OK(background::wait(other.start(there, write(*moved, "moved", after(10s)))));
  CHECK(background::wait(io.start(p.second, read_text(p.b, 5))) == result<std::string>("moved"));
  CHECK(!moved->ended_by_peer());
  *moved = connection();
  CHECK(ticket.use_count() == 1);
}
