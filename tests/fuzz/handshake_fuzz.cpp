/// The first bytes on a node's port, from anybody. The first byte of the input says what is tried: 0 and 1, a stranger
/// who knows no token talks to an acceptor or a dialler; 2, somebody in the middle alters what two honest sides say.
#include <string>
#include <support/fuzz.hpp>
#include <troupe/transport/handshake.hpp>

namespace troupe::fuzz {
namespace {

using namespace transport;
using namespace transport::handshake;

const cluster_id cluster_here{uuid{{0xc1}}};
const transport::identity dialling{cluster_here, member_id{uuid{{1}}}, incarnation{3}, "the-token"};
const transport::identity accepting{cluster_here, member_id{uuid{{2}}}, incarnation{4}, "the-token"};
constexpr std::size_t reply_bytes_max = 256;

nonce nonce_of(char c) {
  nonce n;
  n.fill(c);
  return n;
}

/// A message cut off `in` as handshake_io reads it; nothing when the connection would end.
struct incoming {
  message_type type{};
  bytes_view body;
};
std::optional<incoming> cut(bytes_view& in) {
  if (in.size() < prefix_bytes) return std::nullopt;
  const auto known = parse_prefix(in.substr(0, prefix_bytes));
  if (!known || known->body_bytes > in.size() - prefix_bytes) return std::nullopt;
  const incoming got{known->type, in.substr(prefix_bytes, known->body_bytes)};
  in.remove_prefix(prefix_bytes + known->body_bytes);
  return got;
}

void stranger_dials(bytes_view in) {
  acceptor side(accepting, nonce_of('n'));
  while (const auto got = cut(in)) {
    const auto answer = side.receive(got->type, got->body);
    TROUPE_INVARIANT(!side.proven(), "a stranger is believed");
    TROUPE_INVARIANT(answer.reply.size() <= reply_bytes_max, "a long answer to a stranger");
    if (answer.refused) {
      TROUPE_INVARIANT(!describe(*answer.refused, true).empty(), "refused without a word");
      return;
    }
  }
}

void stranger_accepts(bytes_view in) {
  dialler side(dialling, protocol::raft, accepting.member, nonce_of('m'));
  (void)side.start();
  while (const auto got = cut(in)) {
    const auto next = side.receive(got->type, got->body);
    TROUPE_INVARIANT(!side.finished(), "a stranger is believed");
    if (!next) {
      TROUPE_INVARIANT(!next.error().message().empty(), "refused without a word");
      return;
    }
    TROUPE_INVARIANT(next->size() <= reply_bytes_max, "a long answer to a stranger");
  }
}

/// Edits are three bytes each: which message, where in it, what to xor there.
class middleman {
 public:
  explicit middleman(bytes_view edits) : edits_(edits) {}
  bytes alter(bytes message) {
    for (std::size_t i = 0; i + 3 <= edits_.size(); i += 3) {
      if (static_cast<std::size_t>(edits_[i] & 3) != sent_ || message.empty()) continue;
      const auto at = static_cast<unsigned char>(edits_[i + 1]) % message.size();
      message[at] = static_cast<char>(message[at] ^ edits_[i + 2]);
    }
    ++sent_;
    return message;
  }

 private:
  bytes_view edits_;
  std::size_t sent_ = 0;
};

void altered(bytes_view edits) {
  middleman middle(edits);
  dialler one(dialling, protocol::block, accepting.member, nonce_of('m'));
  acceptor other(accepting, nonce_of('n'));
  const auto hello = one.start().substr(magic_bytes);
  const auto hello_sent = middle.alter(hello);
  bytes_view in = hello_sent;
  auto got = cut(in);
  if (!got || !in.empty()) return;
  const auto challenge = other.receive(got->type, got->body);
  const auto challenge_sent = middle.alter(challenge.reply);
  in = challenge_sent;
  got = cut(in);
  if (!got || !in.empty()) return;
  const auto proof = one.receive(got->type, got->body);
  if (!proof) return;
  const auto proof_sent = middle.alter(*proof);
  in = proof_sent;
  got = cut(in);
  if (!got || !in.empty()) return;
  (void)other.receive(got->type, got->body);
  if (!other.proven()) {
    TROUPE_INVARIANT(hello != hello_sent || challenge.reply != challenge_sent || *proof != proof_sent,
                     "an honest dialler is refused");
    return;
  }
  TROUPE_INVARIANT(hello == hello_sent && challenge.reply == challenge_sent && *proof == proof_sent,
                   "the acceptor believes what was altered on its way");
  TROUPE_INVARIANT(other.other().member == dialling.member && other.other().protocol == protocol::block,
                   "the acceptor knows somebody else than who dialled");
  const auto welcome = other.welcome_peer();
  const auto welcome_sent = middle.alter(welcome);
  in = welcome_sent;
  got = cut(in);
  if (!got || !in.empty()) return;
  (void)one.receive(got->type, got->body);
  TROUPE_INVARIANT(one.finished() == (welcome == welcome_sent), "the dialler and the truth disagree");
}

}  // namespace

void one_input(bytes_view input) {
  if (input.empty()) return;
  const auto rest = input.substr(1);
  switch (input[0]) {
    case 0:
      return stranger_dials(rest);
    case 1:
      return stranger_accepts(rest);
    default:
      return altered(rest);
  }
}

std::vector<bytes> seeds() {
  auto wrong = dialling;
  wrong.token = "another-token";
  dialler one(wrong, protocol::raft, accepting.member, nonce_of('m'));
  acceptor other(accepting, nonce_of('n'));
  const auto hello = one.start().substr(magic_bytes);
  bytes_view in = hello;
  auto got = cut(in);
  const auto challenge = other.receive(got->type, got->body);
  in = challenge.reply;
  got = cut(in);
  const auto proof = one.receive(got->type, got->body);
  acceptor liar(wrong, nonce_of('n'));
  in = hello;
  got = cut(in);
  const auto their_challenge = liar.receive(got->type, got->body).reply;
  in = *proof;
  got = cut(in);
  (void)liar.receive(got->type, got->body);
  const auto welcome = liar.proven() ? liar.welcome_peer() : bytes();
  return {
      '\0' + hello + *proof, '\1' + their_challenge + welcome, '\1' + other.refuse(refusal_code::version).reply,
      '\2' + bytes(),        '\2' + bytes("\x00\x05\x01", 3),  '\2' + bytes("\x01\x10\x80\x02\x07\x01\x03\x20\x04", 9)};
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
