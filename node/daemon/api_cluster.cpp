#include <actors/supervision/cluster_actors.hpp>
#include <troupe/api/openapi.hpp>
#include <troupe/base/version.hpp>
#include <troupe/telemetry/metrics.hpp>

#include "node/daemon/api_paging.hpp"
#include "node/daemon/api_services.hpp"
#include "node/daemon/shapes.hpp"

namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_request;
using transport::http_response;
using namespace std::chrono_literals;

awaitable<void> cluster(api_services& s, http_request&, http_response& response) {
  api::cluster out;
  out.id = s.cluster;
  out.name = s.cluster_name;
  out.version = version_text;
  out.node = s.name;
  const auto leader = s.metadata.leader();
  s.metadata.read([&](const metadata::state& state) {
    for (const auto& [id, m] : state.members()) {
      if (m.state == metadata::member_state::left) continue;
      ++out.nodes_total;
      if (m.state == metadata::member_state::alive) ++out.nodes_alive;
      if (id == leader) out.leader = m.name;
    }
  });
  (void)co_await response.send_json(api::to_text(out));
}

/// Answers with what this node knows while nobody leads the metadata: that is when people look at the nodes.
awaitable<void> nodes(api_services& s, http_request& request, http_response& response) {
  const auto fresh = co_await catch_up(s, 500);
  const auto leader = s.metadata.leader();
  const auto voters = s.metadata.voters();
  const auto page = make_page<api::node>(request, [&](const std::string& after, auto take) {
    s.metadata.read([&](const metadata::state& state) {
      // node10 comes after node9: by length first, as names usually differ by a number at their end.
      const auto order = [](const std::string& a, const std::string& b) {
        return std::pair(a.size(), a) < std::pair(b.size(), b);
      };
      std::map<std::string, const metadata::member*, decltype(order)> by_name(order);
      for (const auto& [id, m] : state.members()) by_name.emplace(m.name, &m);
      for (auto at = after.empty() ? by_name.begin() : by_name.upper_bound(after); at != by_name.end(); ++at) {
        auto shown = to_api(state, *at->second, leader, voters);
        if (!fresh && at->second->id == leader && shown.state == api::node_state::alive) {
          shown.state = api::node_state::suspect;
          shown.state_reason = "leads the metadata and does not answer";
        } else if (!fresh && leader.is_nil() && at->second->id != s.self && shown.state == api::node_state::alive) {
          shown.state = api::node_state::suspect;
          shown.state_reason = "not known: the metadata has no leader, a majority of its voters is needed";
        }
        if (!take(at->first, std::move(shown))) break;
      }
    });
  });
  if (!page) co_return (void) co_await response.send_problem(page.error());
  if (!fresh) response.set_field("Troupe-Stale", "true");
  (void)co_await response.send_json(api::to_text(*page));
}

awaitable<void> events(api_services& s, http_request& request, http_response& response) {
  const auto after = request.query_number("after", 0, 0, UINT64_MAX);
  const auto limit = request.query_number("limit", 1'000, 1, limits::events_kept_max);
  const auto wait_ms = request.query_number("wait_ms", 0, 0, 3'600'000);
  const auto last = request.query_number("last", 0, 0, limits::events_kept_max);
  for (const auto* number : {&after, &limit, &wait_ms, &last})
    if (!*number) co_return (void) co_await response.send_problem(number->error());
  // Ids have no gaps.
  const auto newest = s.journal.last_id();
  const auto from = *last == 0 ? *after : std::max(*after, newest - std::min(newest, *last));
  const auto deadline = request.poll_deadline(std::chrono::milliseconds(*wait_ms));
  api::list<api::event> out;
  for (;;) {
    const auto seen = s.changes.generation();
    for (const auto& e : s.journal.after(from, *limit)) out.items.push_back(to_api(e));
    if (!out.items.empty()) break;
    const bool changed = co_await request.wait_for(
        s.changes, seen, deadline);  // a statement of its own: g++ 12 miscompiles co_await behind ||
    if (!changed) break;
  }
  if (!out.items.empty() && out.items.size() == *limit) out.next_cursor = std::to_string(out.items.back().id);
  (void)co_await response.send_json(api::to_text(out));
}

awaitable<void> tree(api_services& s, http_request&, http_response& response) {
  const auto got = co_await transport::await_result<std::vector<message::tree_entry>>(
      [&](auto then) { s.actors.tree(2'000ms, std::move(then)); }, transport::after(2'500ms));
  if (!got) co_return (void) co_await response.send_problem(got.error());
  api::list<api::actor> out;
  for (const auto& e : *got) {
    api::actor a;
    a.id = e.id;
    if (!e.parent.empty()) a.parent = e.parent;
    a.name = e.name;
    a.kind = e.kind;
    a.node = e.node;
    if (e.pid != 0) a.pid = e.pid;
    a.state = e.state;
    a.restarts = e.restarts;
    a.detail = e.detail;
    out.items.push_back(std::move(a));
  }
  (void)co_await response.send_json(api::to_text(out));
}

awaitable<void> openapi(http_response& response) {
  (void)co_await response.send_json(boost::json::serialize(api::openapi_document()));
}

awaitable<void> ready(api_services& s, http_response& response) {
  if (s.ready) co_return (void) co_await response.send(200, "text/plain", "ready\n");
  (void)co_await response.send(503, "text/plain", "not ready\n");
}

}  // namespace

void add_cluster_routes(transport::http_router& router, api_services& s) {
  router.get("/livez", transport::http_access::open,
             [](auto&, auto& out) -> awaitable<void> { (void)co_await out.send(200, "text/plain", "alive\n"); });
  router.get("/readyz", transport::http_access::open, [&s](auto&, auto& out) { return ready(s, out); });
  router.get("/metrics", [&s](auto&, auto& out) -> awaitable<void> {
    (void)co_await out.send(200, "text/plain; version=0.0.4", s.metrics.prometheus_text());
  });
  router.get("/api/v1/openapi.json", [](auto&, auto& out) { return openapi(out); });
  router.get("/api/v1/cluster", [&s](auto& in, auto& out) { return cluster(s, in, out); });
  router.get("/api/v1/nodes", [&s](auto& in, auto& out) { return nodes(s, in, out); });
  router.get("/api/v1/events", [&s](auto& in, auto& out) { return events(s, in, out); });
  router.get("/api/v1/actors", [&s](auto& in, auto& out) { return tree(s, in, out); });
}

}  // namespace troupe::node
