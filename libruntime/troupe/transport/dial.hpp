#pragma once
#include <boost/asio/ip/address.hpp>
#include <optional>
#include <troupe/base/limits.hpp>
#include <troupe/transport/connection.hpp>

namespace troupe::transport {

struct dial_request {
  tcp::endpoint to;
  transport::protocol protocol = protocol::block;
  identity self;
  /// The node's own host address: outgoing connections leave from it. Without it the kernel chooses.
  std::optional<asio::ip::address> from;
  /// Who should be there; nil takes anyone of the cluster.
  member_id expected;
  steady_time deadline = after(limits::request_time_max);  ///< for connecting and the handshake together
};

/// A connection that has shaken hands, on the calling coroutine's executor (a strand, or a context run by one thread).
/// Errors, each with a sentence: `unavailable` (refused, unreachable, closed; worth a retry), `deadline_exceeded`,
/// `permission_denied` (wrong token; a certificate is missing, wrong, expired or revoked, here or there),
/// `failed_precondition` (another cluster, already connected, stale incarnation), `unsupported` (no common version),
/// `corrupted` (not a troupe node).
awaitable<result<connection>> dial(dial_request request);

}  // namespace troupe::transport
