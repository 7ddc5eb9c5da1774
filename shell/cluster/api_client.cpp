#include <charconv>
#include <shell/cluster/api_client.hpp>
#include <shell/cluster/paths.hpp>
#include <shell/interrupts.hpp>
#include <troupe/security/credentials.hpp>
#include <troupe/transport/problem.hpp>

namespace troupe::shell {
namespace {

constexpr int pages_max = 10'000;
constexpr auto probe_time_max =
    std::chrono::milliseconds(1500);                    ///< a paused node accepts connections and says nothing
constexpr auto trusted_time = std::chrono::seconds(1);  ///< a node that answered just now need not be probed

result<std::pair<std::string, std::uint16_t>> split_address(const std::string& address) {
  const error wrong{errc::invalid_argument, "not an address: \"" + address + "\" (write HOST:PORT)"};
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0) return wrong;
  std::uint16_t port = 0;
  const auto* end = address.data() + address.size();
  const auto [rest, failed] = std::from_chars(address.data() + colon + 1, end, port);
  if (failed != std::errc{} || rest != end || port == 0) return wrong;
  auto host = address.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::pair{host, port};
}

std::string trimmed(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.pop_back();
  return text;
}

/// What a node advises to programs, for people.
error in_words_of_the_shell(const error& e) {
  constexpr std::string_view advice = "add consistency=stale to read";
  auto text = e.message();
  const auto at = text.find(advice);
  if (at == std::string::npos) return e;
  text.replace(at, advice.size(), "`set consistency stale` shows");
  return error{e.code(), std::move(text)};
}

}  // namespace

api_client::api_client(known_cluster cluster)
    : cluster_(std::move(cluster)), cancel_fd_(interrupts::descriptor()), connections_(cluster_.addresses.size()) {}
api_client::~api_client() = default;

void api_client::set_time_max(std::chrono::milliseconds time_max) { time_max_ = time_max; }

void api_client::ignore_interrupts() {
  cancel_fd_ = -1;
  for (auto& connection : connections_) connection.reset();
}

/// The token that requests carry, and whose certificates to believe.
outcome<void> api_client::read_secrets() {
  if (secrets_read_) return done();
  const auto& file = cluster_.access_file.empty() ? cluster_.token_file : cluster_.access_file;
  if (!file.empty()) {
    auto text = paths::read_file(file, 4096);
    if (!text)
      return failure(status::no_cluster,
                     "cluster " + cluster_.name + ": its token cannot be read: " + text.error().message());
    token_ = trimmed(*text);
  }
  if (!cluster_.authority_file.empty()) {
    const auto text = paths::read_file(cluster_.authority_file);
    auto trust = text ? security::trust::of_authority(*text) : text.error();
    if (!trust)
      return failure(status::no_cluster, "cluster " + cluster_.name + ": the certificate of its authority in " +
                                             cluster_.authority_file + ": " + trust.error().message());
    trust_ = std::move(*trust);
  }
  secrets_read_ = true;
  return done();
}

outcome<transport::http_client*> api_client::connection(std::size_t index) {
  TROUPE_TRY_VOID(read_secrets());
  auto& made = connections_[index];
  if (!made) {
    TROUPE_TRY(auto address, split_address(cluster_.addresses[index]));
    transport::http_client_options options;
    options.host = address.first;
    options.port = address.second;
    options.token = token_;
    options.trust = trust_;
    if (const auto id = cluster_id::parse(cluster_.id)) options.cluster = *id;
    options.cancel_fd = cancel_fd_;
    if (time_max_) options.connect_time_max = options.write_time_max = options.read_time_max = *time_max_;
    made = std::make_unique<transport::http_client>(std::move(options));
  }
  return made.get();
}

api_client::readiness api_client::probe(transport::http_client& client, std::string& why) {
  auto request = request_for("GET", "/readyz");
  request.read_time_max = probe_time_max;
  const auto answer = client.send(request);
  if (answer) return answer->ok() ? readiness::ready : readiness::answers;
  why = answer.error().message();
  if (answer.error().code() == errc::cancelled && interrupts::pending()) return readiness::interrupted;
  client.disconnect();
  return readiness::silent;
}

outcome<transport::http_client_response> api_client::send(transport::http_client_request request) {
  // A request that changes something goes to a node that has just answered, and is not made again: there is no telling
  // what a node that fell silent has done.
  const bool repeatable = request.method == "GET" && !request.body_sink;
  TROUPE_TRY(auto answer, exchange(std::move(request), repeatable));
  if (answer.ok()) return answer;
  return failure(
      in_words_of_the_shell(transport::problem_error(answer.status, answer.field("content-type"), answer.body)));
}

outcome<transport::http_client_response> api_client::send_repeatable(transport::http_client_request request) {
  return exchange(std::move(request), true);
}

outcome<transport::http_client_response> api_client::exchange(transport::http_client_request request, bool repeatable) {
  request.target = "/api/v1" + request.target;
  if (stale_ && request.method == "GET")
    request.target += (request.target.find('?') == std::string::npos ? "?" : "&") + std::string("consistency=stale");
  std::string tried;
  bool all_refuse = true;  // it is down: that needs no list
  std::vector<std::size_t> order, unready;
  for (std::size_t n = 0; n < cluster_.addresses.size(); ++n)
    order.push_back((preferred_ + n) % cluster_.addresses.size());
  for (std::size_t n = 0; n < order.size(); ++n) {
    const auto index = order[n];
    const bool first_time = n < cluster_.addresses.size();
    const auto& address = cluster_.addresses[index];
    TROUPE_TRY(auto* const client, connection(index));
    std::string why;
    const bool fresh = repeatable && n == 0 && std::chrono::steady_clock::now() - answered_ < trusted_time;
    const auto found = first_time && !fresh ? probe(*client, why) : readiness::ready;
    if (found == readiness::interrupted) return failure(status::interrupted, "interrupted");
    if (found != readiness::silent || why.find("Connection refused") == std::string::npos) all_refuse = false;
    if (found == readiness::silent) tried.append(tried.empty() ? "" : "; ").append(address).append(": ").append(why);
    // One that starts, or is cut off from the others, is asked when no other is left.
    if (found == readiness::answers) unready.push_back(index);
    if (n + 1 == cluster_.addresses.size()) order.insert(order.end(), unready.begin(), unready.end());
    if (found != readiness::ready) continue;
    auto answer = client->send(request);
    if (answer) {
      if (answer->status == 503 && repeatable && n + 1 < order.size()) continue;
      preferred_ = index;
      answered_ = std::chrono::steady_clock::now();
      if (answer->status != 401) return std::move(*answer);
      const auto e = transport::problem_error(answer->status, answer->field("content-type"), answer->body);
      return failure(status::no_cluster,
                     "cluster " + cluster_.name + " at " + address + " refuses the token" +
                         (cluster_.access_file.empty() && cluster_.token_file.empty()
                              ? " (none is known)"
                              : " in " + (cluster_.access_file.empty() ? cluster_.token_file : cluster_.access_file)) +
                         ": " + e.message());
    }
    answered_ = {};
    const auto& e = answer.error();
    if (e.code() == errc::cancelled && interrupts::pending()) return failure(status::interrupted, "interrupted");
    if (!repeatable) return failure(e.with_context("node at " + address));
    if (e.code() != errc::unavailable && e.code() != errc::deadline_exceeded) return failure(e);
    tried += (tried.empty() ? "" : "; ") + address + ": " + e.message();
  }
  return failure(status::no_cluster, "no node of cluster " + cluster_.name + " answers" +
                                         (tried.empty() ? " (none is known)"
                                          : all_refuse  ? " (nothing listens at their addresses)"
                                                        : " (" + tried + ")") +
                                         (cluster_.data.empty() ? "; " : "; `up` starts it, ") +
                                         "`clusters` lists those that are known");
}

outcome<api::json::value> api_client::parsed(const transport::http_client_response& answer) {
  if (answer.body.empty()) return api::json::value(nullptr);
  TROUPE_TRY(auto value, api::detail::parse(answer.body, "answer of cluster " + cluster_.name));
  return value;
}

outcome<api::json::value> api_client::get(const std::string& path) {
  TROUPE_TRY(const auto answer, send(request_for("GET", path)));
  return parsed(answer);
}

outcome<api::json::array> api_client::items(const std::string& path) {
  api::json::array out;
  std::string cursor;
  for (int page = 0; page < pages_max; ++page) {
    const auto query = cursor.empty() ? ""
                                      : (path.find('?') == std::string::npos ? "?cursor=" : "&cursor=") +
                                            transport::percent_encode(cursor);
    TROUPE_TRY(const auto value, get(path + query));
    using page_of_items = api::list<api::json::value>;
    TROUPE_TRY(auto list, typed<page_of_items>(value, "answer"));
    for (auto& item : list.items) out.push_back(std::move(item));
    if (!list.next_cursor || list.next_cursor->empty()) return out;
    if (cursor == *list.next_cursor) break;  // or it would be the same page for ever
    cursor = *list.next_cursor;
  }
  return failure(status::failed, path + ": the node's list does not come to an end (cursor \"" + cursor + "\")");
}

outcome<api::json::value> api_client::post(const std::string& path, const api::json::value& body) {
  auto request = request_for("POST", path);
  if (!body.is_null()) {
    request.content_type = "application/json";
    request.body = api::json::serialize(body);
  }
  TROUPE_TRY(const auto answer, send(std::move(request)));
  return parsed(answer);
}

outcome<void> api_client::remove(const std::string& path) {
  TROUPE_TRY_VOID(send(request_for("DELETE", path)));
  return done();
}

}  // namespace troupe::shell
