#include <actors/data/data_plane.hpp>
#include <boost/describe/enum_from_string.hpp>
#include <troupe/base/text.hpp>
#include <vector>

#include "node/daemon/api_paging.hpp"
#include "node/daemon/api_services.hpp"
#include "node/daemon/shapes.hpp"

namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_request;
using transport::http_response;

error no_dataset(std::string_view name) {
  return {errc::not_found, "no dataset \"" + std::string(name) + "\"; `datasets` lists those that are there"};
}

awaitable<void> list(api_services& s, http_request& request, http_response& response) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto page = make_page<api::dataset_summary>(request, [&](const std::string& after, auto take) {
    s.metadata.read([&](const metadata::state& state) {
      std::map<std::string, const metadata::dataset*> by_name;
      for (const auto& [id, d] : state.datasets())
        if (d.state == metadata::dataset_state::ready) by_name.emplace(d.name, &d);
      for (auto at = by_name.upper_bound(after); at != by_name.end(); ++at)
        if (!take(at->first, to_summary(*at->second))) break;
    });
  });
  if (!page) co_return (void) co_await response.send_problem(page.error());
  (void)co_await response.send_json(api::to_text(*page));
}

std::optional<api::dataset> find(api_services& s, std::string_view name) {
  return s.metadata.read([&](const metadata::state& state) -> std::optional<api::dataset> {
    const auto* d = state.find_dataset(name);
    if (d == nullptr) return std::nullopt;
    return to_api(state, *d);
  });
}

awaitable<void> describe(api_services& s, http_request& request, http_response& response) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const auto found = find(s, request.parameter("name"));
  if (!found) co_return (void) co_await response.send_problem(no_dataset(request.parameter("name")));
  (void)co_await response.send_json(api::to_text(*found));
}

awaitable<void> remove(api_services& s, http_request& request, http_response& response) {
  metadata::command command = metadata::delete_dataset{std::string(request.parameter("name"))};
  const auto gone = co_await propose(s, std::move(command));
  if (!gone) co_return (void) co_await response.send_problem(gone.error());
  (void)co_await response.send_empty();
}

/// The body is the data. It becomes a dataset when its end has come and everything is on its disks; otherwise nothing
/// of it stays.
awaitable<void> import(api_services& s, http_request& request, http_response& response) {
  data::import_options options;
  options.dataset = std::string(request.parameter("name"));
  const auto refuse = [&](const error& e) { return response.send_problem(e); };
  if (const auto good = check_name("dataset", options.dataset); !good) co_return (void) co_await refuse(good.error());
  const std::string format(request.query("format").value_or("lines"));
  if (!boost::describe::enum_from_string(format.c_str(), options.format))
    co_return (void) co_await refuse({errc::invalid_argument, "unknown format \"" + format + "\" (known: lines)"});
  const auto copies = request.query_number("copies", 0, 1, 16);
  if (!copies) co_return (void) co_await refuse(copies.error());
  const auto partitions = request.query_number("partitions", 0, 1, limits::partitions_max);
  if (!partitions) co_return (void) co_await refuse(partitions.error());
  options.copies = static_cast<std::uint32_t>(*copies);
  options.partitions = static_cast<std::uint32_t>(*partitions);
  options.replace = request.query("replace").value_or("false") == "true";
  options.size_bytes = request.head().content_length;

  auto started = co_await transport::await_result<std::unique_ptr<data::importer>>(
      [&](auto then) {
        // std::function wants copyable callables; the importer itself is moved through.
        s.data.start_import(options, [then](result<std::unique_ptr<data::importer>> r) { then(std::move(r)); });
      },
      transport::after(std::chrono::seconds(15)));
  if (!started) co_return (void) co_await refuse(started.error());
  auto& importer = **started;
  std::vector<char> buffer(256 << 10);
  std::optional<error> failure;
  for (;;) {
    const auto got = co_await request.read_some(buffer);
    if (!got) {
      failure = got.error().with_context("import of " + options.dataset);
      break;
    }
    if (*got == 0) break;
    if (const auto taken = co_await importer.write({buffer.data(), *got}); !taken) {
      failure = taken.error();
      break;
    }
  }
  if (!failure) {
    const auto done = co_await importer.finish();
    if (!done) failure = done.error();
  }
  if (failure) {
    co_await importer.abort();
    co_return (void) co_await refuse(*failure);
  }
  const auto made = find(s, options.dataset);
  if (!made)
    co_return (void) co_await refuse(
        {errc::aborted, "dataset " + options.dataset + " was imported and deleted by somebody at once"});
  (void)co_await response.send_json(api::to_text(*made), 201);
}

awaitable<void> export_text(api_services& s, http_request& request, http_response& response) {
  const std::string name(request.parameter("name"));
  const std::string format(request.query("format").value_or("lines"));
  const auto as = format::parse_text_format(format);
  if (!as) co_return (void) co_await response.send_problem(as.error());
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  auto opened = s.data.open_export(name, *as);
  if (!opened) co_return (void) co_await response.send_problem(opened.error());
  auto& exporter = **opened;
  auto piece = co_await exporter.next();  // before the status is sent, so that a lost dataset is a proper error
  if (!piece) co_return (void) co_await response.send_problem(piece.error());
  if (!co_await response.begin(200, *as == data::text_format::json  ? "application/x-ndjson"
                                    : *as == data::text_format::csv ? "text/csv"
                                                                    : "text/plain; charset=utf-8"))
    co_return;
  while (!piece->empty()) {
    if (!co_await response.write(*piece)) co_return;
    piece = co_await exporter.next();
    if (!piece) {
      s.journal.append("export_failed", s.name, "export of " + name + ": " + piece.error().message(),
                       {{"dataset", name}});
      response.abort();  // the client must not take a part for the whole
      co_return;
    }
  }
  (void)co_await response.end();
}

awaitable<void> head(api_services& s, http_request& request, http_response& response) {
  const auto limit = request.query_number("limit", 10, 1, 10'000);
  if (!limit) co_return (void) co_await response.send_problem(limit.error());
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const std::string name(request.parameter("name"));
  const auto shown = co_await transport::await_result<std::vector<data::shown_record>>(
      [&](auto then) { s.data.head(name, *limit, std::move(then)); }, transport::after(limits::request_time_max));
  if (!shown) co_return (void) co_await response.send_problem(shown.error());
  if (!co_await response.begin(200, "application/x-ndjson")) co_return;
  for (const auto& r : *shown) {
    const auto line = "{\"partition\":" + std::to_string(r.partition) + ",\"offset\":" + std::to_string(r.offset) +
                      ",\"record\":" + r.json + "}\n";
    if (!co_await response.write(line)) co_return;
  }
  (void)co_await response.end();
}

}  // namespace

void add_dataset_routes(transport::http_router& router, api_services& s) {
  router.get("/api/v1/datasets", [&s](auto& in, auto& out) { return list(s, in, out); });
  router.get("/api/v1/datasets/{name}", [&s](auto& in, auto& out) { return describe(s, in, out); });
  router.del("/api/v1/datasets/{name}", [&s](auto& in, auto& out) { return remove(s, in, out); });
  router.post("/api/v1/datasets/{name}", [&s](auto& in, auto& out) { return import(s, in, out); });
  router.get("/api/v1/datasets/{name}/export", [&s](auto& in, auto& out) { return export_text(s, in, out); });
  router.get("/api/v1/datasets/{name}/records", [&s](auto& in, auto& out) { return head(s, in, out); });
}

}  // namespace troupe::node
