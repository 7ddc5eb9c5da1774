#include <troupe/base/random.hpp>

#include <sys/random.h>

#include <troupe/base/invariant.hpp>
#include <troupe/base/text.hpp>

namespace troupe {

void fill_random(void* data, std::size_t size) {
  auto* at = static_cast<char*>(data);
  while (size > 0) {
    const auto got = ::getrandom(at, size, 0);
    if (got < 0 && errno == EINTR) continue;
    TROUPE_INVARIANT(got > 0, "getrandom gives nothing");
    at += got;
    size -= static_cast<std::size_t>(got);
  }
}

std::string random_hex(std::size_t octets) {
  std::string raw(octets, '\0');
  fill_random(raw.data(), raw.size());
  return to_hex(raw);
}

}  // namespace troupe
