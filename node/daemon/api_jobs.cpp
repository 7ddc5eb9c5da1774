#include <actors/supervision/cluster_actors.hpp>
#include <algorithm>
#include <charconv>
#include <troupe/base/engine_parameters.hpp>

#include "node/daemon/api_paging.hpp"
#include "node/daemon/api_services.hpp"
#include "node/daemon/log_port.hpp"
#include "node/daemon/shapes.hpp"

namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_access;
using transport::http_request;
using transport::http_response;
using namespace std::chrono_literals;

result<job_id> parse_id(std::string_view text) {
  std::uint64_t value = 0;
  const auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || rest != text.data() + text.size() || value == 0)
    return error{errc::invalid_argument, "not a job's number: \"" + std::string(text.substr(0, 32)) + "\""};
  return job_id{value};
}

std::optional<api::job> find(api_services& s, job_id id) {
  return s.metadata.read([&](const metadata::state& state) -> std::optional<api::job> {
    const auto* j = state.find_job(id);
    if (j == nullptr) return std::nullopt;
    return to_api(state, *j);
  });
}

/// Adds what only the supervisor knows. A supervisor that does not answer at once leaves metadata's numbers standing.
awaitable<void> add_live(api_services& s, api::job& shown) {
  const auto live = co_await transport::await_result<message::job_status>(
      [&](auto then) { s.actors.job_status(shown.id, 1'000ms, std::move(then)); }, transport::after(1'500ms));
  if (!live || !live->known) co_return;
  shown.attempts = live->attempts;
  shown.lost_attempts = live->lost_attempts;
  shown.lost_task_seconds = live->lost_task_seconds;
  shown.input_records = std::max(shown.input_records, live->input_records);
  shown.tasks.done = shown.tasks.running = 0;
  for (std::size_t stage = 0; stage < live->stages.size() && stage < shown.stages.size(); ++stage) {
    shown.stages[stage].tasks = {live->stages[stage].total, live->stages[stage].done, live->stages[stage].running};
    shown.tasks.done += live->stages[stage].done;
    shown.tasks.running += live->stages[stage].running;
  }
}

error no_job(job_id id) { return {errc::not_found, "no job " + to_string(id) + "; `jobs` lists those that are known"}; }

awaitable<void> list_jobs(api_services& s, http_request& request, http_response& response) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  // The newest first, as people look for what they have just started; the cursor is the last number shown.
  std::optional<error> wrong;
  const auto page = make_page<api::job>(request, [&](const std::string& after, auto take) {
    std::optional<job_id> below;
    if (!after.empty()) {
      const auto parsed = parse_id(after);
      if (!parsed) {
        wrong = parsed.error();
        return;
      }
      below = *parsed;
    }
    s.metadata.read([&](const metadata::state& state) {
      auto at = below ? state.jobs().lower_bound(*below) : state.jobs().end();
      while (at != state.jobs().begin()) {
        --at;
        if (!take(to_string(at->first), to_api(state, at->second))) break;
      }
    });
  });
  if (wrong) co_return (void) co_await response.send_problem(*wrong);
  if (!page) co_return (void) co_await response.send_problem(page.error());
  (void)co_await response.send_json(api::to_text(*page));
}

/// How far inputs that grow are written now: the job's snapshot. What was appended before the request is in it.
awaitable<result<std::vector<metadata::open_end>>> find_open_ends(api_services& s, std::vector<std::string> inputs) {
  if (s.logs == nullptr) co_return std::vector<metadata::open_end>{};
  const auto fresh = co_await catch_up(s);
  if (!fresh) co_return fresh.error();
  const bool open = s.metadata.read([&](const metadata::state& state) {
    return std::any_of(inputs.begin(), inputs.end(), [&](const std::string& name) {
      const auto* d = state.find_dataset(name);
      return d != nullptr && std::any_of(d->partitions.begin(), d->partitions.end(),
                                         [](const auto& p) { return p.log.open.has_value(); });
    });
  });
  if (!open) co_return std::vector<metadata::open_end>{};
  auto ends = co_await transport::await_result<std::vector<metadata::open_end>>(
      [&](auto then) { s.logs->open_ends(std::move(inputs), std::move(then)); }, transport::after(10s));
  if (!ends) co_return ends.error().with_context("finding how far the job's inputs are written");
  co_return ends;
}

/// Whether a job may use the network goes along with its parameters, so that it is kept, shown and followed like them.
result<void> add_network(const api_services& s, const api::job_request& wanted,
                         std::map<std::string, std::string>& parameters) {
  for (const auto& [name, value] : parameters)
    if (name.starts_with(engine_parameter_prefix))
      return error{errc::invalid_argument,
                   "parameters that begin with " + std::string(engine_parameter_prefix) + " are troupe's own"};
  if (!wanted.network) return ok();
  if (s.network_forbidden)
    return error{errc::permission_denied, "the owner of this node forbids the network to jobs (--worker-network)"};
  parameters.emplace(network_parameter, "yes");
  return ok();
}

awaitable<void> create_job(api_services& s, http_request& request, http_response& response) {
  const auto body = co_await request.read_body(1 << 20);
  if (!body) co_return (void) co_await response.send_problem(body.error());
  const auto wanted = api::from_text<api::job_request>(*body, "job request", api::unknown_members::refused);
  if (!wanted) co_return (void) co_await response.send_problem(wanted.error());
  metadata::create_job wish;
  wish.job_name = wanted->job;
  wish.module_hash = wanted->module_hash;
  wish.inputs = wanted->inputs;
  wish.output = wanted->output;
  wish.more_outputs = wanted->more_outputs;
  wish.replace = wanted->replace;
  wish.copies = wanted->copies;
  wish.parameters = wanted->parameters;
  if (const auto good = add_network(s, *wanted, wish.parameters); !good)
    co_return (void) co_await response.send_problem(good.error());
  fill_random(&wish.seed, sizeof wish.seed);
  auto ends = co_await find_open_ends(s, wanted->inputs);
  if (!ends) co_return (void) co_await response.send_problem(ends.error());
  wish.open_ends = std::move(*ends);
  metadata::command command = std::move(wish);
  const auto made = co_await propose(s, std::move(command));
  if (!made) co_return (void) co_await response.send_problem(made.error());
  const auto shown = find(s, made->job);
  if (!shown) co_return (void) co_await response.send_problem(no_job(made->job));
  (void)co_await response.send_json(api::to_text(*shown), 201);
}

/// What a job would do, from what is there now. Nothing is changed.
awaitable<void> plan(api_services& s, http_request& request, http_response& response) {
  const auto body = co_await request.read_body(1 << 20);
  if (!body) co_return (void) co_await response.send_problem(body.error());
  const auto wanted = api::from_text<api::plan_request>(*body, "plan request", api::unknown_members::refused);
  if (!wanted) co_return (void) co_await response.send_problem(wanted.error());
  metadata::create_job wish;
  wish.job_name = wanted->job;
  wish.module_hash = wanted->module_hash;
  wish.inputs = wanted->inputs;
  auto ends = co_await find_open_ends(s, wanted->inputs);
  if (!ends) co_return (void) co_await response.send_problem(ends.error());
  wish.open_ends = std::move(*ends);
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto planned = s.metadata.read([&](const metadata::state& state) -> result<api::job_plan> {
    TROUPE_TRY(const auto drafted, state.draft_job(wish));
    return to_plan(state, drafted);
  });
  if (!planned) co_return (void) co_await response.send_problem(planned.error());
  (void)co_await response.send_json(api::to_text(*planned));
}

awaitable<void> show_job(api_services& s, http_request& request, http_response& response) {
  const auto id = parse_id(request.parameter("id"));
  if (!id) co_return (void) co_await response.send_problem(id.error());
  const auto wait_ms = request.query_number("wait_ms", 0, 0, 3'600'000);
  if (!wait_ms) co_return (void) co_await response.send_problem(wait_ms.error());
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto deadline = request.poll_deadline(std::chrono::milliseconds(*wait_ms));
  std::optional<api::job> shown;
  for (;;) {
    const auto seen = s.changes.generation();
    shown = find(s, *id);
    if (!shown || api::has_ended(shown->state)) break;
    if (!co_await request.wait_for(s.changes, seen, deadline)) break;
  }
  if (!shown) co_return (void) co_await response.send_problem(no_job(*id));
  if (!api::has_ended(shown->state)) co_await add_live(s, *shown);
  (void)co_await response.send_json(api::to_text(*shown));
}

awaitable<void> cancel(api_services& s, http_request& request, http_response& response) {
  const auto id = parse_id(request.parameter("id"));
  if (!id) co_return (void) co_await response.send_problem(id.error());
  metadata::command command = metadata::cancel_job{*id, "cancelled by a user"};
  const auto done = co_await propose(s, std::move(command));
  if (!done) co_return (void) co_await response.send_problem(done.error());
  const auto shown = find(s, *id);
  if (!shown) co_return (void) co_await response.send_problem(no_job(*id));
  (void)co_await response.send_json(api::to_text(*shown));
}

awaitable<void> logs(api_services& s, http_request& request, http_response& response) {
  const auto id = parse_id(request.parameter("id"));
  if (!id) co_return (void) co_await response.send_problem(id.error());
  const auto limit = request.query_number("limit", 1'000, 1, limits::job_log_lines_max);
  if (!limit) co_return (void) co_await response.send_problem(limit.error());
  std::uint64_t after = 0;
  if (const auto cursor = request.query("cursor")) {
    const auto [rest, failure] = std::from_chars(cursor->data(), cursor->data() + cursor->size(), after);
    if (failure != std::errc{} || rest != cursor->data() + cursor->size())
      co_return (void) co_await response.send_problem(
          error{errc::invalid_argument, "not a cursor: \"" + std::string(*cursor) + "\""});
  }
  if (!find(s, *id)) co_return (void) co_await response.send_problem(no_job(*id));
  api::list<api::job_log_line> page;
  bool more = true;
  while (more && page.items.size() < *limit) {
    const auto got = co_await transport::await_result<message::job_log_page>(
        [&](auto then) {
          s.actors.job_logs(*id, after, static_cast<std::uint32_t>(*limit - page.items.size()), 2'000ms,
                            std::move(then));
        },
        transport::after(2'500ms));
    if (!got) co_return (void) co_await response.send_problem(got.error());
    for (const auto& line : got->lines)
      page.items.push_back(
          {api::timestamp{line.at_unix_ms}, line.node, line.what.stage, line.what.task, line.what.attempt, line.text});
    if (!got->lines.empty()) after = got->first + got->lines.size() - 1;
    more = got->more && !got->lines.empty();
  }
  if (more) page.next_cursor = std::to_string(after);
  (void)co_await response.send_json(api::to_text(page));
}

}  // namespace

void add_job_routes(transport::http_router& router, api_services& s) {
  router.get("/api/v1/jobs", [&s](auto& in, auto& out) { return list_jobs(s, in, out); });
  router.post("/api/v1/jobs", http_access::submitter, [&s](auto& in, auto& out) { return create_job(s, in, out); });
  router.post("/api/v1/jobs/plan", http_access::submitter, [&s](auto& in, auto& out) { return plan(s, in, out); });
  router.get("/api/v1/jobs/{id}", [&s](auto& in, auto& out) { return show_job(s, in, out); });
  router.post("/api/v1/jobs/{id}/cancel", http_access::submitter,
              [&s](auto& in, auto& out) { return cancel(s, in, out); });
  router.get("/api/v1/jobs/{id}/logs", [&s](auto& in, auto& out) { return logs(s, in, out); });
}

}  // namespace troupe::node
