#include <troupe/api/json.hpp>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <cctype>
#include <charconv>
#include <cmath>
#include <ctime>
#include <troupe/base/text.hpp>

namespace troupe::api {

std::string to_string(timestamp when) { return format_time(when.unix_ms); }

result<timestamp> parse_timestamp(std::string_view text) {
  // 2026-11-23T08:58:29[.123]Z; shorter ones cannot be read by position.
  const error wrong{errc::invalid_argument,
                    "not a time: \"" + std::string(text.substr(0, 64)) + "\" (write 2026-11-23T08:58:29Z)"};
  if (text.size() < 20 || text.size() > 40 || text.back() != 'Z') return wrong;
  if (text[4] != '-' || text[7] != '-' || text[10] != 'T' || text[13] != ':' || text[16] != ':') return wrong;
  const auto digits = [&](std::size_t at, std::size_t count, int& value) {
    const auto* end = text.data() + at + count;
    const auto [rest, failure] = std::from_chars(text.data() + at, end, value);
    return failure == std::errc{} && rest == end && value >= 0;
  };
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0;
  if (!digits(0, 4, year) || !digits(5, 2, month) || !digits(8, 2, day) || !digits(11, 2, hour) ||
      !digits(14, 2, minute) || !digits(17, 2, second))
    return wrong;
  if (month < 1 || month > 12 || day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) return wrong;
  std::int64_t milliseconds = 0;
  if (text[19] == '.') {
    std::int64_t scale = 100;
    if (text.size() < 22) return wrong;
    for (std::size_t at = 20; at + 1 < text.size(); ++at, scale /= 10) {
      if (std::isdigit(static_cast<unsigned char>(text[at])) == 0) return wrong;
      milliseconds += (text[at] - '0') * scale;
    }
  } else if (text.size() != 20) {
    return wrong;
  }
  std::tm parts{};
  parts.tm_year = year - 1900;
  parts.tm_mon = month - 1;
  parts.tm_mday = day;
  parts.tm_hour = hour;
  parts.tm_min = minute;
  parts.tm_sec = second;
  const auto seconds = static_cast<std::int64_t>(::timegm(&parts));
  constexpr std::int64_t year_10000 = 253'402'300'800;
  if (seconds >= year_10000)
    return wrong;  // a leap second at the end of 9999: it could not be written with four digits
  return timestamp{seconds * 1000 + milliseconds};
}

namespace detail {
namespace {

/// How deep what we send may be nested: a list of modules, their jobs, and a schema of 16 levels with two for each.
constexpr std::size_t nesting_max = 64;

/// No number is infinite: JSON has no word for it, but `1e999` reads as one.
bool is_finite(const json::value& in) {
  if (in.is_double()) return std::isfinite(in.get_double());
  if (const auto* array = in.if_array()) return std::all_of(array->begin(), array->end(), is_finite);
  if (const auto* object = in.if_object())
    return std::all_of(object->begin(), object->end(), [](const auto& member) { return is_finite(member.value()); });
  return true;
}

}  // namespace

error unexpected(const std::string& where, std::string_view expected, const json::value& found) {
  auto text = json::serialize(found);
  if (text.size() > 64) text = text.substr(0, 61) + "...";
  return error{errc::invalid_argument, where + ": expected " + std::string(expected) + ", found " + text};
}

result<json::value> parse(std::string_view text, std::string_view what) {
  boost::json::error_code failed;
  json::parse_options options;
  options.max_depth = nesting_max;
  auto value = json::parse(text, failed, {}, options);
  if (failed) return error{errc::invalid_argument, std::string(what) + ": not JSON: " + failed.message()};
  if (!is_finite(value)) return error{errc::invalid_argument, std::string(what) + ": a number in it is out of range"};
  return value;
}

}  // namespace detail

}  // namespace troupe::api
