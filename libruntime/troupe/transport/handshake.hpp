#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/version.hpp>

namespace troupe::security {
class credentials;
}

/// Who is it, and what does it want? Pure: bytes in, bytes out. doc/formats/wire.md has the layout and the reasons;
/// handshake_io.hpp does the I/O.
///
///   dialler                                    acceptor
///     hello: versions, protocol, who, nonce ──►  too little is known yet to say anything
///     ◄── challenge: version, nonce
///     proof: HMAC(token, all bytes so far)  ──►  now it believes the hello
///     ◄── welcome: who, HMAC(token, all bytes so far)
///
/// At any point the acceptor may answer `refusal` instead, and close. The token never crosses the wire.
namespace troupe::transport {

enum class protocol : std::uint8_t { http = 0, basp = 1, raft = 2, log = 3, block = 4 };
std::string_view to_string(protocol p) noexcept;

/// Who a node is in handshakes. `cluster` is nil before a new member has joined: it then believes the first acceptor
/// that knows the token.
struct identity {
  cluster_id cluster;
  member_id member;
  troupe::incarnation incarnation;
  std::string token;  ///< the cluster's secret, as in its file, without white space around it
  /// With what its connections are encrypted. Without it, there are none but between addresses of this machine.
  std::shared_ptr<security::credentials> credentials{};
};

/// What a handshake found out about the other side: believed, because it knows the token.
struct peer {
  cluster_id cluster;
  member_id member;
  troupe::incarnation incarnation;
  transport::protocol protocol = protocol::http;
  std::uint16_t version = 0;  ///< of the protocol: the highest that both know
};

/// Why an acceptor says no. On the wire: numbers stay.
enum class refusal_code : std::uint16_t {
  malformed = 1,
  version = 2,  ///< no common version
  other_cluster = 3,
  wrong_token = 4,
  protocol = 5,           ///< this node does not serve it (yet)
  already_connected = 6,  ///< the same member and incarnation has a live connection of this protocol
  stale_incarnation = 7,  ///< a later start of this member is known: this one is a ghost, or a copied directory
  same_member = 8,        ///< the dialler has the acceptor's own member id: a copied directory, or dialled itself
  not_ready = 9,          ///< this node does not know its cluster yet
  overloaded = 10,
  not_who_you_expect = 11,  ///< the dialler wanted another member at this address
  wrong_certificate = 12,   ///< the dialler's certificate is not of the cluster and member that it says it is
  revoked = 13,             ///< the member's certificate is not believed any more
  not_encrypted = 14,       ///< plain where only TLS is spoken
};

/// One sentence for a refusal, as the dialler (`by_us` false) or the acceptor (true) prints it.
std::string describe(refusal_code code, bool by_us);
errc to_errc(refusal_code code) noexcept;

namespace handshake {

inline constexpr std::size_t magic_bytes = 8;
/// No HTTP method and no TLS record begins like this, and a transfer that garbles line ends or the eighth bit breaks
/// it.
inline constexpr std::string_view magic{"\x89TRP\r\n\x1a\n", magic_bytes};

using nonce = std::array<char, 32>;
using proof = std::array<char, 32>;

struct hello {
  std::uint16_t version_min = protocol_version_min;
  std::uint16_t version_max = protocol_version_max;
  transport::protocol protocol = protocol::basp;
  cluster_id cluster;
  member_id member;
  troupe::incarnation incarnation;
  member_id expected;  ///< nil: whoever listens there
  handshake::nonce nonce{};
};
struct challenge {
  std::uint16_t version = 0;
  handshake::nonce nonce{};
};
struct welcome {
  cluster_id cluster;
  member_id member;
  troupe::incarnation incarnation;
};
struct refusal {
  refusal_code code = refusal_code::malformed;
  std::uint16_t version_min = protocol_version_min;
  std::uint16_t version_max = protocol_version_max;
};

/// Every message after the magic: u16 length of what follows, u8 type, body. A message's size is fixed by its type, so
/// a claimed length is checked before it is read.
enum class message_type : std::uint8_t { hello = 1, challenge = 2, proof = 3, welcome = 4, refusal = 5 };
inline constexpr std::size_t prefix_bytes = 3;

/// The prefix, or `corrupted` for an unknown type or any other length than the type's.
struct prefix {
  message_type type = message_type::refusal;
  std::size_t body_bytes = 0;
};
result<prefix> parse_prefix(bytes_view three_bytes);

/// The dialler's side of one handshake.
class dialler {
 public:
  dialler(const identity& self, protocol what, member_id expected, const nonce& fresh);
  /// Magic and hello.
  [[nodiscard]] bytes start();
  /// Takes the body of a message. What to send next, which is nothing once `finished`. Errors are sentences for people.
  result<bytes> receive(message_type type, bytes_view body);
  [[nodiscard]] bool finished() const noexcept { return state_ == state::finished; }
  [[nodiscard]] const peer& other() const noexcept { return other_; }

 private:
  enum class state { begin, hello_sent, proof_sent, finished, failed };
  result<bytes> on_challenge(bytes_view body);
  result<bytes> on_welcome(bytes_view body);
  error on_refusal(bytes_view body) const;

  identity self_;
  hello hello_;
  state state_ = state::begin;
  bytes transcript_;
  peer other_;
};

/// The acceptor's side. `reply` is to be sent in any case; `refused` says that the connection ends after it.
class acceptor {
 public:
  acceptor(const identity& self, const nonce& fresh);

  struct answer {
    bytes reply;
    std::optional<refusal_code> refused;
  };
  answer receive(message_type type, bytes_view body);
  /// The proof was right: `other()` is to be believed. The gate now looks at it and calls `welcome_peer` or `refuse`.
  [[nodiscard]] bool proven() const noexcept { return state_ == state::proven; }
  [[nodiscard]] const peer& other() const noexcept { return other_; }
  [[nodiscard]] bytes welcome_peer();
  [[nodiscard]] answer refuse(refusal_code code);

 private:
  enum class state { begin, challenged, proven, done };
  answer on_hello(bytes_view body);
  answer on_proof(bytes_view body);

  identity self_;
  nonce nonce_;
  hello hello_;
  state state_ = state::begin;
  bytes transcript_;
  peer other_;
};

}  // namespace handshake
}  // namespace troupe::transport
