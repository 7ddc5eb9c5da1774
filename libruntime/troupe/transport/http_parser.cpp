#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <troupe/base/invariant.hpp>
#include <troupe/transport/http_parser.hpp>
#include <variant>

namespace troupe::transport {

namespace {

namespace http = boost::beast::http;
using request_parser = http::request_parser<http::buffer_body>;
using response_parser = http::response_parser<http::buffer_body>;

error parser_error(const boost::system::error_code& failure) {
  if (failure == http::error::header_limit)
    return {errc::resource_exhausted, "the header is longer than this side allows"};
  return {errc::invalid_argument, "not HTTP/1.1: " + failure.message()};
}

void fill_start(http_head& head, const http::request_header<>& from) {
  head.method = std::string_view(from.method_string());
  head.target = std::string_view(from.target());
}
void fill_start(http_head& head, const http::response_header<>& from) {
  head.status = static_cast<int>(from.result_int());
}

}  // namespace

struct http_parser::state {
  std::variant<std::monostate, request_parser, response_parser> parser;
  http_head head;
  bool header_done = false;

  template <class F>
  auto visit(F f) {
    if (auto* request = std::get_if<request_parser>(&parser)) return f(*request);
    return f(std::get<response_parser>(parser));
  }
};

http_parser::http_parser(role what, std::size_t header_bytes_max, bool answers_head)
    : state_(std::make_unique<state>()) {
  if (what == role::request)
    state_->parser.emplace<request_parser>();
  else
    state_->parser.emplace<response_parser>();
  state_->visit([&](auto& parser) {
    parser.header_limit(static_cast<std::uint32_t>(header_bytes_max));
    parser.body_limit(boost::none);  // limits of bodies are the reader's business: imports have none
    parser.eager(false);
    if (answers_head) parser.skip(true);
    return 0;
  });
}

http_parser::~http_parser() = default;
http_parser::http_parser(http_parser&&) noexcept = default;
http_parser& http_parser::operator=(http_parser&&) noexcept = default;

result<std::size_t> http_parser::put_header(bytes_view in) {
  TROUPE_INVARIANT(!state_->header_done, "put_header after the header's end");
  return state_->visit([&](auto& parser) -> result<std::size_t> {
    boost::system::error_code failure;
    const auto used = parser.put(boost::asio::const_buffer(in.data(), in.size()), failure);
    if (failure && failure != http::error::need_more) return parser_error(failure);
    if (!parser.is_header_done()) return used;
    parser.eager(true);
    const auto& from = parser.get();
    auto& head = state_->head;
    fill_start(head, from.base());
    head.version = from.version();
    for (const auto& field : from) {
      const auto name = field.name_string();
      const auto value = field.value();
      head.fields.push_back({std::string(name.data(), name.size()), std::string(value.data(), value.size())});
    }
    head.keep_alive = parser.keep_alive();
    head.chunked = parser.chunked();
    if (const auto length = parser.content_length()) head.content_length = *length;
    head.expects_continue = head.version >= 11 && equal_ignoring_case(head.field("Expect"), "100-continue");
    state_->header_done = true;
    return used;
  });
}

bool http_parser::header_done() const noexcept { return state_->header_done; }
const http_head& http_parser::head() const noexcept { return state_->head; }

result<http_parser::step> http_parser::decode_body(bytes_view in, std::span<char> out) {
  return state_->visit([&](auto& parser) -> result<step> {
    step done;
    auto& body = parser.get().body();
    // Beast stops at the end of a chunk's header, too: go on until nothing moves.
    while (!in.empty() && !out.empty() && !parser.is_done()) {
      body.data = out.data();
      body.size = out.size();
      boost::system::error_code failure;
      const auto used = parser.put(boost::asio::const_buffer(in.data(), in.size()), failure);
      if (failure && failure != http::error::need_more && failure != http::error::need_buffer)
        return parser_error(failure);
      const auto made = out.size() - body.size;
      in.remove_prefix(used);
      out = out.subspan(made);
      done.consumed += used;
      done.produced += made;
      if (used == 0 && made == 0) break;
    }
    return done;
  });
}

bool http_parser::body_done() const noexcept {
  return state_->visit([](auto& parser) { return parser.is_done(); });
}

result<void> http_parser::put_eof() {
  return state_->visit([](auto& parser) -> result<void> {
    boost::system::error_code failure;
    parser.put_eof(failure);
    if (failure) return error{errc::unavailable, "the other side closed the connection within a message"};
    return ok();
  });
}

}  // namespace troupe::transport
