#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <map>
#include <set>
#include <string>
#include <troupe/base/ids.hpp>
#include <vector>

/// Who may do what, as the cluster knows it: users with a role, tokens, members whose certificates are not believed any
/// more, and the audit log. No secret is in it: of a token only the SHA-256.
namespace troupe::metadata {

inline constexpr std::size_t users_max = 1'000;
inline constexpr std::size_t tokens_max = 10'000;
inline constexpr std::size_t audit_entries_max = 10'000;  ///< the oldest go
inline constexpr std::size_t revoked_max = 10'000;
inline constexpr std::uint32_t token_uses_max = 1'000;
inline constexpr std::int64_t join_token_lifetime_ms_max = 7LL * 24 * 60 * 60 * 1000;
inline constexpr std::int64_t access_token_lifetime_ms_max = 400LL * 24 * 60 * 60 * 1000;
inline constexpr std::int64_t link_lifetime_ms_max = 10LL * 60 * 1000;
inline constexpr std::int64_t session_lifetime_ms_max = 24LL * 60 * 60 * 1000;
inline constexpr std::size_t links_per_user_max = 8;  ///< of each user; the oldest go, so that a viewer fills nothing
inline constexpr std::size_t sessions_per_user_max = 32;
inline constexpr std::int64_t dead_token_kept_ms = 7LL * 24 * 60 * 60 * 1000;  ///< to be looked at after its end

/// What somebody may do; each may do what those before it may.
enum class role : std::uint8_t {
  viewer,     ///< look
  submitter,  ///< also write data, load modules and run jobs: runs code
  operator_,  ///< add, drain and remove nodes
  admin,      ///< users, tokens, revocation
};
BOOST_DESCRIBE_ENUM(role, viewer, submitter, operator_, admin)

enum class token_kind : std::uint8_t {
  join,     ///< lets a new member in
  access,   ///< lets a user or program use the API
  link,     ///< lets a browser in, once
  session,  ///< a browser's, in a cookie; made of a link
};
BOOST_DESCRIBE_ENUM(token_kind, join, access, link, session)

struct user {
  std::string name;
  metadata::role role = role::viewer;
  std::int64_t created_at_unix_ms = 0;
  friend bool operator==(const user&, const user&) = default;
};
BOOST_DESCRIBE_STRUCT(user, (), (name, role, created_at_unix_ms))

struct token {
  std::string id;    ///< its public part: 16 hex digits
  std::string hash;  ///< SHA-256 of its secret part, in hex
  token_kind kind = token_kind::join;
  std::string user;  ///< whose it is; of join: who made it
  std::int64_t created_at_unix_ms = 0;
  std::int64_t expires_at_unix_ms = 0;
  std::uint32_t uses_max = 0;  ///< of join: how many members it lets in
  std::uint32_t uses = 0;
  bool revoked = false;
  friend bool operator==(const token&, const token&) = default;
};
BOOST_DESCRIBE_STRUCT(token, (),
                      (id, hash, kind, user, created_at_unix_ms, expires_at_unix_ms, uses_max, uses, revoked))

/// One change that somebody asked for through the API, and what became of it.
struct audit_entry {
  std::uint64_t number = 0;  ///< from 1, without gaps
  std::int64_t at_unix_ms = 0;
  std::string who;     ///< a user, or «cluster token»
  std::string from;    ///< address
  std::string what;    ///< method and path
  std::string result;  ///< status
  friend bool operator==(const audit_entry&, const audit_entry&) = default;
};
BOOST_DESCRIBE_STRUCT(audit_entry, (), (number, at_unix_ms, who, from, what, result))

struct revoked_member {
  std::int64_t at_unix_ms = 0;
  std::string reason;
  friend bool operator==(const revoked_member&, const revoked_member&) = default;
};
BOOST_DESCRIBE_STRUCT(revoked_member, (), (at_unix_ms, reason))

/// Makes or changes a user.
struct put_user {
  std::string name;
  metadata::role role = role::viewer;
};
BOOST_DESCRIBE_STRUCT(put_user, (), (name, role))

/// With all of the user's tokens.
struct remove_user {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(remove_user, (), (name))

struct create_token {
  metadata::token token;
};
BOOST_DESCRIBE_STRUCT(create_token, (), (token))

struct revoke_token {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(revoke_token, (), (id))

/// A new member has shown a join token. `permission_denied` when it is unknown, expired, revoked or used up; the same
/// member may use it again at no cost (its first answer may have been lost).
struct use_join_token {
  std::string id;
  std::string hash;
  member_id member;
};
BOOST_DESCRIBE_STRUCT(use_join_token, (), (id, hash, member))

/// Its certificate is not believed from now on, whatever its time; and it may not come back.
struct revoke_member {
  member_id id;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(revoke_member, (), (id, reason))

/// The number is given here.
struct note_audit {
  audit_entry entry;
};
BOOST_DESCRIBE_STRUCT(note_audit, (), (entry))

/// What a member says of its certificate, so that `nodes` can warn before it ends and a node that needs a signature
/// knows whom to ask.
struct certificate_note {
  std::int64_t expires_at_unix_ms = 0;
  bool signs = false;  ///< has the key of the cluster's authority
  friend bool operator==(const certificate_note&, const certificate_note&) = default;
};
BOOST_DESCRIBE_STRUCT(certificate_note, (), (expires_at_unix_ms, signs))

struct note_certificate {
  member_id id;
  certificate_note note;
};
BOOST_DESCRIBE_STRUCT(note_certificate, (), (id, note))

/// A browser has shown a link's code: the link is used up, and the session, with an id and a hash of its own, is its
/// user's from now on. `permission_denied` when the link is unknown, expired, revoked or used up.
struct redeem_link {
  std::string id;
  std::string hash;
  metadata::token session;
};
BOOST_DESCRIBE_STRUCT(redeem_link, (), (id, hash, session))

/// This part of the replicated state, as a snapshot holds it.
struct access_state {
  std::map<std::string, user> users;
  std::map<std::string, token> tokens;                ///< by id
  std::map<std::string, std::set<member_id>> let_in;  ///< by join token
  std::map<member_id, revoked_member> revoked;
  std::vector<audit_entry> audit;  ///< oldest first
  std::uint64_t next_audit = 1;
  std::map<member_id, certificate_note> certificates;
  friend bool operator==(const access_state&, const access_state&) = default;
};
BOOST_DESCRIBE_STRUCT(access_state, (), (users, tokens, let_in, revoked, audit, next_audit, certificates))

}  // namespace troupe::metadata
