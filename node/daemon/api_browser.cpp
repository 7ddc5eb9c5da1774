#include <chrono>
#include <troupe/api/security.hpp>
#include <troupe/base/random.hpp>
#include <troupe/base/text.hpp>
#include <troupe/metadata/state.hpp>
#include <troupe/security/token_text.hpp>

#include "node/daemon/access.hpp"
#include "node/daemon/api_services.hpp"
#include "node/daemon/dashboard.hpp"

/// Browsers: a link that works once becomes a cookie, with which they see the dashboard and use the API.
namespace troupe::node {
namespace {

using boost::asio::awaitable;
using security::token_text;
using transport::http_access;
using transport::http_request;
using transport::http_response;

constexpr std::size_t body_bytes_max = 4 << 10;
constexpr std::int64_t link_lifetime_ms = 60 * 1000;
constexpr std::int64_t session_lifetime_ms = 12LL * 60 * 60 * 1000;
constexpr const char* html_type = "text/html; charset=utf-8";

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Whose link it shall be.
result<std::string> user_for(const transport::http_caller& caller, const api::link_request& asked) {
  if (!asked.user) {
    if (!caller.cluster) return caller.name;
    return error{
        errc::invalid_argument,
        "the cluster's token is no user: say whose link it shall be (`link --user NAME`; `user set` makes one)"};
  }
  if (!caller.cluster && caller.may < http_access::admin && *asked.user != caller.name)
    return error{errc::permission_denied, "a link of another user needs the role admin; " + caller.name +
                                              " has the role " + std::string(transport::to_string(caller.may))};
  return *asked.user;
}

awaitable<void> make_link(api_services& s, http_request& request, http_response& response) {
  const auto body = co_await request.read_body(body_bytes_max);
  if (!body) co_return (void) co_await response.send_problem(body.error());
  const auto asked = api::from_text<api::link_request>(*body, "link", api::unknown_members::refused);
  if (!asked) co_return (void) co_await response.send_problem(asked.error());
  const auto user = user_for(*request.caller(), *asked);
  if (!user) co_return (void) co_await response.send_problem(user.error());
  const auto made = token_text::make(token_text::kind::link);
  metadata::token kept;
  kept.id = made.id;
  kept.hash = made.hash();
  kept.kind = metadata::token_kind::link;
  kept.user = *user;
  kept.expires_at_unix_ms = unix_ms() + link_lifetime_ms;
  metadata::command command = metadata::create_token{kept};
  const auto done = co_await propose(s, std::move(command));
  if (!done) co_return (void) co_await response.send_problem(done.error());
  (void)co_await catch_up(s);  // it leads to this node, which must know it
  const auto address = s.metadata.read([&](const metadata::state& state) {
    const auto* self = state.find_member(s.self);
    return self == nullptr ? std::string() : self->address;
  });
  // As the asker came, so the browser can: plain text is taken on loopback only.
  const std::string scheme = request.stream().is_encrypted() ? "https://" : "http://";
  const auto text =
      api::to_text(api::new_link{scheme + address + "/login?code=" + made.text(), *user, {kept.expires_at_unix_ms}});
  (void)co_await response.send_json(text, 201);
}

// ---- pages ----

awaitable<void> send_page(http_response& response, int status, std::string_view page) {
  const auto nonce = random_hex(16);
  // Nothing from elsewhere, nothing inline but what this answer holds, nobody frames it.
  response.set_field("Content-Security-Policy", "default-src 'none'; script-src 'nonce-" + nonce +
                                                    "'; style-src 'nonce-" + nonce +
                                                    "'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
                                                    "frame-ancestors 'none'");
  response.set_field("Referrer-Policy", "no-referrer");
  response.set_field("Cross-Origin-Opener-Policy", "same-origin");
  response.set_field("Cross-Origin-Resource-Policy", "same-origin");
  const auto text = with_nonce(page, nonce);
  (void)co_await response.send(status, html_type, text);
}

/// Whose link it is; nothing when it is none. Looked at before anything is proposed: what a stranger sends must not
/// write into the cluster's log.
std::optional<std::string> user_of_link(api_services& s, const token_text& code) {
  return s.metadata.read([&](const metadata::state& state) -> std::optional<std::string> {
    const auto& tokens = state.access().tokens;
    const auto at = tokens.find(code.id);
    if (at == tokens.end() || at->second.kind != metadata::token_kind::link ||
        !equal_constant_time(at->second.hash, code.hash()))
      return std::nullopt;
    return at->second.user;
  });
}

awaitable<void> log_in(api_services& s, http_request& request, http_response& response) {
  // Whoever looks ahead whether a link is there must not use it up.
  if (request.method() != "GET") {
    response.set_field("Allow", "GET");
    co_return co_await send_page(response, 405, link_page);
  }
  const auto code = token_text::parse(request.query("code").value_or(""), token_text::kind::link);
  if (!code) co_return co_await send_page(response, 400, link_page);
  const auto user = user_of_link(s, *code);
  if (!user) co_return co_await send_page(response, 403, link_page);
  const auto made = token_text::make(token_text::kind::session);
  metadata::token session;
  session.id = made.id;
  session.hash = made.hash();
  session.expires_at_unix_ms = unix_ms() + session_lifetime_ms;
  metadata::command command = metadata::redeem_link{code->id, code->hash(), session};
  const auto done = co_await propose(s, std::move(command));
  const bool refused = !done && done.error().code() == errc::permission_denied;
  const int status = done ? 303 : refused ? 403 : 503;
  note_deed(s, {*user, transport::to_string(request.remote()), "GET /login", status});
  if (!done) co_return co_await send_page(response, status, link_page);
  (void)co_await catch_up(s);  // the browser is back at once, and this node must know the session
  const auto cookie = cookie_name(s.cluster) + "=" + made.text() +
                      "; Path=/; HttpOnly; SameSite=Strict; Max-Age=" + std::to_string(session_lifetime_ms / 1000) +
                      (request.stream().is_encrypted() ? "; Secure" : "");
  response.set_field("Set-Cookie", cookie);
  response.set_field("Location", "/");
  response.set_field("Referrer-Policy", "no-referrer");
  (void)co_await response.send(303, "text/plain", "");
}

awaitable<void> log_out(api_services& s, http_request& request, http_response& response) {
  if (!request.caller()->by_cookie) {
    const error no{errc::invalid_argument, "only a browser's session is ended here; `token revoke` ends a token"};
    co_return (void) co_await response.send_problem(no);
  }
  const auto name = cookie_name(s.cluster);
  const auto shown = token_text::parse(transport::find_cookie(request.head(), name).value_or(""));
  if (!shown) co_return (void) co_await response.send_problem(shown.error());
  metadata::command command = metadata::revoke_token{shown->id};
  const auto done = co_await propose(s, std::move(command));
  if (!done) co_return (void) co_await response.send_problem(done.error());
  response.set_field("Set-Cookie", name + "=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
  (void)co_await response.send_empty();
}

}  // namespace

void add_browser_routes(transport::http_router& router, api_services& s) {
  router.post("/api/v1/links", http_access::viewer, [&s](auto& in, auto& out) { return make_link(s, in, out); });
  router.post("/logout", http_access::viewer, [&s](auto& in, auto& out) { return log_out(s, in, out); });
  router.get("/login", http_access::open, [&s](auto& in, auto& out) { return log_in(s, in, out); });
  router.get("/", http_access::open, [](auto& in, auto& out) -> awaitable<void> {
    const bool known = in.caller().has_value();
    if (!known) out.set_field("WWW-Authenticate", "Bearer");
    co_await send_page(out, known ? 200 : 401, known ? dashboard_page : link_page);
  });
}

}  // namespace troupe::node
