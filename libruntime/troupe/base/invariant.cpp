#include <troupe/base/invariant.hpp>

#include <cstdio>
#include <cstdlib>

namespace troupe {

void invariant_failed(const char* expression, const char* file, int line, std::string_view found) noexcept {
  std::fprintf(stderr, "troupe: broken invariant at %s:%d: expected %s; found: %.*s\n", file, line, expression,
               static_cast<int>(found.size()), found.data());
  std::fflush(stderr);
  std::abort();
}

}  // namespace troupe
