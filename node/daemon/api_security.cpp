#include <algorithm>
#include <chrono>
#include <troupe/api/security.hpp>
#include <troupe/base/text.hpp>
#include <troupe/security/token_text.hpp>
#include <troupe/telemetry/journal.hpp>

#include "node/daemon/access.hpp"
#include "node/daemon/api_paging.hpp"
#include "node/daemon/api_services.hpp"
#include "node/daemon/node_security.hpp"

/// Certificates for members, join tokens, users and their tokens, revocation, the audit log.
namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_access;
using transport::http_request;
using transport::http_response;
using namespace std::chrono_literals;

constexpr std::size_t body_bytes_max = 64 << 10;
constexpr std::uint64_t join_lifetime_s = 60 * 60;
constexpr std::uint64_t access_lifetime_s = 90ULL * 24 * 60 * 60;

template <class T>
awaitable<result<T>> read_json(http_request& request, const char* what) {
  const auto body = co_await request.read_body(body_bytes_max);
  if (!body) co_return body.error();
  co_return api::from_text<T>(*body, what, api::unknown_members::refused);
}

/// Of strangers, who may ask as often as they like: neither the audit log nor the node's is theirs to fill.
void tell_refusal(api_services& s, const http_request& request, const std::string& what, const error& why) {
  if (s.security->may_tell_refusal())
    s.log.warning("security", "refused " + what + " to " + transport::to_string(request.remote()) + ": " +
                                  why.message() + " (said at most every 10 s)");
}

// ---- join ----

/// Whether whoever asks may have a certificate of that member; commits what a join token is used for.
awaitable<result<void>> may_have(api_services& s, const http_request& request, member_id member) {
  const std::string bearer(bearer_of(request));
  if (equal_constant_time(bearer, s.token)) {
    const auto shown = request.stream().certified();
    if (shown && shown->cluster == s.cluster && shown->member == member) co_return ok();
    if (is_within_machine(request.stream())) co_return ok();
    co_return error{errc::permission_denied,
                    "from another machine the cluster's token counts along with a member's certificate only; a new "
                    "node needs a join token (`token create`)"};
  }
  const auto token = security::token_text::parse(bearer, security::token_text::kind::join);
  if (!token) co_return error{errc::permission_denied, "a join token is missing: send Authorization: Bearer TOKEN"};
  metadata::command command = metadata::use_join_token{token->id, token->hash(), member};
  const auto used = co_await propose(s, std::move(command));
  if (!used) co_return used.error();
  co_return ok();
}

awaitable<void> join(api_services& s, http_request& request, http_response& response) {
  if (s.security == nullptr || !s.security->credentials()) {
    const error none{errc::not_found, "this cluster has no authority of its own, which signs certificates"};
    co_return (void) co_await response.send_problem(none);
  }
  if (!s.security->can_sign()) {
    const error elsewhere{errc::unavailable,
                          "this node does not have the key of the cluster's authority: ask another node"};
    co_return (void) co_await response.send_problem(elsewhere);
  }
  const auto asked = co_await read_json<api::join_request>(request, "request for a certificate");
  if (!asked) co_return (void) co_await response.send_problem(asked.error());
  const auto allowed = co_await may_have(s, request, asked->member);
  const std::string what = "a certificate for member " + asked->member.value.short_string();
  if (!allowed) {
    tell_refusal(s, request, what, allowed.error());
    co_return (void) co_await response.send_problem(allowed.error());
  }
  // The address that it is seen at is one that it has; others it could only claim.
  const std::vector<std::string> addresses{request.remote().address().to_string()};
  const auto made = s.security->sign(asked->request, {s.cluster, asked->member}, addresses);
  if (!made) co_return (void) co_await response.send_problem(made.error());
  note_deed(s, {"(join)", transport::to_string(request.remote()), what, 200});
  const auto text = api::to_text(api::join_answer{s.cluster, *made, s.security->authority_pem(), s.token});
  (void)co_await response.send_json(text);
}

/// Only for a voter, and only over TLS that names it: the key makes members.
result<void> may_have_key(api_services& s, const http_request& request, member_id member) {
  const auto shown = request.stream().certified();
  const auto voters = s.metadata.voters();
  if (!equal_constant_time(bearer_of(request), s.token) || !shown || shown->cluster != s.cluster ||
      shown->member != member)
    return error{errc::permission_denied,
                 "the authority's key is for members that show their certificate and the cluster's token"};
  if (std::find(voters.begin(), voters.end(), member) == voters.end())
    return error{errc::permission_denied, "the authority's key is for voters of the metadata"};
  if (s.metadata.read([&](const metadata::state& state) { return state.distrusted().contains(member); }))
    return error{errc::permission_denied, "this member was removed from the cluster, or revoked"};
  return ok();
}

awaitable<void> give_authority_key(api_services& s, http_request& request, http_response& response) {
  if (s.security == nullptr || !s.security->credentials()) {
    const error none{errc::not_found, "this cluster has no authority of its own, which signs certificates"};
    co_return (void) co_await response.send_problem(none);
  }
  const auto asked = co_await read_json<api::authority_request>(request, "request for the authority's key");
  if (!asked) co_return (void) co_await response.send_problem(asked.error());
  const auto allowed = may_have_key(s, request, asked->member);
  const auto key = allowed ? s.security->authority_key() : result<std::string>(allowed.error());
  const std::string what = "the authority's key for member " + asked->member.value.short_string();
  if (allowed)
    note_deed(s, {"(voter)", transport::to_string(request.remote()), what, key ? 200 : 503});
  else
    tell_refusal(s, request, what, allowed.error());
  if (!key) co_return (void) co_await response.send_problem(key.error());
  const auto text = api::to_text(api::authority_key{*key});
  (void)co_await response.send_json(text);
}

// ---- tokens ----

const char* name_of(metadata::token_kind kind) {
  switch (kind) {
    case metadata::token_kind::join:
      return "join";
    case metadata::token_kind::access:
      return "access";
    case metadata::token_kind::link:
      return "link";
    case metadata::token_kind::session:
      return "session";
  }
  return "unknown";
}

api::token to_token(const metadata::token& t, std::int64_t now) {
  api::token out{t.id, name_of(t.kind), t.user, {t.created_at_unix_ms}, {t.expires_at_unix_ms}, {}, {}, "good"};
  if (t.kind == metadata::token_kind::join) {
    out.uses_max = t.uses_max;
    out.uses = t.uses;
    if (t.uses >= t.uses_max) out.state = "used up";
  }
  if (t.expires_at_unix_ms <= now) out.state = "expired";
  if (t.revoked) out.state = "revoked";
  return out;
}

template <class T, class Map, class Make>
awaitable<void> list(api_services& s, http_request& request, http_response& response, Map map_of, Make make) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto page = make_page<T>(request, [&](const std::string& after, auto take) {
    s.metadata.read([&](const metadata::state& state) {
      const auto& map = map_of(state);
      for (auto at = after.empty() ? map.begin() : map.upper_bound(after); at != map.end(); ++at)
        if (!take(at->first, make(at->second))) break;
      return 0;
    });
  });
  if (!page) co_return (void) co_await response.send_problem(page.error());
  const auto text = api::to_text(*page);
  (void)co_await response.send_json(text);
}

awaitable<void> create_token(api_services& s, http_request& request, http_response& response) {
  const auto asked = co_await read_json<api::token_request>(request, "token");
  if (!asked) co_return (void) co_await response.send_problem(asked.error());
  const bool join = !asked->user;
  if (join && (s.security == nullptr || !s.security->credentials())) {
    const error none{
        errc::failed_precondition,
        "this cluster has no certificates, so nodes join it on this machine only, with the cluster's token"};
    co_return (void) co_await response.send_problem(none);
  }
  security::token_text made = security::token_text::make(security::token_text::kind::access);
  if (join) {
    const auto authority = security::certificate::parse(s.security->authority_pem(), "the authority's certificate");
    if (!authority) co_return (void) co_await response.send_problem(authority.error());
    made = security::token_text::make_join(authority->fingerprint());
  }
  const auto lifetime_s = asked->lifetime_s != 0 ? asked->lifetime_s : join ? join_lifetime_s : access_lifetime_s;
  if (lifetime_s > access_lifetime_s * 5) {
    const error long_one{errc::invalid_argument, "a token cannot live for " + std::to_string(lifetime_s) + " s"};
    co_return (void) co_await response.send_problem(long_one);
  }
  metadata::token kept;
  kept.id = made.id;
  kept.hash = made.hash();
  kept.kind = join ? metadata::token_kind::join : metadata::token_kind::access;
  kept.user = join ? request.caller()->name : *asked->user;
  kept.expires_at_unix_ms = telemetry::now_unix_ms() + static_cast<std::int64_t>(lifetime_s) * 1000;
  kept.uses_max = join ? asked->uses_max.value_or(1) : 0;
  metadata::command command = metadata::create_token{kept};
  const auto done = co_await propose(s, std::move(command));
  if (!done) co_return (void) co_await response.send_problem(done.error());
  const auto text = api::to_text(api::new_token{made.id, made.text(), {kept.expires_at_unix_ms}});
  (void)co_await response.send_json(text, 201);
}

awaitable<void> change(api_services& s, http_response& response, metadata::command command) {
  const auto done = co_await propose(s, std::move(command));
  if (!done) co_return (void) co_await response.send_problem(done.error());
  (void)co_await response.send_empty();
}

awaitable<void> put_user(api_services& s, http_request& request, http_response& response) {
  const auto asked = co_await read_json<api::user_change>(request, "user");
  if (!asked) co_return (void) co_await response.send_problem(asked.error());
  const auto role = parse_role(asked->role);
  if (!role) co_return (void) co_await response.send_problem(role.error());
  metadata::command command = metadata::put_user{std::string(request.parameter("name")), *role};
  co_await change(s, response, std::move(command));
}

// ---- revocation and audit ----

awaitable<void> revoke_node(api_services& s, http_request& request, http_response& response) {
  const auto asked = co_await read_json<api::revoke_request>(request, "revocation");
  if (!asked) co_return (void) co_await response.send_problem(asked.error());
  const std::string name(request.parameter("name"));
  const auto id = s.metadata.read([&](const metadata::state& state) {
    const auto* m = state.find_member(name);
    return m == nullptr ? member_id() : m->id;
  });
  if (id.is_nil()) co_return (void) co_await response.send_problem(no_node(name));
  if (id == s.self) {
    const error own{errc::failed_precondition, name + " cannot revoke itself: ask another node"};
    co_return (void) co_await response.send_problem(own);
  }
  metadata::command command = metadata::revoke_member{id, asked->reason};
  co_await change(s, response, std::move(command));
}

awaitable<void> audit(api_services& s, http_request& request, http_response& response) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto after = request.query_number("after", 0, 0, UINT64_MAX);
  const auto limit = request.query_number("limit", 1'000, 1, metadata::audit_entries_max);
  for (const auto* number : {&after, &limit})
    if (!*number) co_return (void) co_await response.send_problem(number->error());
  api::list<api::audit_entry> out;
  s.metadata.read([&](const metadata::state& state) {
    for (const auto& e : state.access().audit)
      if (e.number > *after && out.items.size() < *limit)
        out.items.push_back({e.number, {e.at_unix_ms}, e.who, e.from, e.what, e.result});
    return 0;
  });
  if (out.items.size() == *limit) out.next_cursor = std::to_string(out.items.back().number);
  const auto text = api::to_text(out);
  (void)co_await response.send_json(text);
}

}  // namespace

void add_security_routes(transport::http_router& router, api_services& s) {
  router.post("/api/v1/join", http_access::open, [&s](auto& in, auto& out) { return join(s, in, out); });
  router.post("/api/v1/join/authority", http_access::open,
              [&s](auto& in, auto& out) { return give_authority_key(s, in, out); });
  router.get("/api/v1/tokens", http_access::admin, [&s](auto& in, auto& out) {
    return list<api::token>(
        s, in, out, [](const metadata::state& state) -> auto& { return state.access().tokens; },
        [now = telemetry::now_unix_ms()](const metadata::token& t) { return to_token(t, now); });
  });
  router.post("/api/v1/tokens", http_access::admin, [&s](auto& in, auto& out) { return create_token(s, in, out); });
  router.del("/api/v1/tokens/{id}", http_access::admin, [&s](auto& in, auto& out) {
    return change(s, out, metadata::revoke_token{std::string(in.parameter("id"))});
  });
  router.get("/api/v1/users", http_access::admin, [&s](auto& in, auto& out) {
    return list<api::user>(
        s, in, out, [](const metadata::state& state) -> auto& { return state.access().users; },
        [](const metadata::user& u) {
          return api::user{u.name, std::string(transport::to_string(to_access(u.role))), {u.created_at_unix_ms}};
        });
  });
  router.add("PUT", "/api/v1/users/{name}", http_access::admin,
             [&s](auto& in, auto& out) { return put_user(s, in, out); });
  router.del("/api/v1/users/{name}", http_access::admin, [&s](auto& in, auto& out) {
    return change(s, out, metadata::remove_user{std::string(in.parameter("name"))});
  });
  router.post("/api/v1/nodes/{name}/revoke", http_access::admin,
              [&s](auto& in, auto& out) { return revoke_node(s, in, out); });
  router.get("/api/v1/audit", http_access::admin, [&s](auto& in, auto& out) { return audit(s, in, out); });
}

}  // namespace troupe::node
