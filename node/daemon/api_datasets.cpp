#include <actors/data/data_plane.hpp>
#include <algorithm>
#include <troupe/base/text.hpp>
#include <vector>

#include "node/daemon/api_paging.hpp"
#include "node/daemon/api_services.hpp"
#include "node/daemon/log_export.hpp"
#include "node/daemon/shapes.hpp"

namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_access;
using transport::http_request;
using transport::http_response;
using namespace std::chrono_literals;

constexpr auto list_time_max = 1s;      ///< for the leaders of open segments, of a whole page of datasets
constexpr auto describe_time_max = 3s;  ///< the same, of one dataset

/// Somebody appends, or has appended: what it holds is the log plane's to say.
bool grows(const metadata::dataset& d) {
  return std::any_of(d.partitions.begin(), d.partitions.end(), [](const auto& p) { return p.log.epoch.value != 0; });
}

std::optional<metadata::dataset> find_growing(const api_services& s, std::string_view name) {
  return s.metadata.read([&](const metadata::state& state) -> std::optional<metadata::dataset> {
    const auto* d = state.find_dataset(name);
    if (s.logs == nullptr || d == nullptr || !grows(*d)) return std::nullopt;
    return *d;
  });
}

/// What open segments hold, as their leaders say. Those that do not answer at once are left out: a list is quick.
awaitable<void> add_open(api_services& s, std::vector<api::dataset_summary>& shown) {
  std::vector<std::string> open;
  s.metadata.read([&](const metadata::state& state) {
    for (const auto& d : shown) {
      const auto* found = state.find_dataset(d.name);
      if (found == nullptr) continue;
      const auto& parts = found->partitions;
      if (std::any_of(parts.begin(), parts.end(), [](const auto& p) { return p.log.open.has_value(); }))
        open.push_back(d.name);
    }
  });
  if (s.logs == nullptr || open.empty()) co_return;
  const auto names = open;
  const auto ends = co_await transport::await_result<std::vector<metadata::open_end>>(
      [&](auto then) { s.logs->open_ends(std::move(open), std::move(then)); }, transport::after(list_time_max));
  if (!ends) co_return;
  for (const auto& end : *ends) {
    if (end.input >= names.size()) continue;
    for (auto& d : shown) {
      if (d.name != names[end.input]) continue;
      d.records += end.prefix.records;
      d.bytes += end.prefix.bytes;
    }
  }
}

awaitable<void> list_datasets(api_services& s, http_request& request, http_response& response) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  auto page = make_page<api::dataset_summary>(request, [&](const std::string& after, auto take) {
    s.metadata.read([&](const metadata::state& state) {
      std::map<std::string, const metadata::dataset*> by_name;
      for (const auto& [id, d] : state.datasets())
        if (d.state == metadata::dataset_state::ready) by_name.emplace(d.name, &d);
      for (auto at = by_name.upper_bound(after); at != by_name.end(); ++at)
        if (!take(at->first, to_summary(*at->second))) break;
    });
  });
  if (!page) co_return (void) co_await response.send_problem(page.error());
  co_await add_open(s, page->items);
  (void)co_await response.send_json(api::to_text(*page));
}

awaitable<void> describe(api_services& s, http_request& request, http_response& response) {
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const std::string name(request.parameter("name"));
  auto found = find_dataset(s, name);
  if (!found) co_return (void) co_await response.send_problem(no_dataset(name));
  if (s.logs != nullptr) {
    const auto status = co_await transport::await_result<logs::dataset_status>(
        [&](auto then) { s.logs->status(name, std::move(then)); }, transport::after(describe_time_max));
    if (status)
      add_status(*found, *status);
    else
      found->notes.push_back("how far open segments go is not known now: " + status.error().message());
  }
  (void)co_await response.send_json(api::to_text(*found));
}

awaitable<void> remove_dataset(api_services& s, http_request& request, http_response& response) {
  metadata::command command = metadata::delete_dataset{std::string(request.parameter("name"))};
  const auto gone = co_await propose(s, std::move(command));
  if (!gone) co_return (void) co_await response.send_problem(gone.error());
  (void)co_await response.send_empty();
}

awaitable<void> export_text(api_services& s, http_request& request, http_response& response) {
  const std::string name(request.parameter("name"));
  const std::string format(request.query("format").value_or("lines"));
  const auto as = format::parse_text_format(format);
  if (!as) co_return (void) co_await response.send_problem(as.error());
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  auto opened = s.data.open_export(name, *as);
  if (const auto growing = find_growing(s, name)) {
    auto ranges = co_await transport::await_result<std::vector<logs::offset_range>>(
        [&](auto then) { s.logs->end_offsets(name, std::move(then)); }, transport::after(limits::request_time_max));
    if (!ranges) co_return (void) co_await response.send_problem(ranges.error());
    opened = log_exporter::make(*s.logs, *growing, std::move(*ranges), *as);
  }
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

/// The first records of a dataset that grows, partition by partition.
awaitable<void> head_of_log(api_services& s, const metadata::dataset& d, std::uint64_t limit, http_response& response) {
  bytes out;
  for (std::uint32_t p = 0; p < d.partitions.size() && limit > 0; ++p) {
    logs::read_request wish;
    wish.dataset = d.name;
    wish.partition.value = p;
    wish.from.value = d.partitions[p].log.trimmed_records;
    while (limit > 0) {
      wish.records_max = static_cast<std::uint32_t>(limit);
      const auto read = co_await transport::await_result<logs::read_outcome>(
          [&](auto then) { s.logs->read(wish, std::move(then)); }, transport::after(limits::request_time_max));
      if (!read) co_return (void) co_await response.send_problem(read.error());
      if (read->records.empty()) break;
      const auto lines = to_json_lines(*read, wish.partition);
      if (!lines) co_return (void) co_await response.send_problem(lines.error());
      out += *lines;
      limit -= std::min<std::uint64_t>(limit, read->records.size());
      wish.from = read->next;
    }
  }
  (void)co_await response.send(200, "application/x-ndjson", out);
}

awaitable<void> head(api_services& s, http_request& request, http_response& response) {
  if (request.query("partition") || request.query("from") || request.query("wait_ms")) {
    co_await read_records(s, request, response);
    co_return;
  }
  const auto limit = request.query_number("limit", 10, 1, 10'000);
  if (!limit) co_return (void) co_await response.send_problem(limit.error());
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  const std::string name(request.parameter("name"));
  if (const auto growing = find_growing(s, name)) {
    co_await head_of_log(s, *growing, *limit, response);
    co_return;
  }
  const auto shown = co_await transport::await_result<std::vector<data::shown_record>>(
      [&](auto then) { s.data.head(name, *limit, std::move(then)); }, transport::after(limits::request_time_max));
  if (!shown) co_return (void) co_await response.send_problem(shown.error());
  if (!co_await response.begin(200, "application/x-ndjson")) co_return;
  for (const auto& r : *shown) {
    const auto line = "{\"partition\":" + std::to_string(r.partition) + ",\"offset\":" + std::to_string(r.offset) +
                      ",\"appended_at\":null,\"record\":" + r.json + "}\n";
    if (!co_await response.write(line)) co_return;
  }
  (void)co_await response.end();
}

}  // namespace

void add_dataset_routes(transport::http_router& router, api_services& s) {
  router.get("/api/v1/datasets", [&s](auto& in, auto& out) { return list_datasets(s, in, out); });
  router.get("/api/v1/datasets/{name}", [&s](auto& in, auto& out) { return describe(s, in, out); });
  router.del("/api/v1/datasets/{name}", http_access::submitter,
             [&s](auto& in, auto& out) { return remove_dataset(s, in, out); });
  router.post("/api/v1/datasets/{name}", http_access::submitter,
              [&s](auto& in, auto& out) { return import_dataset(s, in, out); });
  router.get("/api/v1/datasets/{name}/export", [&s](auto& in, auto& out) { return export_text(s, in, out); });
  router.get("/api/v1/datasets/{name}/records", [&s](auto& in, auto& out) { return head(s, in, out); });
}

}  // namespace troupe::node
