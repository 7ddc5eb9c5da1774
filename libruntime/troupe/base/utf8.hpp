#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace troupe {

/// Looks at the sequence that begins at `at` with a byte above 0x7f (Unicode 15, table 3-7). Returns its length when it
/// is well formed; else 0, and `bad` is the length of the maximal part that could have begun one, at least 1.
std::size_t utf8_sequence(const char* at, const char* end, std::size_t& bad) noexcept;

/// The same text with U+FFFD for each maximal bad part: what goes into JSON has to be UTF-8, and what modules, file
/// names and clients say need not be.
std::string valid_utf8(std::string_view text);

}  // namespace troupe
