#include <algorithm>
#include <charconv>
#include <troupe/transport/http_message.hpp>

namespace troupe::transport {

namespace {
char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = lower(c);
  return small >= 'a' && small <= 'f' ? small - 'a' + 10 : -1;
}

error bad_target(std::string_view target) {
  return {errc::invalid_argument, "not a path: \"" + std::string(target.substr(0, 128)) + "\""};
}
}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view http_head::field(std::string_view name) const noexcept {
  for (const auto& f : fields)
    if (equal_ignoring_case(f.name, name)) return f.value;
  return {};
}

std::size_t http_head::count(std::string_view name) const noexcept {
  return static_cast<std::size_t>(
      std::count_if(fields.begin(), fields.end(), [&](const auto& f) { return equal_ignoring_case(f.name, name); }));
}

std::optional<std::string_view> find_cookie(const http_head& head, std::string_view name) noexcept {
  for (const auto& field : head.fields) {
    if (!equal_ignoring_case(field.name, "Cookie")) continue;
    std::string_view left = field.value;
    while (!left.empty()) {
      const auto end = std::min(left.find(';'), left.size());
      auto pair = left.substr(0, end);
      left.remove_prefix(std::min(end + 1, left.size()));
      pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
      const auto equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    }
  }
  return std::nullopt;
}

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 100:
      return "Continue";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 301:
      return "Moved Permanently";
    case 302:
      return "Found";
    case 303:
      return "See Other";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[at] == '%') {
      const int high = at + 2 < text.size() ? hex_value(text[at + 1]) : -1;
      const int low = at + 2 < text.size() ? hex_value(text[at + 2]) : -1;
      if (high < 0 || low < 0 || (high == 0 && low == 0)) return bad_target(text);
      out += static_cast<char>(high * 16 + low);
      at += 2;
    } else if (text[at] == '\0') {
      return bad_target(text);
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string percent_encode(std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const char small = lower(c);
    if ((small >= 'a' && small <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[static_cast<unsigned char>(c) >> 4];
      out += digits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

result<http_target> parse_target(std::string_view target) {
  if (target.empty() || target.front() != '/') return bad_target(target);
  target = target.substr(0, target.find('#'));
  const auto question = target.find('?');
  http_target out;
  out.path = target.substr(0, question);
  for (std::size_t at = 1; at <= out.path.size();) {
    const auto slash = std::min(out.path.find('/', at), out.path.size());
    TROUPE_TRY(auto segment, percent_decode(std::string_view(out.path).substr(at, slash - at), false));
    // Not normalised: a path with dots in it is no path of ours.
    if (segment == "." || segment == "..") return bad_target(target);
    out.segments.push_back(std::move(segment));
    at = slash + 1;
  }
  if (out.segments.size() > 1 && out.segments.back().empty()) out.segments.pop_back();  // «/jobs/» is «/jobs»
  if (question == std::string_view::npos) return out;
  auto rest = target.substr(question + 1);
  while (!rest.empty()) {
    const auto pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    TROUPE_TRY(auto name, percent_decode(pair.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) {
      TROUPE_TRY(value, percent_decode(pair.substr(equals + 1), true));
    }
    out.query.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

bool is_loopback_host(std::string_view host) noexcept {
  std::string_view name = host;
  std::string_view port;
  if (!host.empty() && host.front() == '[') {
    const auto end = host.find(']');
    if (end == std::string_view::npos) return false;
    name = host.substr(0, end + 1);
    port = host.substr(end + 1);
  } else if (const auto colon = host.find(':'); colon != std::string_view::npos) {
    name = host.substr(0, colon);
    port = host.substr(colon);
  }
  if (!port.empty()) {
    if (port.front() != ':' || port.size() > 6) return false;
    if (!std::all_of(port.begin() + 1, port.end(), [](char c) { return c >= '0' && c <= '9'; })) return false;
  }
  if (equal_ignoring_case(name, "localhost") || name == "[::1]") return true;
  // 127.x.x.x, every part a number up to 255: «127.evil.example» is none.
  const char* at = name.data();
  const char* const end = name.data() + name.size();
  for (int part = 0; part < 4; ++part) {
    unsigned value = 0;
    const auto [next, failure] = std::from_chars(at, end, value);
    if (failure != std::errc{} || next - at > 3 || value > 255 || (part == 0 && value != 127)) return false;
    if (part == 3) return next == end;
    if (next == end || *next != '.') return false;
    at = next + 1;
  }
  return false;
}

}  // namespace troupe::transport
