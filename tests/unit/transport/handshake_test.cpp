#include <support/catch.hpp>
#include <troupe/base/random.hpp>
#include <troupe/transport/handshake.hpp>

using namespace troupe;
using namespace troupe::transport;

namespace {

handshake::nonce fresh() {
  handshake::nonce n;
  fill_random(n.data(), n.size());
  return n;
}

struct outcome {
  std::optional<error> dialler;
  std::optional<refusal_code> acceptor;
  peer seen_by_dialler, seen_by_acceptor;
  bytes on_the_wire;
};

/// Splits a message off and hands its parts to `f`.
template <class F>
auto deliver(bytes_view message, F f) {
  const auto known = handshake::parse_prefix(message.substr(0, handshake::prefix_bytes));
  REQUIRE(known);
  REQUIRE(message.size() == handshake::prefix_bytes + known->body_bytes);
  return f(known->type, message.substr(handshake::prefix_bytes));
}

outcome shake(const transport::identity& from, const transport::identity& to, protocol what = protocol::block,
              member_id expected = {}) {
  outcome out;
  handshake::dialler d(from, what, expected, fresh());
  handshake::acceptor a(to, fresh());
  bytes message = d.start();
  REQUIRE(message.substr(0, handshake::magic_bytes) == handshake::magic);
  out.on_the_wire = message;
  message.erase(0, handshake::magic_bytes);
  for (;;) {
    auto answer = deliver(message, [&](auto type, auto body) { return a.receive(type, body); });
    bytes reply = answer.reply;
    if (answer.refused) out.acceptor = answer.refused;
    if (a.proven()) {
      out.seen_by_acceptor = a.other();
      reply = a.welcome_peer();
    }
    out.on_the_wire += reply;
    auto next = deliver(reply, [&](auto type, auto body) { return d.receive(type, body); });
    if (!next) {
      out.dialler = next.error();
      return out;
    }
    if (d.finished()) {
      out.seen_by_dialler = d.other();
      return out;
    }
    out.on_the_wire += *next;
    message = *next;
  }
}

transport::identity someone(cluster_id cluster, std::string token = "secret-token") {
  return {cluster, member_id::random(), incarnation(7), std::move(token)};
}

}  // namespace

TEST_CASE("two members of one cluster know each other after a handshake, and the token stays at home") {
  const auto cluster = cluster_id::random();
  const auto a = someone(cluster), b = someone(cluster);
  const auto done = shake(a, b, protocol::raft);
  REQUIRE(!done.dialler);
  CHECK(done.seen_by_acceptor.member == a.member);
  CHECK(done.seen_by_acceptor.incarnation == incarnation(7));
  CHECK(done.seen_by_acceptor.protocol == protocol::raft);
  CHECK(done.seen_by_dialler.member == b.member);
  CHECK(done.seen_by_dialler.cluster == cluster);
  CHECK(done.seen_by_dialler.version == protocol_version_max);
  CHECK(done.on_the_wire.find("secret-token") == bytes::npos);
}

TEST_CASE("a member that has not joined yet learns the cluster from whoever knows the token") {
  const auto cluster = cluster_id::random();
  const auto done = shake(someone({}), someone(cluster));
  REQUIRE(!done.dialler);
  CHECK(done.seen_by_dialler.cluster == cluster);
}

TEST_CASE("a refusal is a code here and a sentence there") {
  const auto cluster = cluster_id::random();
  const auto node = someone(cluster);

  const auto token = shake(someone(cluster, "other-token"), node);
  CHECK(token.acceptor == refusal_code::wrong_token);
  CHECK(token.dialler->code() == errc::permission_denied);
  CHECK(token.dialler->message().find("token") != std::string::npos);
  CHECK(token.seen_by_acceptor.member.is_nil());

  const auto other = shake(someone(cluster_id::random()), node);
  CHECK(other.acceptor == refusal_code::other_cluster);
  CHECK(other.dialler->message().find("another cluster") != std::string::npos);

  const auto self = shake(node, node);
  CHECK(self.acceptor == refusal_code::same_member);

  const auto wrong = shake(someone(cluster), node, protocol::block, member_id::random());
  CHECK(wrong.acceptor == refusal_code::not_who_you_expect);

  const auto early = shake(someone(cluster), someone({}));
  CHECK(early.acceptor == refusal_code::not_ready);
  CHECK(early.dialler->code() == errc::unavailable);
}

TEST_CASE("an acceptor that doesn't know the token is not believed") {
  const auto cluster = cluster_id::random();
  handshake::dialler d(someone(cluster), protocol::block, {}, fresh());
  handshake::acceptor fake(someone(cluster, "guessed"), fresh());
  (void)d.start();
  bytes body;
  append_le(body, protocol_version_max);
  body.append(32, 'n');
  REQUIRE(d.receive(handshake::message_type::challenge, body));
  // It lets the dialler in without being able to check, and answers with a proof of its own making.
  const auto done = d.receive(handshake::message_type::welcome, bytes(16 + 16 + 8 + 32, 'x'));
  REQUIRE(!done);
  CHECK(done.error().code() == errc::permission_denied);
  CHECK(!d.finished());
}

TEST_CASE("a proof of one connection is worth nothing on another") {
  const auto cluster = cluster_id::random();
  const auto me = someone(cluster), node = someone(cluster);
  handshake::dialler d(me, protocol::block, {}, fresh());
  handshake::acceptor first(node, fresh()), second(node, fresh());
  const auto hello = d.start().substr(handshake::magic_bytes + handshake::prefix_bytes);
  const auto challenge = first.receive(handshake::message_type::hello, hello).reply.substr(handshake::prefix_bytes);
  const auto proof = d.receive(handshake::message_type::challenge, challenge)->substr(handshake::prefix_bytes);
  (void)second.receive(handshake::message_type::hello, hello);
  CHECK(second.receive(handshake::message_type::proof, proof).refused == refusal_code::wrong_token);
  CHECK(!first.receive(handshake::message_type::proof, proof).refused);
}

TEST_CASE("a hello that was changed on its way makes the proof wrong") {
  const auto cluster = cluster_id::random();
  handshake::dialler d(someone(cluster), protocol::block, {}, fresh());
  handshake::acceptor a(someone(cluster), fresh());
  auto hello = d.start().substr(handshake::magic_bytes + handshake::prefix_bytes);
  hello[2 + 2 + 1 + 16] ^= 1;  // another member id
  const auto challenge = a.receive(handshake::message_type::hello, hello).reply.substr(handshake::prefix_bytes);
  const auto proof = d.receive(handshake::message_type::challenge, challenge)->substr(handshake::prefix_bytes);
  CHECK(a.receive(handshake::message_type::proof, proof).refused == refusal_code::wrong_token);
}

TEST_CASE("no common version is refused with both ranges") {
  const auto cluster = cluster_id::random();
  handshake::dialler d(someone(cluster), protocol::block, {}, fresh());
  handshake::acceptor a(someone(cluster), fresh());
  auto hello = d.start().substr(handshake::magic_bytes + handshake::prefix_bytes);
  store_le(hello.data(), std::uint16_t{900});
  store_le(hello.data() + 2, std::uint16_t{901});
  const auto answer = a.receive(handshake::message_type::hello, hello);
  CHECK(answer.refused == refusal_code::version);
  const auto said = d.receive(handshake::message_type::refusal, answer.reply.substr(handshake::prefix_bytes));
  REQUIRE(!said);
  CHECK(said.error().code() == errc::unsupported);
  CHECK(said.error().message().find("it speaks 1 to 1") != std::string::npos);
}

TEST_CASE("messages out of order and lengths that can't be are refused before anything is read for them") {
  const auto node = someone(cluster_id::random());
  handshake::acceptor a(node, fresh());
  CHECK(a.receive(handshake::message_type::proof, bytes(32, 'x')).refused == refusal_code::malformed);
  for (const bytes& prefix : {bytes("\xff\xff\x01", 3), bytes("\x00\x00\x01", 3), bytes("\x21\x00\x09", 3)})
    CHECK(handshake::parse_prefix(prefix).error().code() == errc::corrupted);
  CHECK(handshake::parse_prefix(bytes("\x21\x00\x03", 3)));
}
