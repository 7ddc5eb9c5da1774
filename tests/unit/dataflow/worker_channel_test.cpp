#include <troupe/dataflow/worker_channel.hpp>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <support/catch.hpp>

using namespace troupe;
using namespace troupe::dataflow;

namespace {

struct socket_pair {
  descriptor a;
  descriptor b;
  socket_pair() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
    a.reset(fds[0]);
    b.reset(fds[1]);
  }
};

}  // namespace

TEST_CASE("a packet carries its bytes and its descriptors") {
  socket_pair s;
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  descriptor reader(pipe_ends[0]);
  descriptor writer(pipe_ends[1]);
  const int fds[] = {writer.get()};
  REQUIRE_OK(send_packet(s.a.get(), codec::encode(daemon_answer{worker_hello{42}}), fds, true));
  auto got = receive_packet(s.b.get(), true);
  REQUIRE_OK(got);
  auto answer = codec::decode<daemon_answer>(got->data, "answer");
  REQUIRE_OK(answer);
  CHECK(std::get<worker_hello>(*answer).token == 42);
  REQUIRE(got->fds.size() == 1);
  REQUIRE(::write(got->fds[0].get(), "x", 1) == 1);
  char c = 0;
  CHECK(::read(reader.get(), &c, 1) == 1);
  CHECK(c == 'x');
}

TEST_CASE("nothing there, and nobody there, are told apart") {
  socket_pair s;
  auto nothing = receive_packet(s.a.get(), false);
  REQUIRE_OK(nothing);
  CHECK(nothing->data.empty());
  CHECK_FALSE(nothing->closed);
  s.b.reset();
  auto nobody = receive_packet(s.a.get(), false);
  REQUIRE_OK(nobody);
  CHECK(nobody->closed);
  CHECK(send_packet(s.a.get(), "x", {}, true).error().code() == errc::unavailable);
}

TEST_CASE("a reader that does not read makes an error, not a wait") {
  socket_pair s;
  const bytes packet(1000, 'x');
  result<void> sent = ok();
  for (int i = 0; i < 100'000 && sent; ++i) sent = send_packet(s.a.get(), packet, {}, false);
  REQUIRE_FALSE(sent.has_value());
  CHECK(sent.error().code() == errc::unavailable);
}

TEST_CASE("a full page of inputs fits into a packet") {
  inputs_given page;
  for (std::size_t i = 0; i < inputs_per_page_max; ++i)
    page.items.emplace_back(segment_item{1, std::string(250, 'p'), 1, 0, 1, 0, 0, 0});
  CHECK(codec::encode(daemon_answer{page}).size() < packet_bytes_max);
}
