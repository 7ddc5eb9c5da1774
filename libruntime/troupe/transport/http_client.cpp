#include <algorithm>
#include <array>
#include <cstdio>
#include <troupe/transport/blocking_socket.hpp>
#include <troupe/transport/http_client.hpp>
#include <troupe/transport/http_parser.hpp>
#include <troupe/transport/problem.hpp>

namespace troupe::transport {

namespace {

constexpr std::size_t client_buffer_bytes = 256 * 1024;
/// How long an upload waits for «100 Continue»: a server that knows nothing of it would never say it.
constexpr auto continue_time_max = std::chrono::seconds(1);

std::string host_field(const http_client_options& options) {
  const bool bare_v6 = options.host.find(':') != std::string::npos && options.host.front() != '[';
  return (bare_v6 ? "[" + options.host + "]" : options.host) + ":" + std::to_string(options.port);
}

/// A value from outside never makes a line of a header.
bool is_clean(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

std::string_view http_client_response::field(std::string_view name) const noexcept {
  for (const auto& f : fields)
    if (equal_ignoring_case(f.name, name)) return f.value;
  return {};
}

struct http_client::state {
  explicit state(http_client_options o)
      : options(std::move(o)), buffer(std::make_unique<char[]>(client_buffer_bytes)) {}

  http_client_options options;
  blocking_socket socket;
  std::unique_ptr<char[]> buffer;  ///< [begin, end) is read and not yet parsed
  std::size_t begin = 0;
  std::size_t end = 0;

  result<void> secure();
  result<http_client_response> exchange(const http_client_request& request, bool& nothing_came);
  result<bytes> make_header(const http_client_request& request) const;
  result<void> upload(const http_client_request& request, http_parser& answer, bool& whole);
  result<void> upload_pieces(const http_client_request& request, http_parser& answer, bool& whole);
  result<bool> send_watching(bytes_view data, http_parser& answer);
  result<void> read_header(http_parser& answer, std::chrono::milliseconds time_max);
  result<void> read_body(const http_client_request& request, http_parser& answer, http_client_response& into,
                         std::chrono::milliseconds time_max);
  result<std::size_t> read_more(std::chrono::milliseconds time_max);

  [[nodiscard]] bytes_view buffered() const { return {buffer.get() + begin, end - begin}; }
  [[nodiscard]] std::string where() const { return host_field(options); }
};

result<void> http_client::state::secure() {
  if (options.trust) return socket.start_tls(*options.trust, options.cluster, options.connect_time_max);
  if (socket.is_loopback()) return ok();
  return error{errc::permission_denied,
               "it is beyond this machine, and no certificate of its cluster's authority is known here: nothing goes "
               "there unencrypted"};
}

result<std::size_t> http_client::state::read_more(std::chrono::milliseconds time_max) {
  if (begin == end) begin = end = 0;
  if (end == client_buffer_bytes && begin > 0) {
    std::copy(buffer.get() + begin, buffer.get() + end, buffer.get());
    end -= begin;
    begin = 0;
  }
  if (end == client_buffer_bytes)
    return error{errc::invalid_argument, "the answer makes no sense: a line of it is too long"};
  TROUPE_TRY(const auto some, socket.read_some({buffer.get() + end, client_buffer_bytes - end}, time_max));
  end += some;
  return some;
}

result<bytes> http_client::state::make_header(const http_client_request& request) const {
  bytes out = request.method + " " + request.target + " HTTP/1.1\r\nHost: " + where() + "\r\n";
  if (!is_clean(request.method + request.target + options.token + request.content_type) ||
      request.target.find(' ') != std::string::npos)
    return error{errc::invalid_argument, "a request to " + request.target.substr(0, 128) + " has control characters"};
  if (!options.token.empty()) out += "Authorization: Bearer " + options.token + "\r\n";
  for (const auto& field : request.fields) {
    if (!is_clean(field.name + field.value))
      return error{errc::invalid_argument, "a field of the request has control characters"};
    out += field.name + ": " + field.value + "\r\n";
  }
  if (!request.content_type.empty()) out += "Content-Type: " + request.content_type + "\r\n";
  if (request.body_source) {
    out += request.body_bytes ? "Content-Length: " + std::to_string(*request.body_bytes) + "\r\n"
                              : std::string("Transfer-Encoding: chunked\r\n");
    out += "Expect: 100-continue\r\n";
  } else if (!request.body.empty() || (request.method != "GET" && request.method != "HEAD")) {
    out += "Content-Length: " + std::to_string(request.body.size()) + "\r\n";
  }
  out += "\r\n";
  return out;
}

/// Reads until a header is complete, interim ones (1xx) left out.
result<void> http_client::state::read_header(http_parser& answer, std::chrono::milliseconds time_max) {
  for (;;) {
    TROUPE_TRY(const auto used, answer.put_header(buffered()));
    begin += used;
    if (answer.header_done()) return ok();
    TROUPE_TRY(const auto some, read_more(time_max));
    if (some == 0) return error{errc::unavailable, "the server closed the connection without an answer"};
  }
}

/// Sends all of `data`, or stops early (false) when the server begins to answer. An interim answer counts, too: the
/// caller looks.
result<bool> http_client::state::send_watching(bytes_view data, http_parser& answer) {
  while (!data.empty()) {
    TROUPE_TRY(const auto ready, socket.wait(true, true, options.write_time_max));
    if (ready.readable) {
      if (const auto some = read_more(options.read_time_max); !some || *some == 0)
        return error{errc::unavailable, "the server closed the connection during the upload"};
      TROUPE_TRY(const auto used, answer.put_header(buffered()));
      begin += used;
      if (!answer.header_done()) continue;
      if (answer.head().status != 100) return false;
      answer = http_parser(http_parser::role::response);  // a late «100 Continue» says nothing new
      continue;
    }
    TROUPE_TRY(const auto sent, socket.write_available(data));
    data.remove_prefix(sent);
  }
  return true;
}

/// Sends the body. `whole` says whether all of it went; the answer's header may then be there already.
result<void> http_client::state::upload(const http_client_request& request, http_parser& answer, bool& whole) {
  whole = false;
  // «100 Continue», or what the server has against this upload, before a byte of it is read from the disk.
  TROUPE_TRY(const auto ready, socket.wait(true, false, continue_time_max, false));
  if (ready.readable) {
    if (const auto header = read_header(answer, options.read_time_max); !header) return header.error();
    if (answer.head().status != 100) return ok();
    answer = http_parser(http_parser::role::response);
  }
  return upload_pieces(request, answer, whole);
}

result<void> http_client::state::upload_pieces(const http_client_request& request, http_parser& answer, bool& whole) {
  const auto piece = std::make_unique<char[]>(client_buffer_bytes);
  std::uint64_t left = request.body_bytes.value_or(0);
  bytes framed;
  for (;;) {
    TROUPE_TRY(const auto size, request.body_source({piece.get(), client_buffer_bytes}));
    const bytes_view data(piece.get(), size);
    if (request.body_bytes) {
      if (size > left || (size == 0 && left > 0))
        return error{errc::invalid_argument, "the source changed its size while it was being read: " +
                                                 std::to_string(*request.body_bytes) + " bytes were announced"};
      left -= size;
      framed.assign(data);
    } else {
      char line[24];
      const int line_bytes = std::snprintf(line, sizeof line, "%zx\r\n", size);
      framed.assign(line, static_cast<std::size_t>(line_bytes));
      framed += data;
      framed += "\r\n";
    }
    TROUPE_TRY(const bool all, send_watching(framed, answer));
    if (!all) return ok();
    if (size == 0 || (request.body_bytes && left == 0)) break;
  }
  whole = true;
  return ok();
}

result<void> http_client::state::read_body(const http_client_request& request, http_parser& answer,
                                           http_client_response& into, std::chrono::milliseconds time_max) {
  const bool to_sink = request.body_sink && into.ok();
  const auto piece = std::make_unique<char[]>(client_buffer_bytes);
  while (!answer.body_done()) {
    TROUPE_TRY(const auto step, answer.decode_body(buffered(), {piece.get(), client_buffer_bytes}));
    begin += step.consumed;
    if (step.produced > 0) {
      const bytes_view data(piece.get(), step.produced);
      if (to_sink) {
        TROUPE_TRY_VOID(request.body_sink(data));
      } else if (into.body.size() + data.size() > limits::http_body_bytes_max) {
        return error{errc::resource_exhausted,
                     "the answer is longer than " + std::to_string(limits::http_body_bytes_max) + " bytes"};
      } else {
        into.body += data;
      }
      continue;
    }
    if (answer.body_done() || (step.consumed > 0 && begin != end)) continue;
    TROUPE_TRY(const auto some, read_more(time_max));
    if (some == 0) {
      TROUPE_TRY_VOID(answer.put_eof());
      break;
    }
  }
  return ok();
}

/// One request and its answer over the open connection. `nothing_came`: not one byte of an answer, so that a kept-alive
/// connection may just have been closed.
result<http_client_response> http_client::state::exchange(const http_client_request& request, bool& nothing_came) {
  nothing_came = true;
  const auto time_max = request.read_time_max.value_or(options.read_time_max);
  TROUPE_TRY(auto header, make_header(request));
  if (!request.body_source) header += request.body;
  http_parser answer(http_parser::role::response, limits::http_header_bytes_max, request.method == "HEAD");
  begin = end = 0;
  bool whole = true;
  auto sent = ok();
  if (const auto all = send_watching(header, answer); !all)
    sent = all.error();
  else if (!*all)
    whole = false;
  else if (request.body_source)
    sent = upload(request, answer, whole);
  // A server that has answered and closed makes the rest of the upload fail: its answer may still wait to be read.
  if (!sent && sent.error().code() != errc::unavailable) return sent.error();
  while (!answer.header_done() || (answer.head().status >= 100 && answer.head().status < 200)) {
    if (answer.header_done())
      answer = http_parser(http_parser::role::response, limits::http_header_bytes_max, request.method == "HEAD");
    if (const auto read = read_header(answer, time_max); !read) {
      nothing_came = end == 0 && !answer.header_done();
      return sent ? read.error() : sent.error();
    }
  }
  nothing_came = false;
  http_client_response response;
  response.status = answer.head().status;
  response.fields = answer.head().fields;
  TROUPE_TRY_VOID(read_body(request, answer, response, time_max));
  if (!sent || !whole || !answer.head().keep_alive || begin != end) socket.close();
  return response;
}

http_client::http_client(http_client_options options) : state_(std::make_unique<state>(std::move(options))) {}
http_client::~http_client() = default;
http_client::http_client(http_client&&) noexcept = default;
http_client& http_client::operator=(http_client&&) noexcept = default;

result<http_client_response> http_client::send(const http_client_request& request) {
  auto& s = *state_;
  for (bool fresh = false; !fresh;) {
    if (s.socket.is_open() && s.socket.ended_by_peer()) s.socket.close();
    fresh = !s.socket.is_open();
    if (fresh) {
      auto opened =
          blocking_socket::connect(s.options.host, s.options.port, s.options.connect_time_max, s.options.cancel_fd);
      if (!opened) return opened.error().with_context("connect to " + s.where());
      s.socket = std::move(*opened);
      if (const auto secured = s.secure(); !secured) {
        s.socket.close();
        return secured.error().with_context("connect to " + s.where());
      }
    }
    bool nothing_came = false;
    auto response = s.exchange(request, nothing_came);
    if (response) return response;
    s.socket.close();
    // A kept-alive connection that the server closed just now: what can be asked twice is asked again, on a new one.
    const bool harmless = request.method == "GET" || request.method == "HEAD";
    if (fresh || !nothing_came || !harmless || response.error().code() != errc::unavailable)
      return response.error().with_context(request.method + (s.options.trust ? " https://" : " http://") + s.where() +
                                           request.target.substr(0, request.target.find('?')));
  }
  return error{errc::internal, "unreachable"};
}

result<http_client_response> http_client::send_ok(const http_client_request& request) {
  TROUPE_TRY(auto response, send(request));
  if (response.ok()) return response;
  return problem_error(response.status, response.field("Content-Type"), response.body);
}

const http_client_options& http_client::options() const noexcept { return state_->options; }
void http_client::disconnect() noexcept { state_->socket.close(); }

}  // namespace troupe::transport
