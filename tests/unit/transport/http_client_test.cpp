#include <troupe/base/random.hpp>

#include "http_harness.hpp"

using namespace test;

namespace {

http_client_request post(std::string target) {
  http_client_request r;
  r.method = "POST";
  r.target = std::move(target);
  return r;
}

/// Gives `size` bytes in uneven pieces; the digest of all that it gave.
struct source {
  std::uint64_t left;
  digest128_stream digest;
  std::uint64_t given = 0;
  result<std::size_t> operator()(std::span<char> into) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>({left, into.size(), 1 + given % 300'000}));
    fill_random(into.data(), std::min<std::size_t>(size, 64));
    digest.update({into.data(), size});
    left -= size;
    given += size;
    return size;
  }
};

}  // namespace

TEST_CASE("uploads of any size stream through, in chunks and with a known length") {
  http_router routes;
  routes.post("/take", http_access::submitter, digest_body());
  web w(std::move(routes));
  auto client = w.client();
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{300'000}, std::uint64_t{40} << 20})
    for (const bool known : {false, true}) {
      auto from = std::make_shared<source>(source{size, {}});
      auto r = post("/take");
      r.body_source = [from](std::span<char> into) { return (*from)(into); };
      if (known) r.body_bytes = size;
      const auto answer = client.send_ok(r);
      REQUIRE_OK(answer);
      CHECK(answer->body == std::to_string(size) + " " + from->digest.finish().to_string());
    }
  CHECK(w.server->connections() == 1);  // all on one connection
}

TEST_CASE("an answer that comes before the body has ended is read and reported") {
  http_router routes;
  routes.post("/at-once", http_access::submitter, [](http_request&, http_response& response) -> awaitable<void> {
    const error why(errc::already_exists, "the dataset is there already");
    co_await response.send_problem(why);
  });
  routes.post("/after-a-while", http_access::submitter,
              [](http_request& request, http_response& response) -> awaitable<void> {
                std::string piece(100'000, ' ');
                for (std::size_t taken = 0; taken < 3'000'000;) {
                  const auto some = co_await request.read_some(piece);
                  if (!some) co_return;
                  taken += *some;
                }
                const error why(errc::resource_exhausted, "the disk is full");
                co_await response.send_problem(507, why);
              });
  routes.get("/good", say("good"));
  web w(std::move(routes));
  auto client = w.client();
  for (const char* target : {"/at-once", "/after-a-while"}) {
    auto from = std::make_shared<source>(source{std::uint64_t{1} << 40, {}});
    auto r = post(target);
    r.body_source = [from](std::span<char> into) { return (*from)(into); };
    const auto answer = client.send_ok(r);
    REQUIRE(!answer);
    CHECK(answer.error().code() ==
          (std::string_view(target) == "/at-once" ? errc::already_exists : errc::resource_exhausted));
    CHECK(from->given < std::uint64_t{1} << 30);
  }
  http_client_request again;
  again.target = "/good";
  CHECK(client.send_ok(again)->body == "good");
}

TEST_CASE("an upload without the token ends with 401, whatever it wanted to send") {
  http_router routes;
  routes.post("/take", http_access::submitter, digest_body());
  web w(std::move(routes));
  auto client = w.client("wrong");
  auto r = post("/take");
  auto from = std::make_shared<source>(source{std::uint64_t{1} << 40, {}});
  r.body_source = [from](std::span<char> into) { return (*from)(into); };
  const auto answer = client.send_ok(r);
  REQUIRE(!answer);
  CHECK(answer.error().code() == errc::permission_denied);
  CHECK(from->given == 0);  // asked first
}

TEST_CASE("downloads stream to a sink, which may stop them") {
  http_router routes;
  routes.get("/stream/{bytes}", stream_bytes());
  web w(std::move(routes));
  auto client = w.client();
  http_client_request r;
  r.target = "/stream/50000000";
  std::size_t size = 0;
  bool right = true;
  r.body_sink = [&](bytes_view data) {
    for (const char c : data) right = right && c == static_cast<char>('a' + size++ % 26);
    return ok();
  };
  const auto answer = client.send_ok(r);
  REQUIRE_OK(answer);
  CHECK(answer->body.empty());
  CHECK(size == 50'000'000);
  CHECK(right);
  r.body_sink = [&](bytes_view) -> result<void> { return error(errc::io_error, "the disk is full here"); };
  const auto stopped = client.send_ok(r);
  CHECK(stopped.error().code() == errc::io_error);
  r.body_sink = nullptr;
  r.target = "/stream/3";
  CHECK(client.send_ok(r)->body == "abc");
}

TEST_CASE("a source that fails or lies about its length ends the upload; the server takes nothing for whole") {
  signal_box box;
  std::vector<std::string> bodies;
  http_router routes;
  routes.post("/take", http_access::submitter, [&](http_request& request, http_response& response) -> awaitable<void> {
    const auto body = co_await request.read_body();
    box.change([&] { bodies.push_back(body ? "whole" : "cut"); });
    co_await response.send_empty();
  });
  web w(std::move(routes));
  auto client = w.client();
  auto r = post("/take");
  int calls = 0;
  r.body_source = [&](std::span<char> into) -> result<std::size_t> {
    if (++calls == 3) return error(errc::io_error, "can't read the file");
    into[0] = 'x';
    return 1u;
  };
  CHECK(client.send(r).error().code() == errc::io_error);
  REQUIRE(box.wait([&] { return bodies.size() == 1; }));
  r.body_source = [](std::span<char>) -> result<std::size_t> { return 0u; };
  r.body_bytes = 5;
  CHECK(client.send(r).error().code() == errc::invalid_argument);
  REQUIRE(box.wait([&] { return bodies.size() == 2; }));
  CHECK(bodies == std::vector<std::string>{"cut", "cut"});
}

TEST_CASE("nobody listens, nobody answers, the user interrupts") {
  http_router routes;
  signal_box box;
  int polls = 0;
  notifier never;
  routes.get("/wait", [&](http_request& request, http_response& response) -> awaitable<void> {
    box.change([&] { ++polls; });
    (void)co_await request.wait_for(never, 0, after(20s));
    co_await response.send_empty();
  });
  web w(std::move(routes));
  http_client_request r;
  r.target = "/wait";
  r.read_time_max = 50ms;
  auto client = w.client();
  CHECK(client.send(r).error().code() == errc::deadline_exceeded);

  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  auto options = client.options();
  options.cancel_fd = pipe_ends[0];
  http_client interruptible(options);
  r.read_time_max.reset();
  auto waiting = std::async(std::launch::async, [&] { return interruptible.send(r); });
  REQUIRE(box.wait([&] { return polls == 2; }));
  REQUIRE(::write(pipe_ends[1], "x", 1) == 1);
  CHECK(waiting.get().error().code() == errc::cancelled);
  ::close(pipe_ends[0]);
  ::close(pipe_ends[1]);

  raw_client unused(w.door->local());
  options = client.options();
  options.port = 1;
  const auto nobody = http_client(options).send(r);
  CHECK(nobody.error().code() == errc::unavailable);
  CHECK(nobody.error().message().find("connect to 127.0.0.1:1") == 0);
}

TEST_CASE("a connection that the server closed meanwhile is dialled again") {
  http_router routes;
  routes.get("/good", say("good"));
  http_server_options options;
  options.idle_time_max = 50ms;
  web w(std::move(routes), options);
  auto client = w.client();
  http_client_request r;
  r.target = "/good";
  for (int i = 0; i < 3; ++i) {
    CHECK(client.send_ok(r)->body == "good");
    // Until the server has closed it: the session goes when it has lingered, which our end of file ends at once.
    client.disconnect();
    CHECK(client.send_ok(r)->body == "good");
  }
}

TEST_CASE("what would forge a header is refused") {
  http_router routes;
  web w(std::move(routes));
  auto client = w.client();
  http_client_request r;
  r.target = "/x HTTP/1.1\r\nEvil: 1";
  CHECK(client.send(r).error().code() == errc::invalid_argument);
  r.target = "/x";
  r.fields.push_back({"A", "b\r\nEvil: 1"});
  CHECK(client.send(r).error().code() == errc::invalid_argument);
}
