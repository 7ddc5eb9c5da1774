#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace troupe::shell {

class session;

/// What Tab does with the text before the cursor.
struct completion {
  std::size_t erase = 0;             ///< characters before the cursor that go away
  std::string insert;                ///< what comes in their place, quoted where it must be
  std::vector<std::string> choices;  ///< when there are several, to be listed
};

/// Words of the shell, options, files, and names that live in the cluster (asked with a short deadline; no answer is no
/// choices).
completion complete(session& s, std::string_view before_cursor);

}  // namespace troupe::shell
