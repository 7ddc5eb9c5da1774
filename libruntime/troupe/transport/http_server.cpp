#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <troupe/transport/http_session.hpp>
#include <troupe/transport/problem.hpp>

namespace troupe::transport {

namespace {
/// How soon a long poll notices that its client has gone or the server stops.
constexpr auto poll_slice = std::chrono::milliseconds(200);
}  // namespace

const http_head& http_request::head() const noexcept { return session_.parser_->head(); }

std::string_view http_request::parameter(std::string_view name) const noexcept {
  for (const auto& [key, value] : parameters_)
    if (key == name) return value;
  return {};
}

std::optional<std::string_view> http_request::query(std::string_view name) const noexcept {
  for (const auto& [key, value] : target_.query)
    if (key == name) return value;
  return std::nullopt;
}

result<std::uint64_t> http_request::query_number(std::string_view name, std::uint64_t fallback, std::uint64_t least,
                                                 std::uint64_t most) const {
  const auto text = query(name);
  if (!text) return fallback;
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (failure != std::errc{} || end != text->data() + text->size() || value < least || value > most)
    return error{errc::invalid_argument, std::string(name) + "=" + std::string(text->substr(0, 64)) +
                                             " is not a number from " + std::to_string(least) + " to " +
                                             std::to_string(most)};
  return value;
}

tcp::endpoint http_request::remote() const noexcept { return session_.stream_.remote(); }

const connection& http_request::stream() const noexcept { return session_.stream_; }
const std::optional<http_caller>& http_request::caller() const noexcept { return session_.caller_; }

awaitable<result<std::size_t>> http_request::read_some(std::span<char> into) { return session_.read_body_some(into); }

awaitable<result<bytes>> http_request::read_body(std::size_t bytes_max) {
  const error too_long{errc::resource_exhausted,
                       "the body is longer than the " + std::to_string(bytes_max) + " bytes allowed here"};
  if (head().content_length.value_or(0) > bytes_max) co_return too_long;
  bytes body;
  for (;;) {
    // Grows with what comes, not with what is claimed.
    const auto had = body.size();
    body.resize(had + std::min<std::size_t>(std::max<std::size_t>(had, 16 * 1024), 1 << 20));
    const auto some = co_await read_some(std::span(body.data() + had, body.size() - had));
    if (!some) co_return some.error();
    body.resize(had + *some);
    if (body.size() > bytes_max) co_return too_long;
    if (*some == 0) co_return body;
  }
}

bool http_request::stopping() const noexcept { return session_.server_->stopping; }

steady_time http_request::poll_deadline(std::chrono::milliseconds wanted) const {
  return after(std::min(std::max(wanted, std::chrono::milliseconds(0)), session_.server_->options.long_poll_time_max));
}

awaitable<bool> http_request::wait_for(notifier& changes, std::uint64_t seen, steady_time deadline) {
  for (;;) {
    const auto now = std::chrono::steady_clock::now();
    if (changes.generation() > seen) co_return true;
    if (now >= deadline || stopping() || session_.stream_.ended_by_peer()) co_return false;
    if (co_await changes.wait(seen, std::min<steady_time>(deadline, now + poll_slice))) co_return true;
  }
}

void http_response::set_field(std::string_view name, std::string_view value) {
  const auto append = [this](std::string_view text) {
    for (const char c : text)  // no line of a header is ever made from a value
      fields_ += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  };
  append(name);
  fields_ += ": ";
  append(value);
  fields_ += "\r\n";
}

awaitable<result<void>> http_response::send(int status, std::string_view content_type, bytes_view body) {
  return session_.send_whole(status, content_type, fields_, body);
}

awaitable<result<void>> http_response::send_json(bytes_view json, int status) {
  return send(status, "application/json", json);
}

awaitable<result<void>> http_response::send_empty(int status) { return send(status, {}, {}); }

awaitable<result<void>> http_response::send_problem(const error& e) {
  return send_problem(to_http_status(e.code()), e);
}

awaitable<result<void>> http_response::send_problem(int status, const error& e) {
  const auto body = problem_json(status, e.message(), e.code());
  co_return co_await send(status, "application/problem+json", body);
}

awaitable<result<void>> http_response::begin(int status, std::string_view content_type) {
  return session_.begin(status, content_type, fields_);
}

awaitable<result<void>> http_response::write(bytes_view data) { return session_.write_streaming(data); }
awaitable<result<void>> http_response::flush() { return session_.send_chunk({}); }
awaitable<result<void>> http_response::end() { return session_.end_streaming(); }

void http_response::abort() noexcept {
  session_.answer_ = http_session::answer::cut;
  session_.stream_.close();
}

bool http_response::started() const noexcept { return session_.answer_ != http_session::answer::none; }
bool http_response::ended() const noexcept {
  return session_.answer_ == http_session::answer::whole || session_.answer_ == http_session::answer::ended;
}

http_server::state::state(http_server_options o, http_router r, telemetry::logger& l, telemetry::metrics& m)
    : options(std::move(o)),
      router(std::move(r)),
      log(l),
      requests(m.get_counter("troupe_http_requests_total", "HTTP requests whose header was read")),
      refused(m.get_counter("troupe_http_refused_total", "HTTP requests refused before their handler")),
      failed(m.get_counter("troupe_http_failed_total", "HTTP handlers that threw or gave no answer")),
      too_fast(m.get_counter("troupe_http_too_fast_total", "HTTP requests refused because their user sent too many")),
      seconds(m.get_histogram("troupe_http_handler_seconds", "Time in HTTP handlers, long polls included",
                              telemetry::histogram::latency_seconds())),
      known_clients(options.connections_max, options.connections_per_address_max),
      rate(options.rate) {}

result<void> http_server::state::take_place(const asio::ip::address& from) {
  const std::lock_guard lock(mutex);
  return known_clients.take(from);
}

void http_server::state::give_place(const asio::ip::address& from) {
  const std::lock_guard lock(mutex);
  known_clients.give(from);
}

request_rate::duration http_server::state::ask_rate(const http_caller& caller) {
  if (caller.cluster) return request_rate::duration::zero();
  const std::lock_guard lock(mutex);
  return rate.ask(caller.name, std::chrono::steady_clock::now());
}

void http_server::state::leave(const http_session* session) {
  std::function<void()> last;
  {
    const std::lock_guard lock(mutex);
    sessions.erase(session);
    if (sessions.empty() && stopping) last = std::exchange(done, nullptr);
  }
  if (last) last();
}

std::vector<std::shared_ptr<http_session>> http_server::state::all() const {
  std::vector<std::shared_ptr<http_session>> out;
  const std::lock_guard lock(mutex);
  out.reserve(sessions.size());
  for (const auto& [key, weak] : sessions)
    if (auto one = weak.lock()) out.push_back(std::move(one));
  return out;
}

http_server::http_server(http_server_options options, http_router router, telemetry::logger& log,
                         telemetry::metrics& metrics)
    : state_(std::make_shared<state>(std::move(options), std::move(router), log, metrics)) {}

http_server::~http_server() {
  stop(std::chrono::milliseconds(0), [] {});
}

void http_server::serve(connection stream, bytes prefix) {
  const auto executor = stream.executor();
  const auto session = std::make_shared<http_session>(state_, std::move(stream), std::move(prefix));
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping) return;
    state_->sessions.emplace(session.get(), session);
  }
  asio::co_spawn(executor, session->run(session, false), asio::detached);
}

namespace {
void end_soon(const std::shared_ptr<http_session>& session, std::chrono::milliseconds grace) {
  const auto executor = session->executor();
  asio::post(executor, [session, executor, grace] {
    if (session->executor() != executor) return end_soon(session, grace);  // it had begun to move
    if (grace.count() == 0) return session->close();
    session->close_if_idle();
    // The timer holds the session weakly: a request that ends earlier ends it.
    const auto timer = std::make_shared<asio::steady_timer>(executor, grace);
    timer->async_wait([timer, weak = std::weak_ptr(session)](const boost::system::error_code&) {
      if (const auto still = weak.lock()) still->close();
    });
  });
}
}  // namespace

void http_server::stop(std::chrono::milliseconds grace, std::function<void()> done) {
  bool none = false;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    none = state_->sessions.empty();
    if (!none && !state_->done) state_->done = std::move(done);
  }
  if (none && done) done();
  for (const auto& session : state_->all()) end_soon(session, grace);
}

std::size_t http_server::connections() const {
  const std::lock_guard lock(state_->mutex);
  return state_->sessions.size();
}

}  // namespace troupe::transport
