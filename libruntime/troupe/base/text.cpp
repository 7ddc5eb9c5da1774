#include <troupe/base/text.hpp>

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>

namespace troupe {

std::string to_hex(bytes_view data) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(data.size() * 2);
  for (const char c : data) {
    text += digits[static_cast<unsigned char>(c) >> 4];
    text += digits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

result<bytes> from_hex(std::string_view text) {
  const auto value = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  bytes out;
  if (text.size() % 2 != 0) return error{errc::invalid_argument, "hexadecimal text has an odd number of digits"};
  for (std::size_t at = 0; at < text.size(); at += 2) {
    const int high = value(text[at]), low = value(text[at + 1]);
    if (high < 0 || low < 0)
      return error{errc::invalid_argument, "not a hexadecimal digit in \"" + std::string(text.substr(at, 2)) + "\""};
    out += static_cast<char>(high * 16 + low);
  }
  return out;
}

std::string format_bytes(std::uint64_t bytes) {
  constexpr std::array units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  if (unit == 0)
    std::snprintf(text, sizeof text, "%llu B", static_cast<unsigned long long>(bytes));
  else
    std::snprintf(text, sizeof text, "%.*f %s", value < 10 ? 2 : value < 100 ? 1 : 0, value, units[unit]);
  return text;
}

result<std::uint64_t> parse_bytes(std::string_view text) {
  const error wrong{errc::invalid_argument,
                    "not a size: \"" + std::string(text.substr(0, 64)) + "\" (write 512, 64KiB, 1g)"};
  std::uint64_t value = 0;
  const auto [rest, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{}) return wrong;
  std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (unit.empty()) return value;
  int shift = 0;
  switch (unit.front() | 0x20) {
    case 'b':
      shift = 0;
      break;
    case 'k':
      shift = 10;
      break;
    case 'm':
      shift = 20;
      break;
    case 'g':
      shift = 30;
      break;
    case 't':
      shift = 40;
      break;
    default:
      return wrong;
  }
  unit.remove_prefix(1);
  if (shift > 0 && !unit.empty() && (unit.front() | 0x20) == 'i') unit.remove_prefix(1);
  if (shift > 0 && !unit.empty() && (unit.front() | 0x20) == 'b') unit.remove_prefix(1);
  if (!unit.empty() || value > (UINT64_MAX >> shift)) return wrong;
  return value << shift;
}

result<void> check_name(std::string_view what, std::string_view name) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  bool good = !name.empty() && name.size() <= 128 && (lower(name[0]) || name[0] == '_');
  for (const char c : name) good = good && (lower(c) || digit(c) || c == '_' || c == '.' || c == '-');
  if (good) return ok();
  return error{errc::invalid_argument,
               "not a name for a " + std::string(what) + ": \"" + std::string(name.substr(0, 128)) +
                   "\" (a lower-case letter or _, then lower-case letters, digits, _, . or -; at most 128 characters)"};
}

std::string format_time(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms >= 0 ? unix_ms / 1000 : (unix_ms - 999) / 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[64];
  std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, static_cast<int>(unix_ms - seconds * 1000));
  return text;
}

bool equal_constant_time(std::string_view a, std::string_view b) noexcept {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(b.empty() ? 0 : b[i % b.size()]);
  return difference == 0;
}

}  // namespace troupe
