#pragma once
#include <string_view>

namespace troupe {

/// Stops the process: a promise of ours is broken, and going on would spread the damage. Prints what was expected, what
/// was found and where.
[[noreturn]] void invariant_failed(const char* expression, const char* file, int line, std::string_view found) noexcept;

}  // namespace troupe

/// Checked in release builds too. `TROUPE_INVARIANT(a <= b, "a is " + std::to_string(a))`.
#define TROUPE_INVARIANT(condition, found)                                 \
  do {                                                                     \
    if (!(condition)) [[unlikely]]                                         \
      ::troupe::invariant_failed(#condition, __FILE__, __LINE__, (found)); \
  } while (false)
