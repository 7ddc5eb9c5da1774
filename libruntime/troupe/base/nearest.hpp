#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace troupe {

/// The candidate that was probably meant: at most a third of its letters (and at least one) differ. Empty when none is
/// near.
std::string nearest(std::string_view typed, const std::vector<std::string>& candidates);

}  // namespace troupe
