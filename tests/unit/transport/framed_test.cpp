#include <troupe/base/checksum.hpp>
#include <troupe/transport/framed.hpp>

#include "harness.hpp"

using namespace test;

namespace {

struct framed_pair {
  explicit framed_pair(background& io, std::size_t most = limits::frame_bytes_max)
      : first(asio::make_strand(io.context)), second(asio::make_strand(io.context)) {
    auto made = connected_pair(first, second);
    REQUIRE_OK(made);
    a = std::make_unique<framed>(std::move(made->first), most);
    raw = std::move(made->second);
  }
  /// The other end, as frames.
  framed& b() {
    if (!b_) b_ = std::make_unique<framed>(std::move(raw));
    return *b_;
  }
  asio::any_io_executor first, second;
  std::unique_ptr<framed> a;
  connection raw;

 private:
  std::unique_ptr<framed> b_;
};

awaitable<result<void>> send(framed& f, std::uint16_t type, bytes_view payload, steady_time deadline = after(10s)) {
  co_return co_await f.write(type, 7, payload, deadline);
}
awaitable<result<frame>> receive(framed& f, steady_time deadline = after(10s)) { co_return co_await f.read(deadline); }
awaitable<result<void>> send_raw(connection& c, bytes_view data) { co_return co_await c.write(data, after(10s)); }

bytes frame_bytes(std::uint32_t length, std::uint16_t type, bytes_view payload, std::uint32_t crc_change = 0) {
  bytes out;
  append_le(out, length);
  append_le(out, type);
  append_le(out, std::uint16_t{0});
  append_le(out, crc32c(payload, crc32c(out)) ^ crc_change);
  return out + bytes(payload);
}

}  // namespace

TEST_CASE("frames of all sizes arrive whole and in order") {
  background io;
  framed_pair p(io);
  const std::vector<std::size_t> sizes{0, 1, 11, 12, 13, 4096, 65'523, 65'524, 65'525, 100'000, limits::frame_bytes_max,
                                       5};
  const auto send_all = [](framed& f, const std::vector<std::size_t>& all) -> awaitable<result<void>> {
    for (const auto size : all) {
      const std::string payload(size, static_cast<char>('a' + size % 26));
      TROUPE_CO_TRY_VOID(co_await f.write(static_cast<std::uint16_t>(size % 1000), 7, bytes_view(payload), after(10s)));
    }
    co_return ok();
  };
  auto sending = io.start(p.first, send_all(*p.a, sizes));
  for (const auto size : sizes) {
    const auto got = background::wait(io.start(p.second, receive(p.b())));
    REQUIRE_OK(got);
    CHECK(got->type == size % 1000);
    CHECK(got->flags == 7);
    CHECK(got->payload == std::string(size, static_cast<char>('a' + size % 26)));
  }
  REQUIRE_OK(background::wait(std::move(sending)));
}

TEST_CASE("a payload is gathered from pieces, and read into the caller's memory in pieces") {
  background io;
  framed_pair p(io);
  const std::string big(200'000, 'B');
  const auto write = [](framed& f, bytes_view tail) -> awaitable<result<void>> {
    const std::array<bytes_view, 3> pieces{"head", "er:", tail};
    co_return co_await f.write(1, 0, std::span<const bytes_view>(pieces), after(10s));
  };
  const auto read = [](framed& f, std::span<char> head, std::span<char> tail) -> awaitable<result<void>> {
    TROUPE_CO_TRY(const auto header, co_await f.read_header(after(10s)));
    if (header.length != head.size() + tail.size()) co_return error{errc::internal, "length"};
    TROUPE_CO_TRY_VOID(co_await f.read_payload(head, after(10s)));
    co_return co_await f.read_payload(tail, after(10s));
  };
  auto writing = io.start(p.first, write(*p.a, big));
  std::string head(7, ' '), tail(big.size(), ' ');
  REQUIRE_OK(background::wait(io.start(p.second, read(p.b(), head, tail))));
  REQUIRE_OK(background::wait(std::move(writing)));
  CHECK(head == "header:");
  CHECK(tail == big);
}

TEST_CASE("a flipped bit anywhere in a frame is noticed, and ends the stream") {
  background io;
  const bytes good = frame_bytes(300, 5, std::string(300, 'p'));
  for (const std::size_t at : {4u, 6u, 8u, 11u, 12u, 311u}) {
    framed_pair p(io);
    bytes bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    REQUIRE_OK(background::wait(io.start(p.second, send_raw(p.raw, bad))));
    const auto got = background::wait(io.start(p.first, receive(*p.a)));
    REQUIRE(!got);
    CHECK(got.error().code() == errc::corrupted);
    CHECK(!p.a->is_open());
  }
}

TEST_CASE("a claim of 4 GiB is refused at once; a cut frame is an error, a close between frames is told") {
  background io;
  {
    framed_pair p(io);
    REQUIRE_OK(background::wait(io.start(p.second, send_raw(p.raw, frame_bytes(0xffffffff, 1, "x")))));
    const auto got = background::wait(io.start(p.first, receive(*p.a)));
    CHECK(got.error().code() == errc::corrupted);
    CHECK(got.error().message().find("4294967295") != std::string::npos);
  }
  {
    framed_pair p(io);
    REQUIRE_OK(background::wait(io.start(p.second, send_raw(p.raw, frame_bytes(10, 1, "abc")))));
    p.raw.close();
    CHECK(background::wait(io.start(p.first, receive(*p.a))).error().code() == errc::unavailable);
  }
  {
    framed_pair p(io);
    p.raw.close();
    CHECK(background::wait(io.start(p.first, receive(*p.a))).error().code() == errc::unavailable);
    CHECK(!p.a->is_open());
  }
}

TEST_CASE("a deadline between frames, even within a header, loses nothing") {
  background io;
  framed_pair p(io);
  const auto good = frame_bytes(3, 9, "abc");
  CHECK(background::wait(io.start(p.first, receive(*p.a, after(10ms)))).error().code() == errc::deadline_exceeded);
  REQUIRE_OK(background::wait(io.start(p.second, send_raw(p.raw, good.substr(0, 5)))));
  CHECK(background::wait(io.start(p.first, receive(*p.a, after(10ms)))).error().code() == errc::deadline_exceeded);
  REQUIRE_OK(background::wait(io.start(p.second, send_raw(p.raw, good.substr(5)))));
  const auto got = background::wait(io.start(p.first, receive(*p.a)));
  REQUIRE_OK(got);
  CHECK(got->payload == "abc");
}

TEST_CASE("many writers at once: each frame whole, in the order of their turns") {
  background io;
  framed_pair p(io);
  std::vector<std::future<result<void>>> writing;
  std::vector<std::string> payloads;
  for (int i = 0; i < 100; ++i) payloads.push_back(std::string(20'000, static_cast<char>(i)));
  for (std::uint16_t i = 0; i < 100; ++i) writing.push_back(io.start(p.first, send(*p.a, i, payloads[i])));
  for (std::uint16_t i = 0; i < 100; ++i) {
    const auto got = background::wait(io.start(p.second, receive(p.b())));
    REQUIRE_OK(got);
    CHECK(got->type == i);
    CHECK(got->payload == payloads[i]);
  }
  for (auto& one : writing) REQUIRE_OK(background::wait(std::move(one)));
}

TEST_CASE("what is written at once, and what the kernel did not take of it, arrives whole and before what follows") {
  background io;
  framed_pair p(io);
  const std::string payload(50'000, 'n'), last(1'000, 'l');
  // On the stream's own strand, until the kernel takes no more.
  const auto fill = [](framed& f, const std::string& data) -> awaitable<std::uint16_t> {
    std::uint16_t frames = 0;
    const std::array<bytes_view, 2> pieces{bytes_view(data).substr(0, 10), bytes_view(data).substr(10)};
    while (f.write_now(frames, 7, std::span<const bytes_view>(pieces))) {
      ++frames;
      if (f.has_rest()) break;
    }
    co_return frames;
  };
  const auto frames = background::wait(io.start(p.first, fill(*p.a, payload)));
  REQUIRE(frames > 1);
  auto sending = io.start(p.first, send(*p.a, 999, last));
  for (std::uint16_t i = 0; i < frames; ++i) {
    const auto got = background::wait(io.start(p.second, receive(p.b())));
    REQUIRE_OK(got);
    CHECK(got->type == i);
    CHECK(got->payload == payload);
  }
  const auto end = background::wait(io.start(p.second, receive(p.b())));
  REQUIRE_OK(end);
  CHECK(end->type == 999);
  CHECK(end->payload == last);
  REQUIRE_OK(background::wait(std::move(sending)));
  CHECK(!p.a->has_rest());
}

TEST_CASE("a writer that waits for its turn in vain gives up at its deadline; the next gets its turn") {
  background io;
  framed_pair p(io);
  const std::string big(limits::frame_bytes_max, 'x');
  std::vector<std::future<result<void>>> big_ones;
  for (int i = 0; i < 20; ++i)
    big_ones.push_back(io.start(p.first, send(*p.a, 1, big)));  // 20 MiB: more than the kernel holds
  CHECK(background::wait(io.start(p.first, send(*p.a, 2, "x", after(30ms)))).error().code() == errc::deadline_exceeded);
  CHECK(p.a->is_open());
  auto last = io.start(p.first, send(*p.a, 3, "last"));
  for (int i = 0; i < 20; ++i) CHECK(background::wait(io.start(p.second, receive(p.b())))->type == 1);
  CHECK(background::wait(io.start(p.second, receive(p.b())))->payload == "last");
  REQUIRE_OK(background::wait(std::move(last)));
}

TEST_CASE("what is too long to be received is not sent") {
  background io;
  framed_pair p(io, 100);
  CHECK(background::wait(io.start(p.first, send(*p.a, 1, std::string(101, 'x')))).error().code() ==
        errc::invalid_argument);
  CHECK(background::wait(io.start(p.first, send(*p.a, 1, std::string(100, 'x')))).has_value());
}
