#include <charconv>
#include <troupe/api/logs.hpp>
#include <troupe/format/record_json.hpp>
#include <troupe/transport/await_answer.hpp>
#include <troupe/transport/http_message.hpp>
#include <troupe/transport/problem.hpp>

#include "node/daemon/api_services.hpp"
#include "node/daemon/log_port.hpp"
#include "node/daemon/shapes.hpp"

namespace troupe::node {
namespace {

using boost::asio::awaitable;
using transport::http_access;
using transport::http_request;
using transport::http_response;

constexpr std::uint64_t append_time_default_ms = 10'000;
constexpr std::uint64_t append_time_max_ms = 60'000;

/// What the body is read by.
struct target {
  data_format format = data_format::lines;
  schema fields;
};

std::optional<target> look_up(const api_services& s, std::string_view name) {
  return s.metadata.read([&](const metadata::state& state) -> std::optional<target> {
    const auto* d = state.find_dataset(name);
    if (d == nullptr) return std::nullopt;
    return target{d->format, d->schema};
  });
}

/// The body as the payload of a batch. Lines are taken as they are, without a look at any of them. On an error the body
/// is as before.
result<bytes> to_records(const target& to, bytes& body) {
  if (to.format == data_format::lines) {
    if (body.empty()) return error{errc::invalid_argument, "the body has no records: send lines"};
    if (body.back() != '\n') body.push_back('\n');
    return std::move(body);
  }
  bytes out;
  TROUPE_TRY(auto reader, format::record_json::make(to.format, to.fields));
  out.reserve(body.size());
  TROUPE_TRY(const auto records, reader.append_lines(out, body));
  if (records == 0) return error{errc::invalid_argument, "the body has no records: send lines of JSON"};
  return out;
}

/// Both fields, or neither.
result<void> read_producer(const http_request& request, logs::append_request& wish) {
  const auto producer = request.field(api::producer_field), sequence = request.field(api::sequence_field);
  if (producer.empty() && sequence.empty()) return ok();
  if (producer.empty() || sequence.empty())
    return error{errc::invalid_argument, std::string("the fields ") + api::producer_field + " and " +
                                             api::sequence_field + " go together: one of them is missing"};
  const auto id = uuid::parse(producer);
  if (!id || id->is_nil())
    return error{errc::invalid_argument, std::string(api::producer_field) + ": \"" +
                                             std::string(producer.substr(0, 64)) +
                                             "\" is not a UUID that may stand for a producer"};
  const auto [rest, failure] = std::from_chars(sequence.data(), sequence.data() + sequence.size(), wish.sequence);
  if (failure != std::errc{} || rest != sequence.data() + sequence.size())
    return error{errc::invalid_argument, std::string(api::sequence_field) + ": \"" +
                                             std::string(sequence.substr(0, 64)) + "\" is not a number of 64 bits"};
  wish.producer = *id;
  return ok();
}

std::vector<api::appended_part> to_parts(const std::vector<logs::durable_part>& parts) {
  std::vector<api::appended_part> out;
  out.reserve(parts.size());
  for (const auto& p : parts) out.push_back({p.partition, p.first_offset, p.count, p.duplicate});
  return out;
}

/// 503: not all of it is known to be durable. Tells what is.
awaitable<void> refuse_in_part(http_response& response, const error& why, std::vector<api::appended_part> durable) {
  api::append_problem problem;
  problem.title = transport::reason_phrase(503);
  problem.detail = why.message();
  problem.code = to_string(why.code());
  problem.durable = std::move(durable);
  const auto text = api::to_text(problem);
  (void)co_await response.send(503, "application/problem+json", text);
}

awaitable<void> append(api_services& s, http_request& request, http_response& response) {
  if (s.logs == nullptr) co_return (void) co_await response.send_problem(logs_not_ready());
  logs::append_request wish;
  wish.dataset = std::string(request.parameter("name"));
  if (const auto good = read_producer(request, wish); !good)
    co_return (void) co_await response.send_problem(good.error());
  const auto time_max = request.query_number("time_max_ms", append_time_default_ms, 1, append_time_max_ms);
  if (!time_max) co_return (void) co_await response.send_problem(time_max.error());
  wish.time_max = std::chrono::milliseconds(*time_max);

  auto body = co_await request.read_body(api::append_body_bytes_max);
  if (!body && body.error().code() == errc::resource_exhausted)
    co_return (void) co_await response.send_problem(413, body.error().with_context("send less at once"));
  if (!body) co_return (void) co_await response.send_problem(body.error());

  // What this node knows is mostly right. Only when it is of no use, it asks for what is new.
  auto to = look_up(s, wish.dataset);
  auto records = to ? to_records(*to, *body) : result<bytes>(no_dataset(wish.dataset));
  if (!records) {
    const auto fresh = co_await catch_up(s);
    if (!fresh && !to) co_return (void) co_await response.send_problem(fresh.error());
    const auto now = look_up(s, wish.dataset);
    if (!now) co_return (void) co_await response.send_problem(no_dataset(wish.dataset));
    const bool changed = !to || now->format != to->format || now->fields != to->fields;
    if (changed) records = to_records(*now, *body);
  }
  if (!records) co_return (void) co_await response.send_problem(records.error());
  wish.records = std::move(*records);

  // The log plane answers by time_max.
  const auto begin = [&](auto then) { s.logs->append(std::move(wish), std::move(then)); };
  const auto outcome = co_await transport::await_answer<logs::append_outcome>(begin);
  if (!outcome) {
    const auto code = outcome.error().code();
    // failed_precondition: too few members can take a copy now. That passes, as the others do.
    const bool passing = code == errc::unavailable || code == errc::deadline_exceeded || code == errc::cancelled ||
                         code == errc::failed_precondition;
    if (!passing) co_return (void) co_await response.send_problem(outcome.error());
    std::vector<api::appended_part> nothing;
    co_await refuse_in_part(response, outcome.error(), std::move(nothing));
    co_return;
  }
  auto durable = to_parts(outcome->durable);
  if (outcome->rest) {
    co_await refuse_in_part(response, *outcome->rest, std::move(durable));
    co_return;
  }
  const auto text = api::to_text(durable);
  (void)co_await response.send_json(text);
}

}  // namespace

void add_append_route(transport::http_router& router, api_services& s) {
  router.post("/api/v1/datasets/{name}/records", http_access::submitter,
              [&s](auto& in, auto& out) { return append(s, in, out); });
}

}  // namespace troupe::node
