#include "node/daemon/access.hpp"

#include <chrono>
#include <troupe/base/text.hpp>
#include <troupe/metadata/state.hpp>
#include <troupe/security/credentials.hpp>

#include "node/daemon/api_services.hpp"
#include "node/daemon/node_security.hpp"

namespace troupe::node {

using transport::http_access;
using transport::http_caller;
using token_kind = security::token_text::kind;

namespace {

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

metadata::token_kind to_metadata(token_kind kind) {
  switch (kind) {
    case token_kind::join:
      return metadata::token_kind::join;
    case token_kind::access:
      return metadata::token_kind::access;
    case token_kind::link:
      return metadata::token_kind::link;
    case token_kind::session:
      return metadata::token_kind::session;
  }
  return metadata::token_kind::join;
}

}  // namespace

bool is_within_machine(const transport::connection& stream) {
  const auto remote = stream.remote().address();
  return remote.is_loopback() || remote == stream.local().address();
}

std::string_view bearer_of(const transport::http_request& request) {
  constexpr std::string_view scheme = "Bearer ";
  const auto value = request.field("Authorization");
  if (request.head().count("Authorization") != 1 || !value.starts_with(scheme)) return {};
  return value.substr(scheme.size());
}

http_access to_access(metadata::role role) {
  switch (role) {
    case metadata::role::viewer:
      return http_access::viewer;
    case metadata::role::submitter:
      return http_access::submitter;
    case metadata::role::operator_:
      return http_access::operator_;
    case metadata::role::admin:
      return http_access::admin;
  }
  return http_access::viewer;
}

result<metadata::role> parse_role(std::string_view text) {
  for (const auto role :
       {metadata::role::viewer, metadata::role::submitter, metadata::role::operator_, metadata::role::admin})
    if (transport::to_string(to_access(role)) == text) return role;
  return error{errc::invalid_argument, "there is no role \"" + std::string(text.substr(0, 64)) +
                                           "\" (known: viewer, submitter, operator, admin)"};
}

std::optional<http_caller> user_of(const metadata::state& s, std::string_view text, security::token_text::kind kind,
                                   std::int64_t now_unix_ms) {
  const auto token = security::token_text::parse(text, kind);
  if (!token) return std::nullopt;
  const auto& access = s.access();
  const auto at = access.tokens.find(token->id);
  if (at == access.tokens.end()) return std::nullopt;
  const auto& known = at->second;
  if (known.kind != to_metadata(kind) || known.revoked || known.expires_at_unix_ms <= now_unix_ms ||
      !equal_constant_time(known.hash, token->hash()))
    return std::nullopt;
  const auto user = access.users.find(known.user);
  if (user == access.users.end()) return std::nullopt;
  return http_caller{user->first, to_access(user->second.role), false, false};
}

std::optional<http_caller> find_caller(const api_services& s, std::string_view bearer,
                                       const transport::connection& stream) {
  if (equal_constant_time(bearer, s.token)) {
    bool counts = is_within_machine(stream);
    if (const auto shown = stream.certified(); !counts && shown && s.security != nullptr)
      if (const auto mine = s.security->credentials())
        counts = shown->cluster == s.cluster && !mine->is_revoked(shown->member);
    if (!counts) return std::nullopt;
    return http_caller{"cluster token", http_access::admin, true, false};
  }
  return s.metadata.read(
      [&](const metadata::state& state) { return user_of(state, bearer, token_kind::access, unix_ms()); });
}

std::optional<http_caller> find_session(const api_services& s, std::string_view cookie) {
  return s.metadata.read(
      [&](const metadata::state& state) { return user_of(state, cookie, token_kind::session, unix_ms()); });
}

std::string cookie_name(const cluster_id& cluster) { return "troupe_" + cluster.value.short_string(); }

void note_deed(api_services& s, transport::http_deed deed) {
  metadata::note_audit entry{{0, 0, deed.who, deed.from, deed.what, std::to_string(deed.status)}};
  s.metadata.propose(std::move(entry), request_id::random(), 10'000,
                     [&log = s.log, deed = std::move(deed)](const result<metadata::response>& done) {
                       if (!done)
                         log.warning("audit", deed.who + " from " + deed.from + ": " + deed.what + ": " +
                                                  std::to_string(deed.status) +
                                                  " (not in the audit log: " + done.error().message() + ")");
                     });
}

}  // namespace troupe::node
