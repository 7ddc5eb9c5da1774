#pragma once
#include <compare>
#include <cstdint>
#include <string>
#include <troupe/base/bytes.hpp>

namespace troupe {

/// CRC-32C (Castagnoli), as iSCSI and ext4 use it. `crc32c("123456789")` is 0xE3069283. Chain with `seed`: crc32c(b,
/// crc32c(a)) == crc32c(a + b).
std::uint32_t crc32c(bytes_view data, std::uint32_t seed = 0) noexcept;

/// XXH3's 128 bits, for blocks and segments: finds accidents, not forgers.
struct digest128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  [[nodiscard]] std::string to_string() const;  ///< 32 hexadecimal digits, high half first
  friend auto operator<=>(const digest128&, const digest128&) = default;
};

digest128 xxh3_128(bytes_view data) noexcept;
std::uint64_t xxh3_64(bytes_view data) noexcept;

/// The same digest over bytes that come in pieces. Owned and used by one thread.
class digest128_stream {
 public:
  digest128_stream();
  ~digest128_stream();
  digest128_stream(digest128_stream&& other) noexcept;
  digest128_stream& operator=(digest128_stream&& other) noexcept;
  digest128_stream(const digest128_stream&) = delete;
  digest128_stream& operator=(const digest128_stream&) = delete;

  void update(bytes_view data);
  [[nodiscard]] digest128 finish() const;

 private:
  void* state_;
};

}  // namespace troupe
