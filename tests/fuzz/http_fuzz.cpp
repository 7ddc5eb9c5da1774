/// HTTP/1.1 as the server and the shell's client read it. Input: a byte for what (request, response, response to HEAD,
/// target or problem), one for how it is cut, then the text.
#include <algorithm>
#include <string>
#include <support/fuzz.hpp>
#include <troupe/base/utf8.hpp>
#include <troupe/transport/http_parser.hpp>
#include <troupe/transport/problem.hpp>

namespace troupe::fuzz {
namespace {

using namespace transport;

struct message {
  bool good = false;  ///< no error so far; it may still want more
  bool header_done = false;
  bool done = false;
  std::string head;
  bytes body;
};

std::string text_of(const http_head& head) {
  auto out =
      head.method + '\n' + head.target + '\n' + std::to_string(head.status) + '\n' + std::to_string(head.version);
  for (const auto& f : head.fields) out += '\n' + f.name + ": " + f.value;
  out += '\n' + std::to_string(head.keep_alive) + std::to_string(head.expects_continue) + std::to_string(head.chunked);
  return out + (head.content_length ? std::to_string(*head.content_length) : "-");
}

/// As the readers do it: what is not used is handed in again, with what came since.
message read(bytes_view text, http_parser::role role, bool answers_head, std::size_t step, std::size_t room) {
  http_parser parser(role, limits::http_header_bytes_max, answers_head);
  message m;
  bytes waiting;
  std::string out(room, '\0');
  for (std::size_t at = 0; at < text.size(); at += step) {
    waiting += text.substr(at, step);
    if (!parser.header_done()) {
      const auto used = parser.put_header(waiting);
      if (!used) return m;
      TROUPE_INVARIANT(*used <= waiting.size(), "more used than there was");
      waiting.erase(0, *used);
    }
    while (parser.header_done() && !parser.body_done()) {
      const auto done = parser.decode_body(waiting, out);
      if (!done) return m;
      TROUPE_INVARIANT(done->consumed <= waiting.size() && done->produced <= out.size(), "more than there was");
      TROUPE_INVARIANT(done->produced <= done->consumed, "a body that is longer than its bytes");
      waiting.erase(0, done->consumed);
      m.body.append(out, 0, done->produced);
      if (done->consumed == 0 && done->produced == 0) break;
    }
  }
  m.good = true;
  m.header_done = parser.header_done();
  m.done = m.header_done && parser.body_done();
  if (!m.header_done) return m;
  const auto& head = parser.head();
  m.head = text_of(head);
  TROUPE_INVARIANT(!head.chunked || !head.content_length, "a body with two lengths");
  const bool bodyless = answers_head || head.status == 204 || head.status == 304 || head.status / 100 == 1;
  if (m.done && head.content_length && !bodyless)
    TROUPE_INVARIANT(m.body.size() == *head.content_length, "a body of another length than was said");
  TROUPE_INVARIANT(head.count("Content-Length") <= 1 || head.content_length, "a length that was overlooked");
  (void)parser.put_eof();
  return m;
}

void check_message(bytes_view text, http_parser::role role, bool answers_head, std::size_t step) {
  const auto whole = read(text, role, answers_head, text.size() + 1, 64 << 10);
  const auto cut = read(text, role, answers_head, step, 1 + step % 13);
  // What is refused may be noticed sooner in one of them, as long as the other does not take it for a whole message.
  if (whole.good != cut.good) {
    TROUPE_INVARIANT(!whole.done && !cut.done, "a message is refused or not, depending on how it is cut");
    return;
  }
  if (!whole.good) return;
  TROUPE_INVARIANT(whole.header_done == cut.header_done && whole.done == cut.done, "an end depends on how it is cut");
  TROUPE_INVARIANT(whole.head == cut.head, "a head is read differently when it comes in pieces");
  TROUPE_INVARIANT(whole.body == cut.body, "a body is read differently when it comes in pieces");
}

void check_target(bytes_view text) {
  for (const bool plus : {false, true})
    if (const auto plain = percent_decode(text, plus)) {
      TROUPE_INVARIANT(plain->find('\0') == std::string::npos && plain->size() <= text.size(), "a zero got in");
      const auto again = percent_decode(percent_encode(*plain), plus);
      TROUPE_INVARIANT(again.has_value() && *again == *plain, "text changes when it is encoded and decoded");
    }
  if (const auto target = parse_target(text)) {
    TROUPE_INVARIANT(target->path.starts_with('/'), "a path that is none");
    TROUPE_INVARIANT(target->segments.size() + target->query.size() <= text.size(), "more segments than text");
  }
  if (is_loopback_host(text))
    TROUPE_INVARIANT(text.find('@') == bytes_view::npos, "a host with a user counts as this one");
}

void check_problem(bytes_view body) {
  for (const int status : {404, 500}) {
    const auto told = problem_error(status, "application/problem+json; charset=utf-8", body);
    TROUPE_INVARIANT(told.code() != errc::none && told.code() <= errc::internal, "a failed answer without an error");
    TROUPE_INVARIANT(!told.message().empty(), "a failed answer without a word");
    const auto again =
        problem_error(status, "application/problem+json", problem_json(status, told.message(), told.code()));
    TROUPE_INVARIANT(again == error(told.code(), valid_utf8(told.message())), "an error changes: " + again.message());
  }
}

}  // namespace

void one_input(bytes_view input) {
  if (input.size() < 2) return;
  const auto text = input.substr(2);
  const std::size_t step = 1 + static_cast<unsigned char>(input[1]) % 64;
  switch (input[0] & 3) {
    case 0:
      return check_message(text, http_parser::role::request, false, step);
    case 1:
      return check_message(text, http_parser::role::response, false, step);
    case 2:
      return check_message(text, http_parser::role::response, true, step);
    default:
      check_target(text);
      return check_problem(text);
  }
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  const auto add = [&](char what, std::string text) {
    made.push_back(bytes{what, static_cast<char>(text.size() % 17)} + text);
  };
  add(0, "GET /api/v1/jobs?limit=10&cursor=a%2Fb HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer t\r\n\r\n");
  add(0, "POST /api/v1/jobs HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\nhello world");
  add(0,
      "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6;ext=1\r\nhello "
      "\r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n");
  add(0, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /next HTTP/1.0\r\n\r\n");
  add(1, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
  add(1,
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");
  add(1, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end");
  add(2, "HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n");
  add(3, "/api/v1/datasets/a%2Fb/records?limit=10&x=a+b&y");
  add(3, "127.0.0.1:8080");
  add(3, "[::1]:80");
  add(3, problem_json(404, "no dataset is called \"corpus\"", errc::not_found));
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes, 1 << 20, 64); }

}  // namespace troupe::fuzz
