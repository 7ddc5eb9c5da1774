#include <troupe/security/credentials.hpp>
#include <troupe/transport/secure.hpp>

namespace troupe::transport {

bool must_encrypt(const identity& self, const asio::ip::address& one_end, const asio::ip::address& other_end) {
  return !one_end.is_loopback() || !other_end.is_loopback() || (self.credentials && self.credentials->on_loopback());
}

bool is_plain_where_it_must_not_be(const connection& stream, const identity& self) {
  return !stream.is_encrypted() && must_encrypt(self, stream.local().address(), stream.remote().address());
}

std::optional<refusal_code> look_at_certificate(const connection& stream, const identity& self, const peer& who) {
  if (self.credentials && self.credentials->is_revoked(who.member)) return refusal_code::revoked;
  if (!stream.is_encrypted()) return std::nullopt;
  const auto shown = stream.certified();
  if (!shown || shown->member != who.member || shown->cluster != self.cluster) return refusal_code::wrong_certificate;
  return std::nullopt;
}

awaitable<result<void>> secure_dialled(connection& stream, const identity& self, member_id expected,
                                       steady_time deadline) {
  if (!must_encrypt(self, stream.local().address(), stream.remote().address())) co_return ok();
  if (!self.credentials)
    co_return error{errc::permission_denied,
                    "it is beyond this machine, and this node has no certificate: nothing goes there unencrypted"};
  const auto shaken = co_await stream.start_tls(self.credentials->context(), tls_side::dialler, deadline);
  if (!shaken) co_return shaken.error();
  const auto shown = stream.certified();
  if (!shown || shown->cluster != self.credentials->who().cluster)
    co_return error{errc::permission_denied, "its certificate is of another cluster; do not trust what listens there"};
  if (!expected.is_nil() && shown->member != expected)
    co_return error{errc::failed_precondition, describe(refusal_code::not_who_you_expect, false)};
  if (self.credentials->is_revoked(shown->member))
    co_return error{errc::permission_denied, "the certificate of the member that listens there was revoked"};
  co_return ok();
}

result<void> check_dialled(connection& stream, const identity& self) {
  if (!stream.is_encrypted()) {
    if (self.credentials && self.credentials->is_revoked(stream.peer().member))
      return error{errc::permission_denied, "the certificate of the member that listens there was revoked"};
    return ok();
  }
  const auto shown = stream.certified();
  if (shown && shown->member == stream.peer().member && shown->cluster == stream.peer().cluster) return ok();
  return error{errc::permission_denied,
               "its certificate is not of the member that it says it is; do not trust what listens there"};
}

void close_when_revoked(connection& stream, const identity& self) {
  if (self.credentials) stream.keep(self.credentials->watch(stream.peer().member, stream.closer()));
}

}  // namespace troupe::transport
