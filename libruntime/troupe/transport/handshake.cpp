#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <troupe/base/invariant.hpp>
#include <troupe/base/text.hpp>
#include <troupe/transport/handshake.hpp>

namespace troupe::transport {

std::string_view to_string(protocol p) noexcept {
  switch (p) {
    case protocol::http:
      return "http";
    case protocol::basp:
      return "basp";
    case protocol::raft:
      return "raft";
    case protocol::log:
      return "log";
    case protocol::block:
      return "block";
  }
  return "unknown";
}

std::string describe(refusal_code code, bool by_us) {
  const auto pick = [by_us](const char* ours, const char* theirs) { return std::string(by_us ? ours : theirs); };
  switch (code) {
    case refusal_code::malformed:
      return pick("its handshake makes no sense", "it could not read our handshake; is it a node of troupe?");
    case refusal_code::version:
      return pick("it speaks no version of the protocol that this node knows",
                  "it speaks no version of the protocol that we know; install the same version of troupe on both");
    case refusal_code::other_cluster:
      return pick("it belongs to another cluster",
                  "it belongs to another cluster; check the address, or the cluster's data directory");
    case refusal_code::wrong_token:
      return pick("it does not know this cluster's token",
                  "it has another token than this node; both need the same token file");
    case refusal_code::protocol:
      return pick("it asked for a protocol that this node does not serve", "it does not serve this protocol");
    case refusal_code::already_connected:
      return pick("its member already has a live connection",
                  "a member with our id is already connected there; does another process use a copy of this data "
                  "directory?");
    case refusal_code::stale_incarnation:
      return pick("a later start of its member is known: it is an old process or a copied data directory",
                  "a later start of this member is known there: this process is out of date, or its data directory "
                  "was copied");
    case refusal_code::same_member:
      return pick("it has this node's own member id: it is this node, or uses a copy of its data directory",
                  "it has our own member id: we dialled ourselves, or one data directory is a copy of the other");
    case refusal_code::not_ready:
      return pick("this node does not know its cluster yet", "it does not know its cluster yet; try again later");
    case refusal_code::overloaded:
      return pick("too many connections wait", "it has too many connections; try again later");
    case refusal_code::not_who_you_expect:
      return pick("it looked for another member at this address",
                  "another member listens at this address than the one we look for");
    case refusal_code::wrong_certificate:
      return pick("it shows no certificate of the member that it says it is",
                  "our certificate is not of the member that we say we are; is a certificate of another node in this "
                  "node's directory?");
    case refusal_code::revoked:
      return pick("its member's certificate was revoked",
                  "our certificate was revoked there: this node does not belong to the cluster any more");
    case refusal_code::not_encrypted:
      return pick("it speaks in plain text where only TLS is spoken", "it takes encrypted connections only");
  }
  return "for a reason that this version does not know (" + std::to_string(static_cast<unsigned>(code)) + ")";
}

errc to_errc(refusal_code code) noexcept {
  switch (code) {
    case refusal_code::malformed:
      return errc::corrupted;
    case refusal_code::version:
    case refusal_code::protocol:
      return errc::unsupported;
    case refusal_code::wrong_token:
    case refusal_code::wrong_certificate:
    case refusal_code::revoked:
    case refusal_code::not_encrypted:
      return errc::permission_denied;
    case refusal_code::other_cluster:
    case refusal_code::already_connected:
    case refusal_code::stale_incarnation:
    case refusal_code::same_member:
    case refusal_code::not_who_you_expect:
      return errc::failed_precondition;
    case refusal_code::not_ready:
    case refusal_code::overloaded:
      return errc::unavailable;
  }
  return errc::unavailable;
}

namespace handshake {

namespace {

constexpr std::string_view dialler_label = "troupe handshake 1 dialler";
constexpr std::string_view acceptor_label = "troupe handshake 1 acceptor";

constexpr std::size_t uuid_bytes = 16;
constexpr std::size_t hello_bytes = 2 + 2 + 1 + uuid_bytes + uuid_bytes + 8 + uuid_bytes + 32;
constexpr std::size_t challenge_bytes = 2 + 32;
constexpr std::size_t proof_bytes = 32;
constexpr std::size_t welcome_bytes = uuid_bytes + uuid_bytes + 8 + 32;
constexpr std::size_t refusal_bytes = 2 + 2 + 2;

/// What each side proves to know the token over: the label keeps one side's proof from being the other's, the
/// transcript ties it to this connection.
proof prove(std::string_view token, std::string_view label, bytes_view transcript) {
  bytes text(label);
  text += transcript;
  proof made{};
  unsigned int size = 0;
  const auto* good = HMAC(EVP_sha256(), token.data(), static_cast<int>(token.size()),
                          reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                          reinterpret_cast<unsigned char*>(made.data()), &size);
  TROUPE_INVARIANT(good != nullptr && size == made.size(), "OpenSSL's HMAC failed");
  return made;
}

bytes message(message_type type, bytes_view body) {
  bytes out;
  append_le(out, static_cast<std::uint16_t>(1 + body.size()));
  append_le(out, type);
  out += body;
  return out;
}

void append_uuid(bytes& out, const uuid& id) {
  out.append(reinterpret_cast<const char*>(id.octets.data()), id.octets.size());
}

/// Takes fixed-size fields off a body whose size parse_prefix has compared with its type's.
class fields {
 public:
  explicit fields(bytes_view body) : at_(body.data()) {}
  template <class T>
  T take() {
    const auto value = load_le<T>(at_);
    at_ += sizeof(T);
    return value;
  }
  template <class T>
  T take_uuid() {
    T id;
    std::memcpy(id.value.octets.data(), at_, uuid_bytes);
    at_ += uuid_bytes;
    return id;
  }
  std::array<char, 32> take_32() { return take<std::array<char, 32>>(); }

 private:
  const char* at_;
};

std::size_t body_bytes_of(message_type type) {
  switch (type) {
    case message_type::hello:
      return hello_bytes;
    case message_type::challenge:
      return challenge_bytes;
    case message_type::proof:
      return proof_bytes;
    case message_type::welcome:
      return welcome_bytes;
    case message_type::refusal:
      return refusal_bytes;
  }
  return 0;
}

bool equal(const proof& a, const proof& b) { return equal_constant_time({a.data(), a.size()}, {b.data(), b.size()}); }

}  // namespace

result<prefix> parse_prefix(bytes_view three_bytes) {
  if (three_bytes.size() != prefix_bytes) return error{errc::corrupted, "a handshake message is cut off"};
  const auto length = load_le<std::uint16_t>(three_bytes.data());
  const auto type = load_le<message_type>(three_bytes.data() + 2);
  const auto expected = body_bytes_of(type);
  if (expected == 0 || length != 1 + expected)
    return error{errc::corrupted, "a handshake message of type " +
                                      std::to_string(static_cast<unsigned char>(three_bytes[2])) + " claims " +
                                      std::to_string(length) + " bytes"};
  return prefix{type, expected};
}

dialler::dialler(const identity& self, protocol what, member_id expected, const nonce& fresh) : self_(self) {
  hello_.protocol = what;
  hello_.cluster = self.cluster;
  hello_.member = self.member;
  hello_.incarnation = self.incarnation;
  hello_.expected = expected;
  hello_.nonce = fresh;
}

bytes dialler::start() {
  bytes body;
  append_le(body, hello_.version_min);
  append_le(body, hello_.version_max);
  append_le(body, hello_.protocol);
  append_uuid(body, hello_.cluster.value);
  append_uuid(body, hello_.member.value);
  append_le(body, hello_.incarnation.value);
  append_uuid(body, hello_.expected.value);
  body.append(hello_.nonce.data(), hello_.nonce.size());
  state_ = state::hello_sent;
  transcript_ = body;
  return bytes(magic) + message(message_type::hello, body);
}

result<bytes> dialler::receive(message_type type, bytes_view body) {
  const auto at = std::exchange(state_, state::failed);
  if (type == message_type::refusal) return on_refusal(body);
  if (at == state::hello_sent && type == message_type::challenge) return on_challenge(body);
  if (at == state::proof_sent && type == message_type::welcome) return on_welcome(body);
  return error{errc::corrupted, "its handshake makes no sense; is it a node of troupe?"};
}

result<bytes> dialler::on_challenge(bytes_view body) {
  const auto version = fields(body).take<std::uint16_t>();
  if (version < hello_.version_min || version > hello_.version_max)
    return error{errc::unsupported, "it chose version " + std::to_string(version) + ", which we did not offer"};
  other_.version = version;
  transcript_ += body;
  const auto mine = prove(self_.token, dialler_label, transcript_);
  transcript_.append(mine.data(), mine.size());
  state_ = state::proof_sent;
  return message(message_type::proof, {mine.data(), mine.size()});
}

result<bytes> dialler::on_welcome(bytes_view body) {
  fields in(body);
  other_.cluster = in.take_uuid<cluster_id>();
  other_.member = in.take_uuid<member_id>();
  other_.incarnation = in.take<incarnation>();
  other_.protocol = hello_.protocol;
  transcript_ += body.substr(0, body.size() - proof_bytes);
  if (!equal(in.take_32(), prove(self_.token, acceptor_label, transcript_)))
    return error{errc::permission_denied,
                 "it could not prove that it knows the cluster's token; do not trust what listens at this address"};
  if (!self_.cluster.is_nil() && other_.cluster != self_.cluster)
    return error{errc::failed_precondition, describe(refusal_code::other_cluster, false)};
  if (!hello_.expected.is_nil() && other_.member != hello_.expected)
    return error{errc::failed_precondition, describe(refusal_code::not_who_you_expect, false)};
  state_ = state::finished;
  return bytes();
}

error dialler::on_refusal(bytes_view body) const {
  fields in(body);
  const auto code = in.take<refusal_code>();
  auto text = describe(code, false);
  if (code == refusal_code::version) {
    const auto least = in.take<std::uint16_t>(), most = in.take<std::uint16_t>();
    text += " (it speaks " + std::to_string(least) + " to " + std::to_string(most) + ", we " +
            std::to_string(hello_.version_min) + " to " + std::to_string(hello_.version_max) + ")";
  }
  return {to_errc(code), text};
}

acceptor::acceptor(const identity& self, const nonce& fresh) : self_(self), nonce_(fresh) {}

acceptor::answer acceptor::refuse(refusal_code code) {
  state_ = state::done;
  bytes body;
  append_le(body, code);
  append_le(body, protocol_version_min);
  append_le(body, protocol_version_max);
  return {message(message_type::refusal, body), code};
}

acceptor::answer acceptor::receive(message_type type, bytes_view body) {
  if (state_ == state::begin && type == message_type::hello) return on_hello(body);
  if (state_ == state::challenged && type == message_type::proof) return on_proof(body);
  return refuse(refusal_code::malformed);
}

acceptor::answer acceptor::on_hello(bytes_view body) {
  fields in(body);
  hello_.version_min = in.take<std::uint16_t>();
  hello_.version_max = in.take<std::uint16_t>();
  hello_.protocol = in.take<transport::protocol>();
  hello_.cluster = in.take_uuid<cluster_id>();
  hello_.member = in.take_uuid<member_id>();
  hello_.incarnation = in.take<incarnation>();
  hello_.expected = in.take_uuid<member_id>();
  hello_.nonce = in.take_32();
  transcript_ = body;
  if (hello_.version_min > hello_.version_max || hello_.version_max < protocol_version_min ||
      hello_.version_min > protocol_version_max)
    return refuse(refusal_code::version);
  if (self_.cluster.is_nil()) return refuse(refusal_code::not_ready);
  // Cluster ids are no secret, and «another cluster» helps more than the «wrong token» that would follow.
  if (!hello_.cluster.is_nil() && hello_.cluster != self_.cluster) return refuse(refusal_code::other_cluster);
  other_.version = std::min(hello_.version_max, protocol_version_max);
  bytes reply;
  append_le(reply, other_.version);
  reply.append(nonce_.data(), nonce_.size());
  transcript_ += reply;
  state_ = state::challenged;
  return {message(message_type::challenge, reply), {}};
}

acceptor::answer acceptor::on_proof(bytes_view body) {
  const auto theirs = fields(body).take_32();
  if (!equal(theirs, prove(self_.token, dialler_label, transcript_))) return refuse(refusal_code::wrong_token);
  transcript_ += body;
  other_.cluster = self_.cluster;
  other_.member = hello_.member;
  other_.incarnation = hello_.incarnation;
  other_.protocol = hello_.protocol;
  if (hello_.member == self_.member) return refuse(refusal_code::same_member);
  if (!hello_.expected.is_nil() && hello_.expected != self_.member) return refuse(refusal_code::not_who_you_expect);
  state_ = state::proven;
  return {};
}

bytes acceptor::welcome_peer() {
  TROUPE_INVARIANT(state_ == state::proven, "a peer is welcomed before its proof");
  bytes body;
  append_uuid(body, self_.cluster.value);
  append_uuid(body, self_.member.value);
  append_le(body, self_.incarnation.value);
  transcript_ += body;
  const auto mine = prove(self_.token, acceptor_label, transcript_);
  body.append(mine.data(), mine.size());
  state_ = state::done;
  return message(message_type::welcome, body);
}

}  // namespace handshake
}  // namespace troupe::transport
