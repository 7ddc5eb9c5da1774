#include <array>
#include <charconv>
#include <limits>
#include <shell/language/duration.hpp>
#include <utility>

namespace troupe::shell {
namespace {

struct unit {
  const char* name;
  std::int64_t ms;
};
// Longest first, so that «ms» is not read as minutes.
constexpr std::array<unit, 7> units{{{"min", 60'000},
                                     {"ms", 1},
                                     {"w", 7LL * 24 * 3600 * 1000},
                                     {"d", 24LL * 3600 * 1000},
                                     {"h", 3600 * 1000},
                                     {"m", 60'000},
                                     {"s", 1000}}};

}  // namespace

outcome<std::int64_t> read_duration(const std::string& what, const std::string& text) {
  const auto wrong =
      usage_failure(what + " takes a time with its unit, such as 7d, 12h, 30min, 90s or 500ms, not \"" + text + "\"");
  std::int64_t total = 0;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::uint64_t number = 0;
    const auto [rest, failed] = std::from_chars(at, end, number);
    if (failed != std::errc{}) return wrong;
    at = rest;
    const unit* found = nullptr;
    for (const auto& u : units) {
      if (std::string_view(at, static_cast<std::size_t>(end - at)).starts_with(u.name)) {
        found = &u;
        break;
      }
    }
    if (found == nullptr) return wrong;
    at += std::string_view(found->name).size();
    const auto room = static_cast<std::uint64_t>((std::numeric_limits<std::int64_t>::max() - total) / found->ms);
    if (number > room) return usage_failure(what + ": \"" + text + "\" is longer than anything lasts");
    total += static_cast<std::int64_t>(number) * found->ms;
  }
  if (text.empty()) return wrong;
  return total;
}

std::string duration_text(std::int64_t ms) {
  constexpr std::array<unit, 5> shown{
      {{"d", 24LL * 3600 * 1000}, {"h", 3600 * 1000}, {"min", 60'000}, {"s", 1000}, {"ms", 1}}};
  std::string out;
  for (const auto& u : shown) {
    if (ms < u.ms) continue;
    out += (out.empty() ? "" : " ") + std::to_string(ms / u.ms) + " " + u.name;
    ms %= u.ms;
  }
  return out.empty() ? "0 s" : out;
}

}  // namespace troupe::shell
