#include <support/catch.hpp>
#include <troupe/transport/http_parser.hpp>

using namespace troupe;
using namespace troupe::transport;

namespace {
/// Hands the text in, `step` bytes more each time, and gives back the decoded body.
result<std::string> take(http_parser& parser, std::string text, std::size_t step) {
  std::string waiting, body;
  char out[7];
  for (std::size_t at = 0; at < text.size(); at += step) {
    waiting += text.substr(at, step);
    if (!parser.header_done()) {
      TROUPE_TRY(auto used, parser.put_header(waiting));
      waiting.erase(0, used);
    }
    while (parser.header_done() && !parser.body_done()) {
      TROUPE_TRY(auto done, parser.decode_body(waiting, out));
      waiting.erase(0, done.consumed);
      body.append(out, done.produced);
      if (done.produced == 0) break;
    }
  }
  return body;
}
}  // namespace

TEST_CASE("requests are read however they are cut") {
  const std::string plain =
      "POST /x?y=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 11\r\nExpect: 100-Continue\r\n\r\nhello world";
  const std::string chunked =
      "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n6;ext=1\r\nhello "
      "\r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n";
  for (const std::size_t step : {1, 2, 3, 7, 16, 1000}) {
    http_parser first(http_parser::role::request);
    CHECK(take(first, plain, step) == result<std::string>("hello world"));
    CHECK(first.body_done());
    CHECK(first.head().method == "POST");
    CHECK(first.head().target == "/x?y=1");
    CHECK(first.head().content_length == 11u);
    CHECK(first.head().expects_continue);
    CHECK(first.head().keep_alive);
    http_parser second(http_parser::role::request);
    CHECK(take(second, chunked, step) == result<std::string>("hello world"));
    CHECK(second.body_done());
    CHECK(second.head().chunked);
  }
}

TEST_CASE("what would be read in two ways is refused") {
  for (const char* wrong : {"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                            "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nNo colon\r\n\r\n",
                            "GET / HTTP/3.0\r\n\r\n", "GET  / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\r\n\r\n"}) {
    http_parser parser(http_parser::role::request);
    INFO(wrong);
    CHECK(parser.put_header(wrong).has_error());
  }
}

TEST_CASE("a header above the limit is refused before it is whole") {
  http_parser parser(http_parser::role::request, 1000);
  const auto used = parser.put_header("GET / HTTP/1.1\r\nX: " + std::string(2000, 'x'));
  REQUIRE(!used);
  CHECK(used.error().code() == errc::resource_exhausted);
}

TEST_CASE("a response without a length ends with the connection, one to HEAD has no body") {
  http_parser open(http_parser::role::response);
  CHECK(take(open, "HTTP/1.1 200 OK\r\n\r\nabc", 100) == result<std::string>("abc"));
  CHECK(!open.body_done());
  CHECK(!open.head().keep_alive);
  CHECK_NOTHROW(open.put_eof().value());
  CHECK(open.body_done());

  http_parser cut(http_parser::role::response);
  (void)take(cut, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", 100);
  CHECK(cut.put_eof().error().code() == errc::unavailable);

  http_parser head(http_parser::role::response, 16384, true);
  (void)take(head, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 100);
  CHECK(head.body_done());
  http_parser none(http_parser::role::response);
  (void)take(none, "HTTP/1.1 204 No Content\r\n\r\n", 100);
  CHECK(none.body_done());
}
