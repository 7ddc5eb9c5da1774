#include "http_harness.hpp"

using namespace test;

TEST_CASE("nothing without the token but what is open; foreign hosts and origins are refused") {
  http_router routes;
  routes.get("/livez", http_access::open, say("alive"));
  routes.get("/secret", say("s3cret"));
  web w(std::move(routes));
  const auto ask = [&](const std::string& text) {
    auto c = w.raw();
    c.send(text);
    return c.read_all();
  };
  CHECK(ask("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").find("alive") != std::string::npos);
  const auto none = ask("GET /secret HTTP/1.1\r\nHost: localhost\r\n\r\n");
  CHECK(is_status(none, 401));
  CHECK(none.find("WWW-Authenticate: Bearer") != std::string::npos);
  CHECK(none.find("application/problem+json") != std::string::npos);
  CHECK(none.find("\"code\":\"permission_denied\"") != std::string::npos);
  CHECK(is_status(ask("GET /secret HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer the-tokem\r\n\r\n"), 401));
  CHECK(is_status(ask("GET /secret HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer the-token2\r\n\r\n"), 401));
  CHECK(is_status(ask("GET /secret HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic the-token\r\n\r\n"), 401));
  CHECK(is_status(ask("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n"), 401));
  CHECK(is_status(ask("GET /secret HTTP/1.1\r\nHost: evil.example\r\nAuthorization: Bearer the-token\r\n\r\n"), 421));
  CHECK(is_status(ask("GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n"), 421));
  CHECK(is_status(ask("GET /secret HTTP/1.1\r\nAuthorization: Bearer the-token\r\n\r\n"), 400));
  const auto close = "Connection: close\r\n";
  CHECK(is_status(ask(web::request("GET /secret", std::string(close) + "Origin: http://evil.example\r\n")), 403));
  CHECK(is_status(ask(web::request("GET /secret", std::string(close) + "Origin: null\r\n")), 403));
  CHECK(is_status(ask(web::request("GET /secret", std::string(close) + "Origin: http://127.0.0.1\r\n")), 200));
  CHECK(eventually([&] { return w.door->unauthenticated() == 0; }));  // the last one's end is heard after its answer
}

TEST_CASE("requests follow each other on one connection, also when they come at once") {
  http_router routes;
  routes.get("/n/{n}", [](http_request& request, http_response& response) -> awaitable<void> {
    const std::string text = "<" + std::string(request.parameter("n")) + ">";
    co_await response.send(200, "text/plain", text);
  });
  web w(std::move(routes));
  auto c = w.raw();
  c.send(web::request("GET /n/1") + web::request("GET /n/2") + web::request("GET /n/3", "Connection: close\r\n"));
  const auto all = c.read_all();
  CHECK(all.find("<1>") < all.find("<2>"));
  CHECK(all.find("<2>") < all.find("<3>"));
  CHECK(all.find("<3>") != std::string::npos);
}

TEST_CASE("a request goes where it is handled, its connection with it, and comes back for the next") {
  asio::io_context other;
  auto guard = asio::make_work_guard(other);
  std::thread thread([&] { other.run(); });
  const auto there = thread.get_id();
  {
    const http_handler where = [there](http_request& request, http_response& response) -> awaitable<void> {
      auto body = co_await request.read_body(1000);
      const std::string text =
          std::string(std::this_thread::get_id() == there ? "<there " : "<here ") + (body ? *body : bytes()) + ">";
      co_await response.send(200, "text/plain", text);
    };
    http_router routes;
    routes.get("/where", where);
    routes.post("/where", http_access::viewer, where);
    http_server_options options;
    std::atomic<int> away_seen{0};
    options.place = [&](const http_head& head, bool away) -> std::optional<asio::any_io_executor> {
      if (away) ++away_seen;
      if (head.method != "POST") return std::nullopt;
      return other.get_executor();
    };
    web w(std::move(routes), options);
    auto c = w.raw();
    const auto post = [](const std::string& body) {
      return web::request("POST /where", "Content-Length: " + std::to_string(body.size()) + "\r\n", body);
    };
    // The first is from nobody who is known yet. All at once: what was read ahead goes along.
    c.send(post("1") + post("2") + post("3") + web::request("GET /where") + post("4") +
           web::request("GET /where", "Connection: close\r\n"));
    const auto all = c.read_all();
    std::size_t at = 0;
    for (const std::string expected : {"<here 1>", "<there 2>", "<there 3>", "<here >", "<there 4>", "<here >"}) {
      INFO(expected);
      at = all.find(expected, at);
      REQUIRE(at != std::string::npos);
      ++at;
    }
    CHECK(away_seen == 3);
    // One that waits there is closed when the server stops.
    auto idle = w.raw();
    idle.send(post("1") + post("2"));
    const auto answers = idle.read_until("<there 2>");
    CHECK(answers.find("<there 2>") != std::string::npos);
    CHECK(w.stop(10s));
  }
  guard.reset();
  thread.join();
}

TEST_CASE("unknown paths, methods and paths that make no sense") {
  http_router routes;
  routes.get("/a", say("a"));
  routes.get("/b/{name}", say("b"));
  routes.post("/b/plan", http_access::viewer, say("p"));
  web w(std::move(routes));
  auto c = w.raw();
  c.send(web::request("GET /b"));
  CHECK(is_status(c.read_until("}"), 404));
  c.send(web::request("DELETE /a"));
  const auto method = c.read_until("}");
  CHECK(is_status(method, 405));
  CHECK(method.find("Allow: GET\r\n") != std::string::npos);
  // What the fixed path has, not what one with a parameter there would have, too.
  c.send(web::request("PUT /b/plan"));
  CHECK(c.read_until("}").find("Allow: POST\r\n") != std::string::npos);
  c.send(web::request("GET /a/%zz"));
  CHECK(is_status(c.read_until("}"), 400));
  c.send(web::request("HEAD /a"));
  const auto head = c.read_until("\r\n\r\n");
  CHECK(is_status(head, 200));
  CHECK(head.find("Content-Length: 1\r\n") != std::string::npos);
  CHECK(head.substr(head.find("\r\n\r\n")) == "\r\n\r\n");
}

TEST_CASE("what is not HTTP, headers without end, and slow ones") {
  http_router routes;
  routes.get("/a", say("a"));
  http_server_options options;
  options.header_time_max = 100ms;
  web w(std::move(routes), options);
  auto wrong = w.raw();
  wrong.send("GET nonsense\r\n\r\n");
  CHECK(is_status(wrong.read_all(), 400));
  auto endless = w.raw();
  endless.send("GET /a HTTP/1.1\r\nX: " + std::string(100'000, 'x'));
  CHECK(is_status(endless.read_all(), 431));
  auto slow = w.raw();
  slow.send("GET /a HTTP/1.1\r\n");
  CHECK(is_status(slow.read_all(), 408));
}

TEST_CASE("a handler that throws, says nothing, or stops in the middle costs its request only") {
  http_router routes;
  routes.get("/throw", [](http_request&, http_response&) -> awaitable<void> {
    throw std::runtime_error("out of cheese");
    co_return;
  });
  routes.get("/mute", [](http_request&, http_response&) -> awaitable<void> { co_return; });
  routes.get("/half", [](http_request&, http_response& response) -> awaitable<void> {
    co_await response.begin(200, "text/plain");
    co_await response.write("half");
    co_await response.flush();
    throw std::runtime_error("broken off");
  });
  routes.get("/good", say("good"));
  web w(std::move(routes));
  auto client = w.client();
  http_client_request r;
  r.target = "/throw";
  const auto thrown = client.send_ok(r);
  REQUIRE(!thrown);
  CHECK(thrown.error().code() == errc::internal);
  CHECK(thrown.error().message().find("out of cheese") != std::string::npos);
  CHECK(w.caught.wait_for("GET /throw: the handler failed: out of cheese"));
  r.target = "/mute";
  CHECK(client.send(r)->status == 500);
  r.target = "/half";
  CHECK(client.send(r).error().code() == errc::unavailable);
  r.target = "/good";
  CHECK(client.send(r)->body == "good");
}

TEST_CASE("100-continue is said when the handler reads, and not when it refuses") {
  http_router routes;
  routes.post("/take", http_access::submitter, digest_body());
  routes.post("/refuse", http_access::submitter, [](http_request&, http_response& response) -> awaitable<void> {
    const error why(errc::already_exists, "it is there already");
    co_await response.send_problem(why);
  });
  web w(std::move(routes));
  auto c = w.raw();
  c.send(web::request("POST /take", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
  CHECK(c.read_until("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
  c.send("hello");
  CHECK(c.read_until("5 ").find("200 OK") != std::string::npos);
  auto d = w.raw();
  d.send(web::request("POST /refuse", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
  const auto answer = d.read_all();
  CHECK(is_status(answer, 409));
  CHECK(answer.find("Connection: close") != std::string::npos);
}

TEST_CASE("bodies are limited where they are read whole") {
  http_router routes;
  routes.post("/small", http_access::submitter, [](http_request& request, http_response& response) -> awaitable<void> {
    const auto body = co_await request.read_body(10);
    if (!body) {
      const error why = body.error();
      co_await response.send_problem(413, why);
      co_return;
    }
    co_await response.send(200, "text/plain", *body);
  });
  web w(std::move(routes));
  auto c = w.raw();
  c.send(web::request("POST /small", "Content-Length: 10\r\n", "0123456789"));
  CHECK(is_status(c.read_until("0123456789"), 200));
  c.send(web::request("POST /small", "Content-Length: 11\r\n", "0123456789x"));
  CHECK(is_status(c.read_until("}"), 413));
  // A small rest was read to its end, so the connection goes on; chunks are counted as they come.
  c.send(web::request("POST /small", "Transfer-Encoding: chunked\r\n", "b\r\n0123456789x\r\n0\r\n\r\n"));
  CHECK(is_status(c.read_until("}"), 413));
}

TEST_CASE("a client that goes away in the middle of its body is told to the handler") {
  signal_box box;
  std::optional<error> seen;
  http_router routes;
  routes.post("/take", http_access::submitter, [&](http_request& request, http_response&) -> awaitable<void> {
    const auto body = co_await request.read_body();
    box.change([&] { seen = body ? error(errc::none, "") : body.error(); });
  });
  web w(std::move(routes));
  {
    auto c = w.raw();
    c.send(web::request("POST /take", "Content-Length: 100\r\n", "half"));
  }
  REQUIRE(box.wait([&] { return seen.has_value(); }));
  CHECK(seen->code() == errc::unavailable);
}

TEST_CASE("a slow reader stops the handler that streams to it") {
  signal_box box;
  std::size_t written = 0;
  bool ended = false;
  http_router routes;
  routes.get("/much", [&](http_request&, http_response& response) -> awaitable<void> {
    const std::string piece(1 << 20, 'x');
    co_await response.begin(200, "text/plain");
    for (int i = 0; i < 200; ++i) {
      const auto sent = co_await response.write(piece);
      if (!sent) break;
      box.change([&] { written += piece.size(); });
    }
    box.change([&] { ended = true; });
    response.abort();
  });
  http_server_options options;
  options.write_time_max = 300ms;
  web w(std::move(routes), options);
  auto c = w.raw();
  c.send(web::request("GET /much"));
  REQUIRE(box.wait([&] { return ended; }));
  CHECK(written < 50u << 20);  // what the kernel's buffers held
}

TEST_CASE("a long poll ends with the change, at its deadline, when the client goes, and when the server stops") {
  notifier changes;
  signal_box box;
  int ended = 0, begun = 0;
  http_router routes;
  routes.get("/poll", [&](http_request& request, http_response& response) -> awaitable<void> {
    const auto wait_ms = request.query_number("wait_ms", 0, 0, 60'000);
    const auto seen = changes.generation();
    box.change([&] { ++begun; });
    const bool changed =
        co_await request.wait_for(changes, seen, request.poll_deadline(std::chrono::milliseconds(*wait_ms)));
    box.change([&] { ++ended; });
    co_await response.send(200, "text/plain", changed ? "changed" : "same");
  });
  web w(std::move(routes));
  auto c = w.raw();
  c.send(web::request("GET /poll?wait_ms=20"));
  CHECK(c.read_until("same").find("same") != std::string::npos);
  c.send(web::request("GET /poll?wait_ms=20000"));
  REQUIRE(box.wait([&] { return begun == 2; }));
  changes.notify_all();
  CHECK(c.read_until("changed").find("changed") != std::string::npos);
  {
    auto impatient = w.raw();
    impatient.send(web::request("GET /poll?wait_ms=50000"));
    REQUIRE(box.wait([&] { return begun == 3; }));
  }
  CHECK(box.wait([&] { return ended == 3; }));
  c.send(web::request("GET /poll?wait_ms=50000"));
  REQUIRE(box.wait([&] { return begun == 4; }));
  CHECK(w.stop(5s));
  const auto last = c.read_all();
  CHECK(last.find("same") != std::string::npos);
  CHECK(last.find("Connection: close") != std::string::npos);
}

TEST_CASE("a stop closes idle connections at once, lets requests finish, and cuts them after the grace") {
  signal_box box;
  bool inside = false;
  notifier never;
  http_router routes;
  routes.get("/hang", [&](http_request& request, http_response& response) -> awaitable<void> {
    box.change([&] { inside = true; });
    std::string more(10, ' ');
    (void)co_await request.read_some(more);  // a body that never comes
    co_await response.send_empty();
  });
  routes.get("/quick", say("q"));
  web w(std::move(routes));
  auto idle = w.raw();
  idle.send(web::request("GET /quick"));
  (void)idle.read_until("q");
  auto hanging = w.raw();
  hanging.send(web::request("GET /hang", "Content-Length: 5\r\n"));
  REQUIRE(box.wait([&] { return inside; }));
  CHECK(w.server->connections() == 2);
  CHECK(w.stop(200ms));
  CHECK(w.server->connections() == 0);
  CHECK(idle.read_all().empty());
}

TEST_CASE("HTTP/1.0 gets its stream without chunks, ended by the end") {
  http_router routes;
  routes.get("/stream/{bytes}", stream_bytes());
  web w(std::move(routes));
  auto c = w.raw();
  c.send("GET /stream/100000 HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer the-token\r\n\r\n");
  const auto all = c.read_all();
  CHECK(all.find("chunked") == std::string::npos);
  CHECK(all.size() - (all.find("\r\n\r\n") + 4) == 100'000);
}

TEST_CASE(
    "a user who asks too often is told when to come back, on a connection that goes on; others are not concerned") {
  http_router routes;
  int calls = 0;
  routes.get("/count", [&](http_request&, http_response& response) -> awaitable<void> {
    ++calls;
    co_await response.send(200, "text/plain", "counted");
  });
  http_server_options options;
  options.rate = {.per_second = 0.001, .burst = 3, .callers_max = 10};
  options.authenticate = [](std::string_view bearer, const connection&) -> std::optional<http_caller> {
    return http_caller{std::string(bearer), http_access::viewer, bearer == "cluster", false};
  };
  web w(std::move(routes), options);
  const auto ask = [](const std::string& who) {
    return "GET /count HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + who + "\r\n\r\n";
  };
  auto c = w.raw();
  for (int i = 0; i < 3; ++i) {
    c.send(ask("ann"));
    CHECK(is_status(c.read_until("counted"), 200));
  }
  for (int i = 0; i < 2; ++i) {
    c.send(ask("ann"));
    const auto refused = c.read_until("}");
    CHECK(is_status(refused, 429));
    const auto field = refused.find("Retry-After: ");
    REQUIRE(field != std::string::npos);
    const auto seconds = std::stoi(refused.substr(field + 13));
    CHECK(seconds > 900);
    CHECK(seconds <= 1'000);
    CHECK(refused.find("too many requests of ann") != std::string::npos);
    CHECK(refused.find("Connection: close") == std::string::npos);
  }
  CHECK(calls == 3);
  // The same user elsewhere is the same user; another one, and the cluster itself, go on.
  auto second = w.raw();
  second.send(ask("ann"));
  CHECK(is_status(second.read_until("}"), 429));
  c.send(ask("bob"));
  CHECK(is_status(c.read_until("counted"), 200));
  for (int i = 0; i < 10; ++i) {
    c.send(ask("cluster"));
    CHECK(is_status(c.read_until("counted"), 200));
  }
  CHECK(w.metrics.prometheus_text().find("troupe_http_too_fast_total 3") != std::string::npos);
}

TEST_CASE("a cookie stands for a token, and with it what changes something needs an origin, which is ours") {
  http_router routes;
  routes.get("/look", [](http_request& request, http_response& response) -> awaitable<void> {
    const std::string who = request.caller()->name + (request.caller()->by_cookie ? " by cookie." : " by token.");
    co_await response.send(200, "text/plain", who);
  });
  routes.post("/change", http_access::viewer, say("changed."));
  http_server_options options;
  options.cookie = "troupe_1";
  options.authenticate_cookie = [](std::string_view value) -> std::optional<http_caller> {
    if (value != "good") return std::nullopt;
    return http_caller{"ann", http_access::viewer, false, false};
  };
  web w(std::move(routes), options);
  const auto ask = [&](const std::string& line, const std::string& fields) {
    auto c = w.raw();
    c.send(line + " HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n" + fields + "\r\n");
    return c.read_all();
  };
  CHECK(ask("GET /look", "Cookie: a=b; troupe_1=good; c=d\r\n").find("ann by cookie.") != std::string::npos);
  CHECK(ask("GET /look", "Cookie: a=b\r\nCookie: troupe_1=good\r\n").find("ann by cookie.") != std::string::npos);
  for (const auto* wrong : {"Cookie: troupe_1=bad\r\n", "Cookie: troupe_11=good\r\n", "Cookie: xtroupe_1=good\r\n",
                            "Cookie: troupe_1\r\n", "Cookie: =good\r\n", "Cookie: ;;;\r\n"})
    CHECK(is_status(ask("GET /look", wrong), 401));
  // One or the other: a cookie does not make a wrong token good.
  CHECK(is_status(ask("GET /look", "Cookie: troupe_1=good\r\nAuthorization: Bearer no\r\n"), 401));
  const auto both = ask("GET /look", "Cookie: troupe_1=bad\r\nAuthorization: Bearer the-token\r\n");
  CHECK(both.find("cluster token by token.") != std::string::npos);

  const std::string cookie = "Content-Length: 0\r\nCookie: troupe_1=good\r\n";
  CHECK(is_status(ask("POST /change", cookie), 403));
  CHECK(is_status(ask("POST /change", cookie + "Origin: http://evil.example\r\n"), 403));
  CHECK(is_status(ask("POST /change", cookie + "Origin: http://localhost:2\r\n"), 403));
  CHECK(is_status(ask("POST /change", cookie + "Origin: http://localhost:1\r\n"), 200));
  CHECK(is_status(ask("POST /change", "Content-Length: 0\r\nAuthorization: Bearer the-token\r\n"), 200));
}
