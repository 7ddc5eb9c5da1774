#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <troupe/base/bytes.hpp>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

/// The hash that sends a key to its partition. **Fixed for ever**: the output of a job is laid out by it, and attempts
/// of one task on different machines must agree. It does not resist somebody who looks for collisions.
///
///   fold(x, y)        low ^ high half of the 128-bit product x * y
///   final(x, y, n)    p = (x ^ K1) * (y ^ K2);  fold(low(p) ^ K0 ^ n, high(p) ^ K3)
///   n <= 16           a, b = the bytes, padded with zeros to 16, as two little-endian numbers;  final(a, b, n)
///   n > 16            s = K0;  for every 16 bytes from the start that leave at least one over: s = fold(a ^ K1 ^ s, b
///   ^ K2);
///                     a, b = the last 16 bytes (they may overlap);  final(a ^ s, b, n)
///
/// partition = (hash >> 32) % partitions. Tables take the high bits of the same half, so that keys of one partition
/// still spread.
namespace troupe::sdk {

inline constexpr std::uint64_t hash_k0 = 0xa0761d6478bd642f;
inline constexpr std::uint64_t hash_k1 = 0xe7037ed1a0b428db;
inline constexpr std::uint64_t hash_k2 = 0x8ebc6af09c88c6e3;
inline constexpr std::uint64_t hash_k3 = 0x589965cc75374cc3;

__extension__ typedef unsigned __int128 uint128;

inline std::uint64_t hash_fold(std::uint64_t x, std::uint64_t y) noexcept {
  const auto product = static_cast<uint128>(x) * y;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

inline std::uint64_t hash_final(std::uint64_t a, std::uint64_t b, std::uint64_t size) noexcept {
  const auto product = static_cast<uint128>(a ^ hash_k1) * (b ^ hash_k2);
  return hash_fold(static_cast<std::uint64_t>(product) ^ hash_k0 ^ size,
                   static_cast<std::uint64_t>(product >> 64) ^ hash_k3);
}

/// Up to this many bytes a key lies inside its table slot.
inline constexpr std::size_t short_key_bytes = 16;

/// True when `reach` bytes from `data` lie in one page, so that reading past a string's end cannot fault. Never true
/// under AddressSanitizer, which would object.
inline bool readable_ahead(const char* data, std::size_t reach) noexcept {
#if defined(__SANITIZE_ADDRESS__)
  (void)data, (void)reach;
  return false;
#else
  return (reinterpret_cast<std::uintptr_t>(data) & 4095) <= 4096 - reach;
#endif
}

/// The first `size` <= 16 bytes as two numbers, padded with zeros. Reads 16 bytes at once where that cannot fault: a
/// branch per length would be mispredicted.
inline void load_short(const char* data, std::size_t size, std::uint64_t& a, std::uint64_t& b) noexcept {
#if defined(__SSE2__)
  alignas(64) static constexpr unsigned char keep[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                         255, 255, 255, 255, 255, 255, 255, 255};
  if (readable_ahead(data, 16)) [[likely]] {
    asm("" : "+r"(data));  // the compiler must not reason about how long the string is
    const auto all = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
    const auto mask = _mm_loadu_si128(reinterpret_cast<const __m128i*>(keep + 16 - size));
    const auto kept = _mm_and_si128(all, mask);
    a = static_cast<std::uint64_t>(_mm_cvtsi128_si64(kept));
    b = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(kept, kept)));
    return;
  }
#endif
  char padded[16] = {};
  if (size != 0) std::memcpy(padded, data, size);
  a = load_le<std::uint64_t>(padded);
  b = load_le<std::uint64_t>(padded + 8);
}

/// Of more than 16 bytes.
inline std::uint64_t hash_long(const char* data, std::size_t size) noexcept {
  std::uint64_t state = hash_k0;
  const char* const last = data + size - 16;
  for (; data < last; data += 16)
    state = hash_fold(load_le<std::uint64_t>(data) ^ hash_k1 ^ state, load_le<std::uint64_t>(data + 8) ^ hash_k2);
  return hash_final(load_le<std::uint64_t>(last) ^ state, load_le<std::uint64_t>(last + 8), size);
}

/// Example: hash_key("troupe") == 0x0da07e861d68719e; tests/unit/sdk/hash_test.cpp pins more.
inline std::uint64_t hash_key(bytes_view key) noexcept {
  if (key.size() > short_key_bytes) return hash_long(key.data(), key.size());
  std::uint64_t a = 0, b = 0;
  load_short(key.data(), key.size(), a, b);
  return hash_final(a, b, key.size());
}

/// A key as tables and queues hold it. Up to 16 bytes: themselves in a and b. Longer: a is where they are, b is their
/// whole hash.
struct packed_key {
  std::uint64_t a;
  std::uint64_t b;
  std::uint64_t meta;  ///< upper half: that of the hash; lower half: size + 1; 0 is an empty slot

  /// The half of the hash that chooses slot and partition.
  [[nodiscard]] std::uint32_t tag() const noexcept { return static_cast<std::uint32_t>(meta >> 32); }
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::uint32_t>(meta) - 1; }
  [[nodiscard]] bool is_short() const noexcept { return static_cast<std::uint32_t>(meta) <= short_key_bytes + 1; }
  [[nodiscard]] bool is_none() const noexcept { return meta == 0; }
  /// Valid as long as this object, or as what `a` points to.
  [[nodiscard]] bytes_view view() const noexcept {
    return {is_short() ? reinterpret_cast<const char*>(this) : reinterpret_cast<const char*>(a), size()};
  }
};
static_assert(sizeof(packed_key) == 24);

/// Packs a key; a long one still points to the caller's bytes.
inline void pack_key(bytes_view key, packed_key& out) noexcept {
  std::uint64_t hash = 0;
  if (key.size() <= short_key_bytes) [[likely]] {
    std::uint64_t a = 0, b = 0;
    load_short(key.data(), key.size(), a, b);
    out.a = a;
    out.b = b;
    hash = hash_final(a, b, key.size());
  } else {
    hash = hash_long(key.data(), key.size());
    out.a = reinterpret_cast<std::uint64_t>(key.data());
    out.b = hash;
  }
  out.meta = (hash & 0xffffffff00000000) | static_cast<std::uint32_t>(key.size() + 1);
}

/// tag % partitions without a division (Lemire, Kaser, Kurz: Faster Remainder by Direct Computation, 2019, section 3).
class partitioner {
 public:
  explicit partitioner(std::uint32_t partitions) noexcept
      : partitions_(partitions == 0 ? 1 : partitions), reciprocal_(~std::uint64_t{0} / partitions_ + 1) {}
  [[nodiscard]] std::uint32_t operator()(std::uint32_t tag) const noexcept {
    return static_cast<std::uint32_t>(static_cast<uint128>(reciprocal_ * tag) * partitions_ >> 64);
  }
  [[nodiscard]] std::uint32_t partitions() const noexcept { return partitions_; }

 private:
  std::uint32_t partitions_;
  std::uint64_t reciprocal_;
};

}  // namespace troupe::sdk
