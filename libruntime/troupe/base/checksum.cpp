#include <isa-l/crc.h>
#include <xxhash.h>

#include <algorithm>
#include <troupe/base/checksum.hpp>
#include <troupe/base/invariant.hpp>
#include <troupe/base/text.hpp>
#include <utility>

namespace troupe {

std::uint32_t crc32c(bytes_view data, std::uint32_t seed) noexcept {
  // crc32_iscsi takes an int length and neither inverts at the start nor at the end.
  std::uint32_t crc = ~seed;
  while (!data.empty()) {
    const auto piece = std::min<std::size_t>(data.size(), std::size_t{1} << 30);
    auto* start = reinterpret_cast<unsigned char*>(const_cast<char*>(data.data()));
    crc = ::crc32_iscsi(start, static_cast<int>(piece), crc);
    data.remove_prefix(piece);
  }
  return ~crc;
}

std::string digest128::to_string() const {
  char raw[16];
  store_le(raw, __builtin_bswap64(high));
  store_le(raw + 8, __builtin_bswap64(low));
  return to_hex({raw, sizeof raw});
}

digest128 xxh3_128(bytes_view data) noexcept {
  const auto hash = XXH3_128bits(data.data(), data.size());
  return {hash.low64, hash.high64};
}

std::uint64_t xxh3_64(bytes_view data) noexcept { return XXH3_64bits(data.data(), data.size()); }

digest128_stream::digest128_stream() : state_(XXH3_createState()) {
  TROUPE_INVARIANT(state_ != nullptr, "no memory for a digest");
  XXH3_128bits_reset(static_cast<XXH3_state_t*>(state_));
}
digest128_stream::~digest128_stream() { XXH3_freeState(static_cast<XXH3_state_t*>(state_)); }
digest128_stream::digest128_stream(digest128_stream&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
digest128_stream& digest128_stream::operator=(digest128_stream&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}
void digest128_stream::update(bytes_view data) {
  XXH3_128bits_update(static_cast<XXH3_state_t*>(state_), data.data(), data.size());
}
digest128 digest128_stream::finish() const {
  const auto hash = XXH3_128bits_digest(static_cast<const XXH3_state_t*>(state_));
  return {hash.low64, hash.high64};
}

}  // namespace troupe
