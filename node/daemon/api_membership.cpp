#include <troupe/security/credentials.hpp>
#include <troupe/transport/endpoint.hpp>
#include <troupe/transport/http_client.hpp>

#include "node/daemon/api_services.hpp"
#include "node/daemon/log_port.hpp"
#include "node/daemon/node_security.hpp"
#include "node/daemon/shapes.hpp"

/// Nodes that go: stop, drain, remove.
namespace troupe::node {

using boost::asio::awaitable;
using transport::http_access;
using transport::http_request;
using transport::http_response;
using namespace std::chrono_literals;

result<void> ask_to_stop(const api_services& s, const std::string& address, const std::string& name) {
  const auto endpoint = transport::parse_endpoint(address);
  if (!endpoint) return endpoint.error();
  transport::http_client_options options;
  options.host = endpoint->address().to_string();
  options.port = endpoint->port();
  options.token = s.token;
  if (const auto mine = s.security == nullptr ? nullptr : s.security->credentials();
      mine && (mine->on_loopback() || !endpoint->address().is_loopback()))
    options.trust = security::trust::of_member(*mine);
  options.connect_time_max = 2s;
  options.read_time_max = 5s;
  transport::http_client client(options);
  transport::http_client_request request;
  request.method = "POST";
  request.target = "/api/v1/nodes/" + name + "/stop";
  const auto answer = client.send_ok(request);
  if (!answer) return answer.error().with_context("asking " + name + " at " + address + " to stop");
  return ok();
}

namespace {

constexpr auto stop_time_max = 15s;  ///< for a node that was asked to stop, before it is called removed

std::optional<metadata::member> find_node(const api_services& s, std::string_view name) {
  return s.metadata.read([&](const metadata::state& state) -> std::optional<metadata::member> {
    const auto* m = state.find_member(name);
    if (m == nullptr) return std::nullopt;
    return *m;
  });
}

bool runs(const metadata::member& m) {
  return m.state == metadata::member_state::alive || m.state == metadata::member_state::suspect;
}

awaitable<void> stop_node(api_services& s, http_request& request, http_response& response) {
  const std::string name(request.parameter("name"));
  const auto leader = s.metadata.leader();
  const auto voters = s.metadata.voters();
  const auto found = s.metadata.read([&](const metadata::state& state) -> std::optional<metadata::member> {
    const auto* m = state.find_member(name);
    if (m == nullptr) return std::nullopt;
    return *m;
  });
  if (!found) co_return (void) co_await response.send_problem(no_node(name));
  if (found->id != s.self) {
    if (found->state == metadata::member_state::left || found->state == metadata::member_state::dead)
      co_return (void) co_await response.send_problem(
          error{errc::failed_precondition, name + " does not run: " + found->state_reason});
    // Named, not written into the co_await: g++ 12 destroys such temporaries twice.
    auto ask = [&s, address = found->address, name] { return ask_to_stop(s, address, name); };
    const auto asked = co_await run_blocking<void>(s, std::move(ask), 8s);
    if (!asked) co_return (void) co_await response.send_problem(asked.error());
  }
  const auto shown =
      s.metadata.read([&](const metadata::state& state) { return to_api(state, *found, leader, voters); });
  const auto text = api::to_text(shown);
  (void)co_await response.send_json(text, 202);
  if (found->id == s.self) s.stop("asked to stop by the API");
}

// ---- drain ----

api::drain_progress progress_of(const api_services& s, const metadata::member& m) {
  api::drain_progress out;
  out.node = m.name;
  out.draining = m.draining;
  const auto left = s.metadata.read([&](const metadata::state& state) { return s.logs->draining(state, m.id); });
  out.segments = left.segments;
  out.bytes = left.bytes;
  out.partitions = left.partitions;
  out.done = m.draining && left.done();
  return out;
}

awaitable<void> show_drain(api_services& s, http_request& request, http_response& response) {
  if (s.logs == nullptr) co_return (void) co_await response.send_problem(logs_not_ready());
  const std::string name(request.parameter("name"));
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto found = find_node(s, name);
  if (!found) co_return (void) co_await response.send_problem(no_node(name));
  const auto text = api::to_text(progress_of(s, *found));
  (void)co_await response.send_json(text);
}

awaitable<void> set_drain(api_services& s, http_request& request, http_response& response, bool on) {
  if (s.logs == nullptr) co_return (void) co_await response.send_problem(logs_not_ready());
  const std::string name(request.parameter("name"));
  if (const auto fresh = co_await catch_up(s); !fresh) co_return (void) co_await response.send_problem(fresh.error());
  const auto found = find_node(s, name);
  if (!found) co_return (void) co_await response.send_problem(no_node(name));
  metadata::command command = metadata::drain_member{found->id, on};
  const auto done = co_await propose(s, std::move(command));
  if (!done) co_return (void) co_await response.send_problem(done.error());
  const auto now = find_node(s, name);
  if (!now) co_return (void) co_await response.send_problem(no_node(name));
  const auto text = api::to_text(progress_of(s, *now));
  (void)co_await response.send_json(text, on ? 202 : 200);
}

// ---- remove ----

/// A node that has drained is stopped first: whoever asks for its removal wants it gone.
awaitable<result<void>> stop_drained(api_services& s, http_request& request, const metadata::member& m) {
  if (s.logs == nullptr) co_return logs_not_ready();
  if (!progress_of(s, m).done)
    co_return error{errc::failed_precondition,
                    m.name + " is alive and holds what others need: `drain " + m.name + "` moves it away first"};
  if (m.id == s.self) co_return error{errc::failed_precondition, m.name + " cannot remove itself: ask another node"};
  auto ask = [&s, address = m.address, name = m.name] { return ask_to_stop(s, address, name); };
  auto asked = co_await run_blocking<void>(s, std::move(ask), 8s);
  if (!asked) co_return asked.error();
  const auto deadline = transport::after(stop_time_max);
  for (;;) {
    const auto seen = s.changes.generation();
    const auto now = find_node(s, m.name);
    if (!now || !runs(*now)) co_return ok();
    const bool changed = co_await request.wait_for(s.changes, seen, deadline);
    if (!changed)
      co_return error{errc::deadline_exceeded, m.name + " was asked to stop and still runs: remove it again later"};
  }
}

awaitable<void> remove_node(api_services& s, http_request& request, http_response& response) {
  const std::string name(request.parameter("name"));
  if (const auto fresh = co_await catch_up(s); !fresh) co_return (void) co_await response.send_problem(fresh.error());
  const auto found = find_node(s, name);
  if (!found) co_return (void) co_await response.send_problem(no_node(name));
  if (runs(*found)) {
    const auto stopped = co_await stop_drained(s, request, *found);
    if (!stopped) co_return (void) co_await response.send_problem(stopped.error());
  }
  const bool accept_loss = request.query("accept_loss").value_or("false") == "true";
  metadata::command command = metadata::remove_member{found->id, accept_loss};
  const auto gone = co_await propose(s, std::move(command));
  if (!gone) co_return (void) co_await response.send_problem(gone.error());
  (void)co_await response.send_empty();
}

}  // namespace

void add_membership_routes(transport::http_router& router, api_services& s) {
  router.post("/api/v1/nodes/{name}/stop", http_access::operator_,
              [&s](auto& in, auto& out) { return stop_node(s, in, out); });
  router.get("/api/v1/nodes/{name}/drain", [&s](auto& in, auto& out) { return show_drain(s, in, out); });
  router.post("/api/v1/nodes/{name}/drain", http_access::operator_,
              [&s](auto& in, auto& out) { return set_drain(s, in, out, true); });
  router.del("/api/v1/nodes/{name}/drain", http_access::operator_,
             [&s](auto& in, auto& out) { return set_drain(s, in, out, false); });
  router.post("/api/v1/nodes/{name}/remove", http_access::operator_,
              [&s](auto& in, auto& out) { return remove_node(s, in, out); });
}

}  // namespace troupe::node
