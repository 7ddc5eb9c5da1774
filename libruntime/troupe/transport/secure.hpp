#pragma once
#include <boost/asio/ip/address.hpp>
#include <optional>
#include <troupe/transport/connection.hpp>

/// Where connections must be encrypted, and whether the certificate that was shown is that of who says to be there.
namespace troupe::transport {

/// Beyond this machine always; within it where the node was told so.
bool must_encrypt(const identity& self, const asio::ip::address& one_end, const asio::ip::address& other_end);

bool is_plain_where_it_must_not_be(const connection& stream, const identity& self);

/// What is wrong with `who` at the other end of `stream`, as far as TLS knows; for the acceptor.
std::optional<refusal_code> look_at_certificate(const connection& stream, const identity& self, const peer& who);

/// The dialler's half before the handshake: TLS where it must be, and whoever listens is of our cluster and, where one
/// is expected, that member.
awaitable<result<void>> secure_dialled(connection& stream, const identity& self, member_id expected,
                                       steady_time deadline);
/// … and after it: the member that has shaken hands is the one of the certificate.
result<void> check_dialled(connection& stream, const identity& self);

/// The connection is closed when its member's certificate is revoked.
void close_when_revoked(connection& stream, const identity& self);

}  // namespace troupe::transport
