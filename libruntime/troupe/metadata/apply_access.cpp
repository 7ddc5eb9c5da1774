#include <algorithm>
#include <troupe/base/text.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/state.hpp>

/// Users, tokens, revoked members and the audit log.
namespace troupe::metadata {

namespace {

constexpr std::size_t token_id_chars = 16;
constexpr std::size_t hash_chars = 64;

constexpr std::int64_t minute_ms = 60 * 1000;

std::int64_t lifetime_max(token_kind kind) {
  switch (kind) {
    case token_kind::join:
      return join_token_lifetime_ms_max;
    case token_kind::access:
      return access_token_lifetime_ms_max;
    case token_kind::link:
      return link_lifetime_ms_max;
    case token_kind::session:
      return session_lifetime_ms_max;
  }
  return 0;
}

/// People look at what has become of tokens; a browser's come and go by themselves.
std::int64_t kept_after_its_end(token_kind kind) { return kind <= token_kind::access ? dead_token_kept_ms : 0; }

bool is_hex(std::string_view text, std::size_t size) {
  return text.size() == size && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

result<response> state::on(const put_user& c, std::int64_t now) {
  TROUPE_TRY_VOID(check_name("user", c.name));
  if (c.role > role::admin) return error{errc::invalid_argument, "there is no such role"};
  const auto at = access_.users.find(c.name);
  if (at == access_.users.end()) {
    if (access_.users.size() >= users_max)
      return error{errc::resource_exhausted, "the cluster has " + std::to_string(users_max) + " users already"};
    access_.users.emplace(c.name, user{c.name, c.role, now});
  } else {
    at->second.role = c.role;
  }
  return response{.text = c.name};
}

result<response> state::on(const remove_user& c, std::int64_t) {
  if (access_.users.erase(c.name) == 0)
    return error{errc::not_found, "no user \"" + c.name + "\"; `user list` lists them"};
  for (auto& [id, t] : access_.tokens)
    if (t.kind != token_kind::join && t.user == c.name) t.revoked = true;
  return response{.text = c.name};
}

result<response> state::on(const create_token& c, std::int64_t now) {
  const auto& t = c.token;
  if (t.kind > token_kind::link)
    return error{errc::invalid_argument, "a token that is made lets nodes, programs or a browser in"};
  if (t.kind == token_kind::join && (t.uses_max == 0 || t.uses_max > token_uses_max))
    return error{errc::invalid_argument, "a join token lets 1 to " + std::to_string(token_uses_max) +
                                             " members in, not " + std::to_string(t.uses_max)};
  if (t.kind != token_kind::join && !access_.users.contains(t.user))
    return error{errc::not_found, "no user \"" + checks::shorten(t.user) + "\"; `user set` makes one"};
  return add_token(t, now);
}

/// What every kind has in common. Forgets the tokens whose time is long over.
result<response> state::add_token(token t, std::int64_t now) {
  if (!is_hex(t.id, token_id_chars) || !is_hex(t.hash, hash_chars))
    return error{errc::invalid_argument, "a token has an id and a hash in hex, and a kind"};
  if (t.expires_at_unix_ms <= now || t.expires_at_unix_ms - now > lifetime_max(t.kind))
    return error{errc::invalid_argument, "a token of this kind lives for " +
                                             std::to_string(lifetime_max(t.kind) / minute_ms) + " minutes at most"};
  std::erase_if(access_.tokens, [&](const auto& item) {
    const bool old = item.second.expires_at_unix_ms + kept_after_its_end(item.second.kind) < now;
    if (old) access_.let_in.erase(item.first);
    return old;
  });
  make_room_for(t);
  if (access_.tokens.size() >= tokens_max)
    return error{errc::resource_exhausted, "the cluster has " + std::to_string(tokens_max) + " tokens already"};
  if (access_.tokens.contains(t.id)) return error{errc::already_exists, "there is a token " + t.id + " already"};
  t.user = checks::shorten(t.user);
  t.created_at_unix_ms = now;
  t.uses = 0;
  t.uses_max = t.kind == token_kind::join ? t.uses_max : t.kind == token_kind::link ? 1 : 0;
  t.revoked = false;
  const auto id = t.id;
  access_.tokens.emplace(id, std::move(t));
  return response{.text = id};
}

/// Links and sessions make themselves by the click: of a user's the oldest goes when there are too many.
void state::make_room_for(const token& fresh) {
  const bool link = fresh.kind == token_kind::link;
  if (!link && fresh.kind != token_kind::session) return;
  const auto most = link ? links_per_user_max : sessions_per_user_max;
  std::size_t there = 0;
  auto oldest = access_.tokens.end();
  for (auto at = access_.tokens.begin(); at != access_.tokens.end(); ++at) {
    if (at->second.kind != fresh.kind || at->second.user != fresh.user) continue;
    ++there;
    if (oldest == access_.tokens.end() || at->second.created_at_unix_ms < oldest->second.created_at_unix_ms)
      oldest = at;
  }
  if (there >= most) access_.tokens.erase(oldest);
}

result<response> state::on(const redeem_link& c, std::int64_t now) {
  const error no{errc::permission_denied,
                 "this link was used, or its time is over, or it is none: `troupe link` makes another"};
  const auto at = access_.tokens.find(c.id);
  if (at == access_.tokens.end() || at->second.kind != token_kind::link || at->second.revoked || at->second.uses > 0 ||
      at->second.expires_at_unix_ms <= now || !equal_constant_time(at->second.hash, c.hash))
    return no;
  auto session = c.session;
  session.kind = token_kind::session;
  session.user = at->second.user;
  if (!access_.users.contains(session.user)) return no;
  TROUPE_TRY(auto made, add_token(std::move(session), now));
  access_.tokens.erase(c.id);
  return made;
}

result<response> state::on(const revoke_token& c, std::int64_t) {
  const auto at = access_.tokens.find(c.id);
  if (at == access_.tokens.end())
    return error{errc::not_found, "no token \"" + checks::shorten(c.id) + "\"; `token list` lists them"};
  at->second.revoked = true;
  return response{.text = c.id};
}

result<response> state::on(const use_join_token& c, std::int64_t now) {
  const auto at = access_.tokens.find(c.id);
  // One sentence for all that a stranger may try: what exists is not for him to know.
  if (at == access_.tokens.end() || at->second.kind != token_kind::join ||
      !equal_constant_time(at->second.hash, c.hash))
    return error{errc::permission_denied, "this is no join token of the cluster"};
  auto& t = at->second;
  if (t.revoked) return error{errc::permission_denied, "the join token was revoked"};
  if (t.expires_at_unix_ms <= now)
    return error{errc::permission_denied, "the join token has expired; `token create` makes another"};
  if (c.member.is_nil()) return error{errc::invalid_argument, "a member without an id cannot join"};
  if (removed_.contains(c.member) || access_.revoked.contains(c.member))
    return error{errc::permission_denied, "this member was removed from the cluster, or revoked: it may not come back"};
  // Who knows a token may not take a member's place, be it one that the token let in: a used one is worth nothing.
  if (members_.contains(c.member))
    return error{errc::permission_denied, "this member is in the cluster already: a join token is for new ones"};
  auto& let_in = access_.let_in[c.id];
  if (let_in.contains(c.member)) return response{.text = c.id};  // its first answer may have been lost
  if (t.uses >= t.uses_max)
    return error{errc::permission_denied, "the join token has let in as many members as it may (" +
                                              std::to_string(t.uses_max) + "); `token create` makes another"};
  ++t.uses;
  let_in.insert(c.member);
  return response{.text = c.id};
}

result<response> state::on(const revoke_member& c, std::int64_t now) {
  const auto* m = find_member(c.id);
  if (m == nullptr && !removed_.contains(c.id))
    return error{errc::not_found, "member " + to_string(c.id) + " is not known"};
  if (access_.revoked.size() >= revoked_max)
    return error{errc::resource_exhausted, "the cluster has revoked " + std::to_string(revoked_max) + " members"};
  access_.revoked.try_emplace(c.id, revoked_member{now, checks::shorten(c.reason)});
  return response{.text = m == nullptr ? std::string() : m->name};
}

result<response> state::on(const note_audit& c, std::int64_t now) {
  auto e = c.entry;
  e.number = access_.next_audit++;
  e.at_unix_ms = now;
  for (auto* text : {&e.who, &e.from, &e.what, &e.result}) *text = checks::shorten(*text);
  access_.audit.push_back(std::move(e));
  if (access_.audit.size() > audit_entries_max + audit_entries_max / 8)
    access_.audit.erase(access_.audit.begin(), access_.audit.end() - static_cast<std::ptrdiff_t>(audit_entries_max));
  return response{};
}

result<response> state::on(const note_certificate& c, std::int64_t) {
  const auto* m = find_member(c.id);
  if (m == nullptr) return error{errc::not_found, "member " + to_string(c.id) + " is not known"};
  access_.certificates[c.id] = c.note;
  return response{.text = m->name};
}

}  // namespace troupe::metadata
