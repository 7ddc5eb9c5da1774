#pragma once
#include <cstdint>
#include <shell/failure.hpp>
#include <string>

namespace troupe::shell {

/// Milliseconds of «7d», «12h», «30min», «90s», «500ms» or «1d12h»; `what` goes into the usage failure. A number
/// without a unit is refused: nobody would guess the same one.
outcome<std::int64_t> read_duration(const std::string& what, const std::string& text);

/// «7 d», «1 d 12 h», «500 ms»: whole units only, nothing rounded.
std::string duration_text(std::int64_t ms);

}  // namespace troupe::shell
