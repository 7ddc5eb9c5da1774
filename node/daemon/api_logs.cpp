#include <algorithm>
#include <charconv>
#include <troupe/api/logs.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/base/text.hpp>
#include <troupe/format/record.hpp>
#include <troupe/format/record_text.hpp>

#include "node/daemon/api_services.hpp"
#include "node/daemon/interruptible.hpp"
#include "node/daemon/log_port.hpp"
#include "node/daemon/shapes.hpp"

namespace troupe::node {

std::optional<api::dataset> find_dataset(const api_services& s, std::string_view name) {
  return s.metadata.read([&](const metadata::state& state) -> std::optional<api::dataset> {
    const auto* d = state.find_dataset(name);
    if (d == nullptr) return std::nullopt;
    return to_api(state, *d);
  });
}

namespace {

using boost::asio::awaitable;
using transport::http_access;
using transport::http_request;
using transport::http_response;
using namespace std::chrono_literals;

constexpr std::size_t options_bytes_max = 1 << 20;  ///< a schema of 1,000 fields has 100 KB
constexpr std::size_t answer_bytes_aim = 1 << 20;   ///< of records in one answer, before they are text
constexpr std::uint64_t verify_time_default_ms = 600'000;
constexpr std::uint64_t verify_time_max_ms = 24 * 3'600'000;
constexpr auto answer_grace = 5s;  ///< for a deadline that the log plane keeps itself

// ---- create and alter ----

result<void> check_fields(data_format format, const std::vector<field>& fields) {
  if (format == data_format::records && fields.empty())
    return error{errc::invalid_argument, "a dataset of records needs a schema: the names and types of its fields"};
  if (format != data_format::records && !fields.empty())
    return error{errc::invalid_argument, "only a dataset of records has a schema: say format records, or leave it out"};
  if (format != data_format::records) return ok();
  return format::check_schema(schema{fields});
}

/// How many copies can be had now. Refused where nothing could be appended; else a sentence, when there is one to say.
result<std::string> check_nodes(const api_services& s, const std::string& name, std::uint32_t copies,
                                std::uint32_t min_copies) {
  const auto live = s.metadata.read([](const metadata::state& state) {
    return static_cast<std::uint32_t>(std::count_if(state.members().begin(), state.members().end(),
                                                    [&](const auto& m) { return state.is_live(m.first); }));
  });
  if (copies <= live) return std::string();
  const auto nodes = std::to_string(live) + (live == 1 ? " node is" : " nodes are") + " alive";
  const auto needed = min_copies != 0 ? min_copies : std::max(1U, copies - 1);
  if (needed > copies) return std::string();  // makes no sense with any number of nodes: the metadata says so
  if (needed > live)
    return error{errc::failed_precondition, "dataset " + name + " would need " + std::to_string(needed) +
                                                " copies of whatever is appended, and " + nodes + ": ask for at most " +
                                                std::to_string(live) + " copies (or min_copies), or add nodes first"};
  return std::to_string(copies) + " copies are wanted, and " + nodes + ": segments lack copies until there are more";
}

awaitable<void> show_log(api_services& s, const std::string& name, http_response& response, int status,
                         std::string note) {
  auto made = find_dataset(s, name);
  if (!made)
    co_return (void) co_await response.send_problem(
        error{errc::aborted, "dataset " + name + " was made or changed and deleted by somebody at once"});
  if (!note.empty()) made->notes.push_back(std::move(note));
  const auto text = api::to_text(*made);
  (void)co_await response.send_json(text, status);
}

awaitable<void> create_log(api_services& s, http_request& request, http_response& response) {
  const std::string name(request.parameter("name"));
  auto body = co_await request.read_body(options_bytes_max);
  if (!body) co_return (void) co_await response.send_problem(body.error());
  if (body->empty()) *body = "{}";
  const auto wanted = api::from_text<api::dataset_options>(*body, "dataset options", api::unknown_members::refused);
  if (!wanted) co_return (void) co_await response.send_problem(wanted.error());
  if (const auto good = check_fields(wanted->format, wanted->schema); !good)
    co_return (void) co_await response.send_problem(good.error());
  auto note = check_nodes(s, name, wanted->copies, wanted->min_copies);
  if (!note) co_return (void) co_await response.send_problem(note.error());
  metadata::create_dataset wish;
  wish.name = name;
  wish.format = wanted->format;
  wish.schema = schema{wanted->schema};
  wish.partitions = wanted->partitions;
  wish.copies = wanted->copies;
  wish.log.key_field = wanted->key_field;
  wish.log.min_copies = wanted->min_copies;
  wish.log.sync = api::same_name<metadata::sync_policy>(wanted->sync);
  wish.log.keep_age_ms = wanted->keep_age_ms;
  wish.log.keep_bytes = wanted->keep_bytes;
  metadata::command command = std::move(wish);
  const auto made = co_await propose(s, std::move(command));
  if (!made) co_return (void) co_await response.send_problem(made.error());
  co_await show_log(s, name, response, 201, std::move(*note));
}

awaitable<void> alter(api_services& s, http_request& request, http_response& response) {
  const std::string name(request.parameter("name"));
  const auto body = co_await request.read_body(options_bytes_max);
  if (!body) co_return (void) co_await response.send_problem(body.error());
  const auto wanted = api::from_text<api::dataset_changes>(*body, "dataset changes", api::unknown_members::refused);
  if (!wanted) co_return (void) co_await response.send_problem(wanted.error());
  const auto has = find_dataset(s, name);
  const auto copies = wanted->copies.value_or(0);
  auto note = wanted->copies ? check_nodes(s, name, copies,
                                           wanted->min_copies.value_or(has ? std::min(has->min_copies, copies) : 1))
                             : result<std::string>(std::string());
  if (!note) co_return (void) co_await response.send_problem(note.error());
  metadata::alter_dataset wish;
  wish.name = name;
  wish.copies = wanted->copies;
  wish.min_copies = wanted->min_copies;
  if (wanted->sync) wish.sync = api::same_name<metadata::sync_policy>(*wanted->sync);
  wish.keep_age_ms = wanted->keep_age_ms;
  wish.keep_bytes = wanted->keep_bytes;
  if (wanted->schema) {
    if (const auto good = check_fields(data_format::records, *wanted->schema); !good)
      co_return (void) co_await response.send_problem(good.error());
    wish.schema = schema{*wanted->schema};
  }
  metadata::command command = std::move(wish);
  const auto done = co_await propose(s, std::move(command));
  if (!done) co_return (void) co_await response.send_problem(done.error());
  co_await show_log(s, name, response, 200, std::move(*note));
}

// ---- read ----

/// The offset that «from» means: a number, or where the partition begins or ends now.
awaitable<result<record_offset>> find_offset(api_services& s, const std::string& dataset, partition_index partition,
                                             std::string_view from) {
  if (from != "begin" && from != "end") {
    record_offset offset;
    const auto [rest, failure] = std::from_chars(from.data(), from.data() + from.size(), offset.value);
    if (failure != std::errc{} || rest != from.data() + from.size())
      co_return error{errc::invalid_argument,
                      "from: \"" + std::string(from.substr(0, 64)) + "\" is neither an offset nor begin nor end"};
    co_return offset;
  }
  const auto ranges = co_await transport::await_result<std::vector<logs::offset_range>>(
      [&](auto then) { s.logs->end_offsets(dataset, std::move(then)); }, transport::after(10s));
  if (!ranges) co_return ranges.error();
  for (const auto& range : *ranges)
    if (range.partition == partition) co_return from == "begin" ? range.begin : range.end;
  co_return error{errc::not_found, "dataset " + dataset + " has no partition " + to_string(partition)};
}

}  // namespace

result<bytes> to_json_lines(const logs::read_outcome& read, partition_index partition) {
  TROUPE_TRY(const auto text, format::record_text::make(read.format, read.schema, format::text_format::json));
  const auto begin = "{\"partition\":" + to_string(partition) + ",\"offset\":";
  bytes out;
  char number[24];
  for (const auto& r : read.records) {
    out += begin;
    const auto end = std::to_chars(number, number + sizeof number, r.offset.value);
    out.append(number, end.ptr);
    if (r.appended_at_unix_ms == 0)
      out += ",\"appended_at\":null,\"record\":";
    else
      out.append(",\"appended_at\":\"").append(format_time(r.appended_at_unix_ms)).append("\",\"record\":");
    if (const auto put = text.append_value(out, r.record); !put)
      return put.error().with_context("partition " + to_string(partition) + ", offset " + to_string(r.offset));
    out += "}\n";
  }
  return out;
}

awaitable<void> read_records(api_services& s, http_request& request, http_response& response) {
  if (s.logs == nullptr) co_return (void) co_await response.send_problem(logs_not_ready());
  const auto partition = request.query_number("partition", 0, 0, limits::partitions_max);
  const auto limit = request.query_number("limit", 1'000, 1, 10'000);
  const auto wait_ms = request.query_number("wait_ms", 0, 0, 3'600'000);
  for (const auto* number : {&partition, &limit, &wait_ms})
    if (!*number) co_return (void) co_await response.send_problem(number->error());
  logs::read_request wish;
  wish.dataset = std::string(request.parameter("name"));
  wish.partition.value = static_cast<std::uint32_t>(*partition);
  wish.records_max = static_cast<std::uint32_t>(*limit);
  wish.bytes_max = answer_bytes_aim;
  const auto until = request.poll_deadline(std::chrono::milliseconds(*wait_ms));
  wish.wait =
      std::max(0ms, std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now()));
  const std::string from(request.query("from").value_or("begin"));
  const auto offset = co_await find_offset(s, wish.dataset, wish.partition, from);
  if (!offset) co_return (void) co_await response.send_problem(offset.error());
  wish.from = *offset;
  const auto which = wish.partition;
  const auto read = co_await await_while_wanted<logs::read_outcome>(
      request, [&](auto then) { s.logs->read(std::move(wish), std::move(then)); }, until + limits::request_time_max);
  if (!read && read.error().code() == errc::cancelled && request.stopping()) {
    // A follower asks again, elsewhere.
    response.set_field(api::next_offset_field, to_string(*offset));
    co_return (void) co_await response.send(200, "application/x-ndjson", {});
  }
  if (!read) co_return (void) co_await response.send_problem(read.error());
  const auto lines = to_json_lines(*read, which);
  if (!lines) co_return (void) co_await response.send_problem(lines.error());
  response.set_field(api::next_offset_field, to_string(read->next));
  (void)co_await response.send(200, "application/x-ndjson", *lines);
}

// ---- verify ----

namespace {

api::verification to_verification(std::string name, const logs::verify_report& r) {
  api::verification out;
  out.dataset = std::move(name);
  out.copies_wanted = r.copies_wanted;
  out.segments = r.segments;
  out.records = r.records;
  out.bytes_checked = r.bytes;
  out.copies_intact = r.copies_intact;
  out.copies_bad = r.copies_bad;
  out.copies_unreachable = r.copies_unreachable;
  out.copies_missing_yet = r.copies_missing_yet;
  out.segments_lost = r.segments_lost;
  out.sound = r.copies_bad == 0 && r.copies_unreachable == 0 && r.segments_lost == 0;
  for (const auto& w : r.wrong) {
    api::verified_segment segment{w.segment, w.partition, w.records, w.open, w.repairing, {}};
    for (const auto& c : w.copies) segment.copies.push_back({c.node, api::same_name<api::copy_state>(c.state), c.why});
    out.wrong.push_back(std::move(segment));
  }
  return out;
}

awaitable<void> verify(api_services& s, http_request& request, http_response& response) {
  if (s.logs == nullptr) co_return (void) co_await response.send_problem(logs_not_ready());
  const std::string name(request.parameter("name"));
  const auto time_max = request.query_number("time_max_ms", verify_time_default_ms, 1, verify_time_max_ms);
  if (!time_max) co_return (void) co_await response.send_problem(time_max.error());
  if (const auto fresh = co_await catch_up(s, request); !fresh)
    co_return (void) co_await response.send_problem(fresh.error());
  if (!find_dataset(s, name)) co_return (void) co_await response.send_problem(no_dataset(name));
  const auto begun = std::chrono::steady_clock::now();
  const std::chrono::milliseconds wanted(*time_max);
  const auto report = co_await await_while_wanted<logs::verify_report>(
      request, [&](auto then) { s.logs->verify(name, wanted, std::move(then)); },
      transport::after(wanted + answer_grace));
  if (!report) co_return (void) co_await response.send_problem(report.error());
  auto shown = to_verification(name, *report);
  shown.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  const auto text = api::to_text(shown);
  (void)co_await response.send_json(text);
}

}  // namespace

void add_log_routes(transport::http_router& router, api_services& s) {
  router.add("PUT", "/api/v1/datasets/{name}", http_access::submitter,
             [&s](auto& in, auto& out) { return create_log(s, in, out); });
  router.add("PATCH", "/api/v1/datasets/{name}", http_access::submitter,
             [&s](auto& in, auto& out) { return alter(s, in, out); });
  router.post("/api/v1/datasets/{name}/verify", http_access::submitter,
              [&s](auto& in, auto& out) { return verify(s, in, out); });
  add_append_route(router, s);
}

}  // namespace troupe::node
