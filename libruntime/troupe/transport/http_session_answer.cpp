#include <cstdio>
#include <ctime>
#include <troupe/transport/http_session.hpp>

/// How a session answers: headers, whole bodies, and bodies that come piece by piece.
namespace troupe::transport {

namespace {

constexpr std::size_t collect_bytes = 64 * 1024;

/// Made once a second.
std::string_view http_date() {
  thread_local std::time_t made_at = -1;
  thread_local char text[64];
  if (const std::time_t now = std::time(nullptr); now != made_at) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);  // the process runs in the C locale
    made_at = now;
  }
  return text;
}

bool has_body(int status) { return status >= 200 && status != 204 && status != 304; }

}  // namespace

bytes http_session::make_header(int status, std::string_view content_type, const std::string& fields,
                                std::optional<std::size_t> length) {
  const auto& head = parser_->head();
  // A body that is not here yet, and is not known to be small, won't be waited for.
  if (!parser_->body_done() &&
      ((head.expects_continue && !body_started_) || head.chunked || head.content_length.value_or(0) > drain_bytes_max))
    close_after_ = true;
  const bool old = head.version < 11 && parser_->header_done();
  chunked_answer_ = !length && has_body(status) && !old;
  if (!length && has_body(status) && old) close_after_ = true;
  status_ = status;
  bytes out;
  out.reserve(256 + fields.size());
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(reason_phrase(status));
  out.append("\r\nDate: ").append(http_date());
  out += "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
  if (!content_type.empty()) out.append("Content-Type: ").append(content_type).append("\r\n");
  if (length && has_body(status)) out += "Content-Length: " + std::to_string(*length) + "\r\n";
  if (chunked_answer_) out += "Transfer-Encoding: chunked\r\n";
  if (!keeps_alive())
    out += "Connection: close\r\n";
  else if (old)
    out += "Connection: keep-alive\r\n";
  out += fields;
  out += "\r\n";
  if (!keeps_alive()) close_after_ = true;
  return out;
}

awaitable<result<void>> http_session::send_whole(int status, std::string_view content_type, const std::string& fields,
                                                 bytes_view body) {
  if (answer_ != answer::none) co_return error{errc::internal, "a second answer to one request"};
  answer_ = answer::whole;
  const auto header = make_header(status, content_type, fields, body.size());
  const bool bare = parser_->head().method == "HEAD" || !has_body(status);
  const std::array<bytes_view, 2> pieces{bytes_view(header), bare ? bytes_view() : body};
  auto sent = co_await stream_.write(std::span<const bytes_view>(pieces), after(server_->options.write_time_max));
  if (!sent) stream_.close();
  co_return sent;
}

awaitable<result<void>> http_session::begin(int status, std::string_view content_type, const std::string& fields) {
  if (answer_ != answer::none) co_return error{errc::internal, "a second answer to one request"};
  answer_ = answer::streaming;
  const auto header = make_header(status, content_type, fields, std::nullopt);
  auto sent = co_await stream_.write(bytes_view(header), after(server_->options.write_time_max));
  if (!sent) stream_.close();
  co_return sent;
}

/// What was collected and `data`, as one chunk.
awaitable<result<void>> http_session::send_chunk(bytes_view data) {
  const auto size = out_.size() + data.size();
  if (size == 0 || parser_->head().method == "HEAD" || !has_body(status_)) {
    out_.clear();
    co_return ok();
  }
  char line[24];
  const int line_bytes = std::snprintf(line, sizeof line, "%zx\r\n", size);
  const bytes_view head(line, chunked_answer_ ? static_cast<std::size_t>(line_bytes) : 0);
  const std::array<bytes_view, 4> pieces{head, bytes_view(out_), data,
                                         chunked_answer_ ? bytes_view("\r\n") : bytes_view()};
  auto sent = co_await stream_.write(std::span<const bytes_view>(pieces), after(server_->options.write_time_max));
  out_.clear();
  if (!sent) stream_.close();
  co_return sent;
}

awaitable<result<void>> http_session::write_streaming(bytes_view data) {
  if (answer_ != answer::streaming) co_return error{errc::cancelled, "this answer is not open"};
  if (!stream_.is_open()) co_return error{errc::unavailable, "the client is gone"};
  if (out_.size() + data.size() < collect_bytes) {
    out_ += data;
    co_return ok();
  }
  co_return co_await send_chunk(data);
}

awaitable<result<void>> http_session::end_streaming() {
  if (answer_ != answer::streaming) co_return error{errc::cancelled, "this answer is not open"};
  auto sent = co_await send_chunk({});
  if (sent && chunked_answer_ && parser_->head().method != "HEAD") {
    const bytes_view last = "0\r\n\r\n";
    sent = co_await stream_.write(last, after(server_->options.write_time_max));
  }
  answer_ = sent ? answer::ended : answer::cut;
  if (!sent) stream_.close();
  co_return sent;
}

}  // namespace troupe::transport
