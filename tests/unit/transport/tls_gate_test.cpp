#include <openssl/ssl.h>

#include <support/pki.hpp>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/framed.hpp>
#include <troupe/transport/gate.hpp>
#include <troupe/transport/http_client.hpp>
#include <troupe/transport/http_server.hpp>

#include "harness.hpp"

using namespace test;

namespace {

constexpr std::array protocols{protocol::basp, protocol::raft, protocol::log, protocol::block};
const std::string the_token = "0123456789abcdef-token";

/// A node that encrypts on loopback, too, and holds whatever comes in.
struct tls_node {
  explicit tls_node(background& on) : io(on) {
    me = {p.cluster, member_id::random(), incarnation(1), the_token, {}};
    me.credentials = p.credentials_for(me.member);
    gate_options options;
    options.listen = tcp::endpoint(asio::ip::address_v4::loopback(), 0);
    options.log_interval = 0ms;
    door = std::make_unique<gate>(io.context, options, me, caught.log, metrics);
    for (const auto each : protocols)
      door->on(each, [this](connection stream) { taken.change([&] { held.push_back(std::move(stream)); }); });
    http_router router;
    router.get("/who", [](http_request& in, http_response& out) -> awaitable<void> {
      const auto text = in.remote().address().to_string();
      (void)co_await out.send(200, "text/plain", text);
    });
    http_server_options web;
    web.token = the_token;
    server = std::make_unique<http_server>(web, std::move(router), caught.log, metrics);
    door->on_http([this](connection stream, bytes prefix) { server->serve(std::move(stream), std::move(prefix)); });
    REQUIRE_OK(door->start());
  }
  ~tls_node() {
    io.end();
    held.clear();
    server.reset();
    door.reset();
  }
  transport::identity friend_of() const {
    transport::identity other{p.cluster, member_id::random(), incarnation(1), the_token, {}};
    other.credentials = p.credentials_for(other.member);
    return other;
  }
  result<connection> dial_as(transport::identity from, protocol what = protocol::block, member_id expected = {}) {
    dial_request r;
    r.to = door->local();
    r.protocol = what;
    r.self = std::move(from);
    r.expected = expected;
    r.deadline = after(10s);
    return io.run(dial(std::move(r)));
  }
  http_client client(std::shared_ptr<const security::trust> believes, cluster_id cluster = {}) const {
    http_client_options o;
    o.host = "127.0.0.1";
    o.port = door->local().port();
    o.token = the_token;
    o.trust = std::move(believes);
    o.cluster = cluster;
    return http_client(std::move(o));
  }

  background& io;
  pki p;
  transport::identity me;
  log_catcher caught;
  telemetry::metrics metrics;
  signal_box taken;
  std::vector<connection> held;
  std::unique_ptr<http_server> server;
  std::unique_ptr<gate> door;
};

/// What a client of OpenSSL's own makes of the gate, with whatever it is told to be.
std::string shake_raw(const tcp::endpoint& to, const std::function<void(SSL_CTX*)>& set) {
  raw_client raw(to);
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  set(context.get());
  const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
  SSL_set_fd(ssl.get(), raw.fd());
  const int good = SSL_connect(ssl.get());
  return good == 1 ? SSL_get_version(ssl.get()) : "refused";
}

}  // namespace

TEST_CASE("every protocol goes encrypted between members, each bound to its certificate") {
  background io;
  tls_node n(io);
  for (const auto each : protocols) {
    CAPTURE(to_string(each));
    const auto from = n.friend_of();
    auto stream = n.dial_as(from, each, n.me.member);
    REQUIRE_OK(stream);
    CHECK(stream->is_encrypted());
    CHECK(stream->certified()->member == n.me.member);
    REQUIRE(n.taken.wait([&] { return !n.held.empty(); }));
    CHECK(n.held.back().is_encrypted());
    CHECK(n.held.back().certified()->member == from.member);
    n.taken.change([&] { n.held.clear(); });
  }
}

TEST_CASE("no protocol takes a member without a good certificate of its own") {
  background io;
  tls_node n(io);
  const pki stranger(n.p.cluster);
  for (const auto each : protocols) {
    CAPTURE(to_string(each));
    auto bare = n.friend_of();
    bare.credentials.reset();  // and so it would speak in plain text
    const auto plain = n.dial_as(bare, each);
    REQUIRE_FALSE(plain);
    CHECK(plain.error().code() == errc::permission_denied);
    CHECK(plain.error().message().find("encrypted connections only") != std::string::npos);

    auto foreign = n.friend_of();
    foreign.credentials = stranger.credentials_for(foreign.member);
    const auto refused = n.dial_as(foreign, each);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code() == errc::permission_denied);

    auto expired = n.friend_of();
    expired.credentials = n.p.credentials_for(expired.member, days(90, -1));
    const auto late = n.dial_as(expired, each);
    REQUIRE_FALSE(late);
    CHECK(late.error().code() == errc::permission_denied);
    CHECK(late.error().message().find("expired") != std::string::npos);

    auto mask = n.friend_of();
    mask.member = member_id::random();  // with the certificate of another member
    const auto other = n.dial_as(mask, each);
    REQUIRE_FALSE(other);
    CHECK(other.error().code() == errc::permission_denied);
    CHECK(other.error().message().find("not of the member") != std::string::npos);

    const auto revoked = n.friend_of();
    n.me.credentials->set_revoked({revoked.member});
    const auto gone = n.dial_as(revoked, each);
    REQUIRE_FALSE(gone);
    CHECK(gone.error().code() == errc::permission_denied);
    CHECK(gone.error().message().find("revoked") != std::string::npos);
  }
  CHECK(n.held.empty());
}

TEST_CASE("a member that shows no certificate within TLS is refused after its proof of the token") {
  background io;
  tls_node n(io);
  // A program that is believed by nobody: it knows the token, and whom to believe, but has no certificate.
  const auto trust = security::trust::of_authority(n.p.authority.own().pem());
  REQUIRE_OK(trust);
  tcp::socket socket(asio::make_strand(io.context));
  socket.connect(n.door->local());
  connection stream(std::move(socket));
  const auto go = [](connection& s, std::shared_ptr<ssl_ctx_st> context,
                     transport::identity who) -> awaitable<result<void>> {
    TROUPE_CO_TRY_VOID(co_await s.start_tls(context, tls_side::dialler, after(10s)));
    handshake::dialler side(who, protocol::log, {}, handshake::nonce{});
    const auto hello = side.start();
    TROUPE_CO_TRY_VOID(co_await s.write(bytes_view(hello), after(10s)));
    for (;;) {
      char prefix[handshake::prefix_bytes];
      TROUPE_CO_TRY_VOID(co_await s.read_exactly(prefix, after(10s)));
      TROUPE_CO_TRY(const auto what, handshake::parse_prefix({prefix, sizeof prefix}));
      std::string body(what.body_bytes, '\0');
      TROUPE_CO_TRY_VOID(co_await s.read_exactly(body, after(10s)));
      TROUPE_CO_TRY(const auto next, side.receive(what.type, body));
      if (side.finished()) co_return ok();
      TROUPE_CO_TRY_VOID(co_await s.write(bytes_view(next), after(10s)));
    }
  };
  auto who = n.friend_of();
  who.credentials.reset();
  const auto refused = background::wait(io.start(stream.executor(), go(stream, (*trust)->context(), who)));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("our certificate is not of the member") != std::string::npos);
  CHECK(n.held.empty());
}

TEST_CASE("a dialler believes nobody but the member that it looks for") {
  background io;
  tls_node n(io);
  const auto from = n.friend_of();
  CHECK(n.dial_as(from, protocol::log, member_id::random()).error().code() == errc::failed_precondition);

  from.credentials->set_revoked({n.me.member});
  CHECK(n.dial_as(from).error().code() == errc::permission_denied);

  auto foreign = n.friend_of();
  const pki other_cluster;
  foreign.credentials = other_cluster.credentials_for(foreign.member);
  const auto refused = n.dial_as(foreign);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("its certificate is refused") != std::string::npos);
}

TEST_CASE("TLS 1.2 is refused, and plain text is, too") {
  background io;
  tls_node n(io);
  CHECK(shake_raw(n.door->local(), [](SSL_CTX*) {}) == "TLSv1.3");
  CHECK(shake_raw(n.door->local(), [](SSL_CTX* c) { SSL_CTX_set_max_proto_version(c, TLS1_2_VERSION); }) == "refused");

  raw_client plain(n.door->local());
  plain.send("GET /who HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " + the_token + "\r\n\r\n");
  const auto answer = plain.read_all();
  CHECK(answer.rfind("HTTP/1.1 400 ", 0) == 0);
  CHECK(answer.find("use https") != std::string::npos);
  CHECK(answer.find(the_token) == std::string::npos);

  raw_client half(n.door->local());
  half.send("\x16\x03\x01\x02");
  half.shutdown_send();
  (void)half.read_all();  // an alert, perhaps; and an end
  CHECK(n.caught.wait_for("closed the connection before it said what it wants"));
}

TEST_CASE("a dialler accepts no server that speaks TLS 1.2 only") {
  background io;
  tls_node n(io);
  tcp::acceptor door(io.context, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  std::thread old([&] {
    tcp::socket s(io.context);
    door.accept(s);
    s.non_blocking(false);
    const auto m = n.p.material_for(member_id::random());
    const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
    SSL_CTX_set_max_proto_version(context.get(), TLS1_2_VERSION);
    SSL_CTX_use_certificate(context.get(), security::certificate::parse(m.certificate_pem, "").value().get());
    SSL_CTX_use_PrivateKey(context.get(), security::private_key::parse(m.key_pem, "").value().get());
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(ssl.get(), s.native_handle());
    (void)SSL_accept(ssl.get());
  });
  dial_request r;
  r.to = door.local_endpoint();
  r.self = n.friend_of();
  r.deadline = after(10s);
  const auto refused = io.run(dial(std::move(r)));
  old.join();
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == errc::unsupported);
}

TEST_CASE("a revoked member is cut off at once, also where its connection has moved to another thread") {
  background io;
  tls_node n(io);
  const auto bad = n.friend_of(), good = n.friend_of();
  auto first = n.dial_as(bad, protocol::log), second = n.dial_as(good, protocol::log);
  REQUIRE_OK(first);
  REQUIRE_OK(second);
  REQUIRE(n.taken.wait([&] { return n.held.size() == 2; }));
  n.taken.change([&] {
    for (auto& one : n.held) one = std::move(*one.move_to(asio::make_strand(io.context)));
  });
  n.me.credentials->set_revoked({bad.member});
  char one[1];
  const auto cut = background::wait(io.start(first->executor(), first->read_some(one, after(10s))));
  CHECK((cut == result<std::size_t>(0) || cut.error().code() == errc::unavailable));
  CHECK(background::wait(io.start(second->executor(), second->read_some(one, after(30ms)))).error().code() ==
        errc::deadline_exceeded);
}

TEST_CASE("new certificates count from the next connection on; those that are there stay") {
  background io;
  tls_node n(io);
  const auto from = n.friend_of();
  auto before = n.dial_as(from);
  REQUIRE_OK(before);
  REQUIRE_OK(n.me.credentials->replace(n.p.material_for(n.me.member, days(1, -0))));  // ends now
  const auto refused = n.dial_as(from);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("expired") != std::string::npos);
  REQUIRE_OK(n.me.credentials->replace(n.p.material_for(n.me.member)));
  REQUIRE_OK(n.dial_as(from));
  CHECK(before->is_open());
  CHECK_FALSE(before->ended_by_peer());
}

TEST_CASE("HTTP goes encrypted to who believes the authority, by its certificate or its fingerprint") {
  background io;
  tls_node n(io);
  const auto trust = security::trust::of_authority(n.p.authority.own().pem());
  REQUIRE_OK(trust);
  http_client_request who;
  who.target = "/who";
  auto client = n.client(*trust, n.p.cluster);
  for (int i = 0; i < 3; ++i) {
    const auto answer = client.send(who);
    REQUIRE_OK(answer);
    CHECK(answer->body == "127.0.0.1");
  }
  const auto pinned = security::trust::of_fingerprint(n.p.authority.own().fingerprint());
  REQUIRE_OK(pinned);
  REQUIRE_OK(n.client(*pinned).send(who));

  const pki other;
  const auto wrong = security::trust::of_authority(other.authority.own().pem());
  const auto refused = n.client(*wrong).send(who);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code() == errc::permission_denied);
  const auto wrong_pin = security::trust::of_fingerprint(other.authority.own().fingerprint());
  CHECK(n.client(*wrong_pin).send(who).error().code() == errc::permission_denied);
  // The fingerprint of the node's own certificate is no authority's.
  CHECK(n.client(*trust, other.cluster).send(who).error().code() == errc::permission_denied);
  CHECK(n.caught.count_now(the_token) == 0);
}

TEST_CASE("a gate listens beyond loopback with a certificate only, and never everywhere") {
  background io;
  tls_node n(io);
  auto bare = n.me;
  bare.credentials.reset();
  gate_options options;
  options.listen = tcp::endpoint(asio::ip::make_address("192.0.2.1"), 0);
  gate without(io.context, options, bare, n.caught.log, n.metrics);
  CHECK(without.start().error().code() == errc::invalid_argument);
  // With one it gets as far as the kernel, for which that address is none of this machine's.
  gate with(io.context, options, n.me, n.caught.log, n.metrics);
  CHECK(with.start().error().code() == errc::unavailable);
  options.listen = tcp::endpoint(asio::ip::address_v4::any(), 0);
  gate everywhere(io.context, options, n.me, n.caught.log, n.metrics);
  CHECK(everywhere.start().error().code() == errc::invalid_argument);
}
