#pragma once
#include <troupe/transport/connection.hpp>
#include <troupe/transport/handshake.hpp>

/// The handshake over a connection. Reads exactly its own bytes: what follows belongs to the protocol.
namespace troupe::transport::handshake {

/// The dialler's whole side; sets the connection's peer.
awaitable<result<void>> dial(connection& stream, const identity& self, protocol what, member_id expected,
                             steady_time deadline);

struct incoming {
  handshake::prefix prefix;
  char body[128] = {};
  [[nodiscard]] bytes_view view() const noexcept { return {body, prefix.body_bytes}; }
};
/// One message, its length checked before its body is read.
awaitable<result<void>> receive(connection& stream, incoming& into, steady_time deadline);

}  // namespace troupe::transport::handshake
