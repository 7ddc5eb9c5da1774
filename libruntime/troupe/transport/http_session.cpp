#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <cmath>
#include <troupe/base/text.hpp>
#include <troupe/transport/http_session.hpp>
#include <troupe/transport/problem.hpp>

namespace troupe::transport {

namespace {

constexpr std::size_t session_buffer_bytes = 64 * 1024;
constexpr auto drain_time_max = std::chrono::seconds(2);
constexpr auto linger_time_known = std::chrono::seconds(2);
constexpr auto linger_time_unknown = std::chrono::milliseconds(300);
constexpr std::size_t linger_bytes_unknown = 256 * 1024;

/// Host without its port, for comparing with names.
std::string_view without_port(std::string_view host) {
  if (!host.empty() && host.front() == '[') return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

}  // namespace

http_session::http_session(std::shared_ptr<http_server::state> server, connection stream, bytes prefix)
    : server_(std::move(server)),
      presence_{server_, this},
      stream_(std::move(stream)),
      home_(stream_.executor()),
      place_(home_),
      buffer_(std::make_unique<char[]>(std::max(session_buffer_bytes, server_->options.header_bytes_max))),
      end_(prefix.size()) {
  std::copy(prefix.begin(), prefix.end(), buffer_.get());
}

http_session::~http_session() {
  if (known_) server_->give_place(stream_.remote().address());
  stream_.close();
}

void http_session::close_if_idle() {
  if (idle_) stream_.close();
}

awaitable<void> http_session::run(std::shared_ptr<http_session> self, bool has_header) {
  for (;;) {
    if (!std::exchange(has_header, false)) {
      const bool there = co_await read_header();
      if (!there || move_to_its_place(self)) co_return;
    }
    co_await handle();
    if (answer_ == answer::cut || !stream_.is_open()) co_return;
    // One co_await a statement: g++ 12 destroys the temporaries of one behind || also where it was never reached.
    bool goes_on = !close_after_ && keeps_alive();
    if (goes_on) goes_on = co_await drain();
    if (!goes_on) {
      co_await linger();
      co_return;
    }
  }
}

bool http_session::move_to_its_place(const std::shared_ptr<http_session>& self) {
  if (!server_->options.place || !known_ || server_->stopping) return false;
  const auto wanted = server_->options.place(parser_->head(), place_ != home_).value_or(home_);
  if (wanted == place_) return false;
  auto moved = stream_.move_to(wanted);
  if (!moved) return true;
  stream_ = std::move(*moved);
  {
    const std::lock_guard lock(place_mutex_);
    place_ = wanted;
  }
  asio::co_spawn(wanted, run(self, true), asio::detached);
  return true;
}

awaitable<result<std::size_t>> http_session::read_more(steady_time deadline) {
  const auto capacity = std::max(session_buffer_bytes, server_->options.header_bytes_max);
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == capacity) {
    std::copy(buffer_.get() + begin_, buffer_.get() + end_, buffer_.get());
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == capacity) co_return error{errc::invalid_argument, "a line of the chunked body is too long"};
  const std::span<char> room(buffer_.get() + end_, capacity - end_);
  const auto some = co_await stream_.read_some(room, deadline);
  if (some) end_ += *some;
  co_return some;
}

awaitable<bool> http_session::read_header() {
  const auto& options = server_->options;
  parser_ = std::make_unique<http_parser>(http_parser::role::request, options.header_bytes_max);
  answer_ = answer::none;
  status_ = 0;
  body_started_ = close_after_ = chunked_answer_ = false;
  out_.clear();
  if (begin_ == end_) {
    if (server_->stopping) co_return false;
    idle_ = true;
    const auto first = co_await read_more(after(known_ ? options.idle_time_max : options.header_time_max));
    idle_ = false;
    if (!first || *first == 0) co_return false;
  }
  const auto deadline = after(options.header_time_max);
  for (;;) {
    const auto used = parser_->put_header({buffer_.get() + begin_, end_ - begin_});
    if (!used) {
      const bool too_long = used.error().code() == errc::resource_exhausted;
      co_await refuse(too_long ? 431 : 400, used.error());
      co_return false;
    }
    begin_ += *used;
    if (parser_->header_done()) co_return true;
    const auto more = co_await read_more(deadline);
    if (!more && more.error().code() == errc::deadline_exceeded)
      co_await refuse(408, error{errc::deadline_exceeded, "the request's header did not come in time"});
    if (!more || *more == 0) co_return false;
  }
}

http_session::verdict http_session::check_origin() const {
  const auto& head = parser_->head();
  const auto host = head.field("Host");
  if (head.count("Host") != 1 || host.empty()) return {400, {errc::invalid_argument, "a request needs one Host field"}};
  const auto& names = server_->options.hosts;
  // Under TLS a browser has checked the name against the certificate, and no other page's name is in it.
  const bool ours = stream_.is_encrypted() || is_loopback_host(host) ||
                    std::any_of(names.begin(), names.end(),
                                [&](const std::string& name) { return equal_ignoring_case(name, without_port(host)); });
  if (!ours)
    return {421,
            {errc::permission_denied, "this node is not \"" + std::string(host.substr(0, 128)) +
                                          "\"; a web page under another name must not reach it"}};
  // Browsers send Origin; programs don't. Only a page that this very node served may ask.
  const bool plain_page =
      !stream_.is_encrypted() && equal_ignoring_case(head.field("Origin"), "http://" + std::string(host));
  if (head.count("Origin") > 0 && !plain_page &&
      !equal_ignoring_case(head.field("Origin"), "https://" + std::string(host)))
    return {403,
            {errc::permission_denied,
             "requests of web pages from \"" + std::string(head.field("Origin").substr(0, 128)) + "\" are not served"}};
  return {};
}

std::optional<http_caller> http_session::find_caller() const {
  constexpr std::string_view scheme = "Bearer ";
  const auto& head = parser_->head();
  const auto& options = server_->options;
  if (options.authenticate_cookie && head.count("Authorization") == 0) {
    const auto cookie = find_cookie(head, options.cookie);
    auto found = cookie ? options.authenticate_cookie(*cookie) : std::nullopt;
    if (found) found->by_cookie = true;
    return found;
  }
  const auto value = head.field("Authorization");
  if (head.count("Authorization") != 1 || value.size() <= scheme.size() ||
      !equal_ignoring_case(value.substr(0, scheme.size()), scheme))
    return std::nullopt;
  const auto bearer = value.substr(scheme.size());
  if (options.authenticate) return options.authenticate(bearer, stream_);
  if (options.token.empty() || !equal_constant_time(bearer, options.token)) return std::nullopt;
  return http_caller{"cluster token", http_access::admin, true, false};
}

void http_session::note_deed() const {
  const auto& head = parser_->head();
  if (!caller_ || !server_->options.deed || head.method == "GET" || head.method == "HEAD") return;
  const auto path = head.target.substr(0, head.target.find('?'));
  server_->options.deed({caller_->name, to_string(stream_.remote()), head.method + " " + path, status_});
}

awaitable<void> http_session::refuse(int status, error why) {
  server_->refused.add();
  close_after_ = true;
  const auto body = problem_json(status, why.message(), why.code());
  const std::string fields = status == 401 ? "WWW-Authenticate: Bearer\r\n" : "";
  const auto sent = co_await send_whole(status, "application/problem+json", fields, body);
  if (sent) co_await linger();
  stream_.close();
}

awaitable<void> http_session::refuse_for_now(http_response& response, request_rate::duration wait) {
  server_->too_fast.add();
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(wait).count();
  response.set_field("Retry-After", std::to_string(seconds));  // whole seconds (RFC 9110, 10.2.3)
  const error why{errc::resource_exhausted, "too many requests of " + caller_->name + ": this node takes " +
                                                std::to_string(std::llround(server_->options.rate.per_second)) +
                                                " a second of each user; wait for " + std::to_string(seconds) + " s"};
  (void)co_await response.send_problem(429, why);
}

awaitable<void> http_session::handle() {
  server_->requests.add();
  if (auto no = check_origin(); no.status != 0) {
    co_await refuse(no.status, no.why);
    co_return;
  }
  http_request request(*this);
  http_response response(*this);
  auto target = parse_target(parser_->head().target);
  auto found = target ? server_->router.find(request.method(), *target) : http_router::match{};
  const bool open = found.handler != nullptr && found.access == http_access::open;
  caller_ = find_caller();
  if (caller_) {
    if (!known_) {
      if (const auto room = server_->take_place(stream_.remote().address()); !room) {
        co_await refuse(503, room.error());
        co_return;
      }
      known_ = true;
      stream_.forget();  // the gate's ticket: this is nobody unknown any more
    }
  } else if (!open) {
    const bool given = parser_->head().count("Authorization") > 0;
    co_await refuse(401, error{errc::permission_denied,
                               given ? "this is not the cluster's token, nor a good one of a user of it"
                                     : "the cluster's token is missing: send Authorization: Bearer TOKEN"});
    co_return;
  }
  if (caller_) {
    if (const auto wait = server_->ask_rate(*caller_); wait > request_rate::duration::zero()) {
      co_await refuse_for_now(response, wait);
      co_return;
    }
  }
  if (caller_ && caller_->by_cookie && parser_->head().count("Origin") != 1 && request.method() != "GET" &&
      request.method() != "HEAD") {
    const error why{errc::permission_denied, "with a cookie, what changes something must say its Origin"};
    co_await response.send_problem(403, why);
    note_deed();
    co_return;
  }
  if (!target) {
    co_await response.send_problem(400, target.error());
    co_return;
  }
  if (found.handler == nullptr) {
    const bool known_path = !found.allow.empty();
    if (known_path) response.set_field("Allow", found.allow);
    const error why = known_path ? error{errc::unsupported,
                                         request.method().substr(0, 32) + " is not possible here; try " + found.allow}
                                 : error{errc::not_found, "there is nothing at " + target->path.substr(0, 256)};
    co_await response.send_problem(known_path ? 405 : 404, why);
    co_return;
  }
  if (!open && caller_->may < found.access) {
    const error why{errc::permission_denied, "this needs the role " + std::string(to_string(found.access)) + "; " +
                                                 caller_->name + " has the role " +
                                                 std::string(to_string(caller_->may))};
    co_await response.send_problem(403, why);
    note_deed();
    co_return;
  }
  request.target_ = std::move(*target);
  request.parameters_ = std::move(found.parameters);
  const auto begun = std::chrono::steady_clock::now();
  co_await run_handler(*found.handler, request, response);
  server_->seconds.observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
  note_deed();
}

awaitable<void> http_session::run_handler(const http_handler& handler, http_request& request, http_response& response) {
  std::string failure;
  try {
    co_await handler(request, response);
    if (answer_ == answer::none) failure = "it returned without an answer";
    if (answer_ == answer::streaming) failure = "it returned within its answer";
  } catch (const std::exception& e) {
    failure = e.what();
  } catch (...) {
    failure = "it threw what is no exception";
  }
  if (failure.empty()) co_return;
  server_->failed.add();
  if (!stream_.is_open()) co_return;  // the client has gone, and with it whom to tell
  server_->log.error("http", request.method() + " " + request.target().path + ": the handler failed: " + failure);
  if (answer_ != answer::none) {
    response.abort();
    co_return;
  }
  close_after_ = true;
  const error why{errc::internal, "a defect of this node: " + failure};
  co_await response.send_problem(500, why);
}

bool http_session::keeps_alive() const {
  return known_ && !close_after_ && !server_->stopping && parser_->head().keep_alive && answer_ != answer::cut;
}

awaitable<bool> http_session::drain() {
  if (parser_->body_done()) co_return true;
  if (parser_->head().expects_continue && !body_started_) co_return false;
  const auto deadline = after(drain_time_max);
  char sink[4096];
  std::size_t taken = 0;
  while (!parser_->body_done() && taken <= drain_bytes_max && std::chrono::steady_clock::now() < deadline) {
    const auto some = co_await read_body_some(sink);
    if (!some) co_return false;
    taken += *some;
  }
  co_return parser_->body_done();
}

awaitable<void> http_session::linger() {
  stream_.shutdown_send();
  const auto deadline = known_ ? after(linger_time_known) : after(linger_time_unknown);
  std::size_t taken = 0;
  const std::span<char> sink(buffer_.get(), session_buffer_bytes);
  while (known_ || taken < linger_bytes_unknown) {
    const auto some = co_await stream_.read_some(sink, deadline);
    if (!some || *some == 0) co_return;
    taken += *some;
  }
}

awaitable<result<std::size_t>> http_session::read_body_some(std::span<char> into) {
  if (parser_->body_done()) co_return std::size_t{0};
  const auto deadline = after(server_->options.body_idle_time_max);
  if (!std::exchange(body_started_, true) && parser_->head().expects_continue && begin_ == end_) {
    const bytes_view interim = "HTTP/1.1 100 Continue\r\n\r\n";
    TROUPE_CO_TRY_VOID(co_await stream_.write(interim, deadline));
  }
  for (;;) {
    const auto step = parser_->decode_body({buffer_.get() + begin_, end_ - begin_}, into);
    if (!step) {
      close_after_ = true;
      co_return step.error();
    }
    begin_ += step->consumed;
    if (step->produced > 0) co_return step->produced;
    if (parser_->body_done()) co_return std::size_t{0};
    if (step->consumed > 0 && begin_ != end_) continue;
    const auto more = co_await read_more(deadline);
    if (!more || *more == 0) {
      close_after_ = true;
      co_return more ? error{errc::unavailable, "the client closed the connection within the body"} : more.error();
    }
  }
}

}  // namespace troupe::transport
