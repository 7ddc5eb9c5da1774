#pragma once
#include <boost/describe/class.hpp>
#include <optional>
#include <string>
#include <troupe/api/json.hpp>
#include <vector>

namespace troupe::api {

/// POST /api/v1/join: a node that has no certificate yet, or whose own will soon end, asks for one. The bearer is a
/// join token; or the cluster's token on the node's own machine, or along with the certificate that the member has now.
struct join_request {
  member_id member;
  std::string request;  ///< PKCS #10 in PEM
};
BOOST_DESCRIBE_STRUCT(join_request, (), (member, request))

/// Its answer. The cluster's token is the members' common secret: it goes over TLS, or never leaves the machine.
struct join_answer {
  cluster_id cluster;
  std::string certificate;  ///< PEM
  std::string authority;    ///< PEM
  std::string token;
};
BOOST_DESCRIBE_STRUCT(join_answer, (), (cluster, certificate, authority, token))

/// POST /api/v1/join/authority: a voter asks one that signs for the key of the cluster's authority, so that it can
/// sign, too. Over TLS, with the certificate of the member that it says it is and the cluster's token.
struct authority_request {
  member_id member;
};
BOOST_DESCRIBE_STRUCT(authority_request, (), (member))

/// Its answer; the voter seals it before it goes to a disk.
struct authority_key {
  std::string key;  ///< PKCS #8 in PEM
};
BOOST_DESCRIBE_STRUCT(authority_key, (), (key))

/// GET /api/v1/users, an item. PUT /api/v1/users/NAME takes a `user_change`, DELETE ends it with all of its tokens.
struct user {
  std::string name;
  std::string role;  ///< viewer, submitter, operator, admin
  timestamp created_at;
};
BOOST_DESCRIBE_STRUCT(user, (), (name, role, created_at))

struct user_change {
  std::string role;
};
BOOST_DESCRIBE_STRUCT(user_change, (), (role))

/// GET /api/v1/tokens, an item. DELETE /api/v1/tokens/ID revokes it.
struct token {
  std::string id;
  std::string kind;  ///< join, access, link, session
  std::string user;  ///< whose it is; of join: who made it
  timestamp created_at;
  timestamp expires_at;
  std::optional<std::uint32_t> uses_max;  ///< of join
  std::optional<std::uint32_t> uses;
  std::string state;  ///< good, expired, revoked, used up
};
BOOST_DESCRIBE_STRUCT(token, (), (id, kind, user, created_at, expires_at, uses_max, uses, state))

/// POST /api/v1/tokens. With a user it is a token of his for the API, without one it lets nodes in.
struct token_request {
  std::optional<std::string> user;
  std::uint64_t lifetime_s = 0;
  std::optional<std::uint32_t> uses_max;
};
BOOST_DESCRIBE_STRUCT(token_request, (), (user, lifetime_s, uses_max))

/// Its answer: the only time that the token's text is seen.
struct new_token {
  std::string id;
  std::string token;
  timestamp expires_at;
};
BOOST_DESCRIBE_STRUCT(new_token, (), (id, token, expires_at))

/// POST /api/v1/links: a link that lets a browser in once, within a minute. Of oneself; `user` is for administrators,
/// and for the cluster's token, which is no user.
struct link_request {
  std::optional<std::string> user;
};
BOOST_DESCRIBE_STRUCT(link_request, (), (user))

/// Its answer: the only time that the link is seen.
struct new_link {
  std::string url;
  std::string user;
  timestamp expires_at;
};
BOOST_DESCRIBE_STRUCT(new_link, (), (url, user, expires_at))

/// POST /api/v1/nodes/NAME/revoke
struct revoke_request {
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(revoke_request, (), (reason))

/// GET /api/v1/audit, an item; newest last. ?after=NUMBER goes on from there.
struct audit_entry {
  std::uint64_t number = 0;
  timestamp at;
  std::string who;
  std::string from;
  std::string what;
  std::string result;
};
BOOST_DESCRIBE_STRUCT(audit_entry, (), (number, at, who, from, what, result))

}  // namespace troupe::api
