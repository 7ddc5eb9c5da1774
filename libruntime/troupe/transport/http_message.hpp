#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>
#include <utility>
#include <vector>

/// What an HTTP message says before its body. Pure, shared by server and client.
namespace troupe::transport {

struct http_field {
  std::string name;  ///< as sent
  std::string value;
};

struct http_head {
  std::string method;     ///< of a request
  std::string target;     ///< of a request, as sent: «/api/v1/jobs?limit=10»
  int status = 0;         ///< of a response
  unsigned version = 11;  ///< 10 or 11
  std::vector<http_field> fields;
  bool keep_alive = false;
  bool expects_continue = false;
  bool chunked = false;
  std::optional<std::uint64_t> content_length;

  /// The first field of that name, whatever its case; empty when there is none.
  [[nodiscard]] std::string_view field(std::string_view name) const noexcept;
  /// How many fields of that name there are.
  [[nodiscard]] std::size_t count(std::string_view name) const noexcept;
};

/// The value of the first cookie of that name (RFC 6265, 4.2).
std::optional<std::string_view> find_cookie(const http_head& head, std::string_view name) noexcept;

/// «OK», «Not Found»; «Unknown» for what this build doesn't know.
std::string_view reason_phrase(int status) noexcept;

/// Equal, ignoring the case of ASCII letters.
bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

/// «%2F» and so on; `plus_is_space` for query strings. `invalid_argument` for a % without two hexadecimal digits, and
/// for a zero byte.
result<std::string> percent_decode(std::string_view text, bool plus_is_space);
/// Everything but letters, digits and «-._~» as %XX: for a path segment or a query's value.
std::string percent_encode(std::string_view text);

/// A target taken apart: the path's segments and the query's pairs, decoded.
struct http_target {
  std::string path;  ///< as sent, without the query
  std::vector<std::string> segments;
  std::vector<std::pair<std::string, std::string>> query;
};
/// `invalid_argument` for what isn't in origin form («/…») or doesn't decode.
result<http_target> parse_target(std::string_view target);

/// «a Host header's value may reach this node»: localhost, 127.x.x.x, [::1], with any port or none. A web page under
/// any other name can't.
bool is_loopback_host(std::string_view host) noexcept;

}  // namespace troupe::transport
