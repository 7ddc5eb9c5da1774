#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <troupe/metadata/access.hpp>
#include <troupe/security/token_text.hpp>
#include <troupe/transport/http_server.hpp>

/// Who may use the API: the cluster's token and users' tokens.
namespace troupe::metadata {
class state;
}

namespace troupe::node {

struct api_services;

/// From this machine to this machine: who can do that has the machine already.
bool is_within_machine(const transport::connection& stream);
/// The request's bearer; empty when there is none.
std::string_view bearer_of(const transport::http_request& request);

transport::http_access to_access(metadata::role role);
result<metadata::role> parse_role(std::string_view text);

/// The user of a token of that kind, if it is good now. Only what the cluster knows: pure.
std::optional<transport::http_caller> user_of(const metadata::state& s, std::string_view text,
                                              security::token_text::kind kind, std::int64_t now_unix_ms);

/// Whose request this is. The cluster's token is every member's secret, so that it alone would let a stolen node do
/// everything: it counts on the node's own machine, and together with the certificate of a member that is not revoked.
std::optional<transport::http_caller> find_caller(const api_services& s, std::string_view bearer,
                                                  const transport::connection& stream);

/// Whose session a browser's cookie is.
std::optional<transport::http_caller> find_session(const api_services& s, std::string_view cookie);
/// The name of that cookie. With the cluster in it: browsers send a host's cookies to all of its ports, where another
/// cluster may listen.
std::string cookie_name(const cluster_id& cluster);

/// Commits an entry of the audit log, later. Where that fails, the node's log has it.
void note_deed(api_services& s, transport::http_deed deed);

}  // namespace troupe::node
