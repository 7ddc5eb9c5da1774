#include <troupe/base/utf8.hpp>

#include <algorithm>
#include <cstdint>

namespace troupe {

std::size_t utf8_sequence(const char* at, const char* end, std::size_t& bad) noexcept {
  const auto octet = [](char c) { return static_cast<std::uint8_t>(c); };
  const auto first = octet(*at);
  bad = 1;
  std::size_t size = 0;
  std::uint8_t low = 0x80, high = 0xbf;
  if (first >= 0xc2 && first <= 0xdf) {
    size = 2;
  } else if (first >= 0xe0 && first <= 0xef) {
    size = 3;
    if (first == 0xe0) low = 0xa0;   // shorter ones exist
    if (first == 0xed) high = 0x9f;  // surrogates
  } else if (first >= 0xf0 && first <= 0xf4) {
    size = 4;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;  // above U+10FFFF
  } else {
    return 0;
  }
  for (std::size_t i = 1; i < size; ++i, ++bad) {
    if (at + i == end || octet(at[i]) < low || octet(at[i]) > high) return 0;
    low = 0x80;
    high = 0xbf;
  }
  return size;
}

std::string valid_utf8(std::string_view text) {
  const auto is_ascii = [](char c) { return static_cast<std::uint8_t>(c) < 0x80; };
  if (std::all_of(text.begin(), text.end(), is_ascii)) return std::string(text);
  std::string out;
  out.reserve(text.size());
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::size_t bad = 0;
    const auto size = is_ascii(*at) ? std::size_t{1} : utf8_sequence(at, end, bad);
    size != 0 ? out.append(at, size) : out.append("\xef\xbf\xbd");
    at += size != 0 ? size : bad;
  }
  return out;
}

}  // namespace troupe
