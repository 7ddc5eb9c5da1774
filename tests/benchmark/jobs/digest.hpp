#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

/// How the benchmarks' jobs and their references sum up what they made, so that answers of a gigabyte are compared by a
/// line. Both sides compute it alike; it costs some nanoseconds a record.
namespace benchmark {

__extension__ typedef unsigned __int128 uint128;

inline std::uint64_t mix(std::uint64_t x, std::uint64_t y) {
  const auto product = static_cast<uint128>(x) * y;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Of a record's bytes. The multiplications do not wait for each other.
inline std::uint64_t digest_of(const char* at, std::size_t size) {
  std::uint64_t sum = size * 0x9e3779b97f4a7c15, salt = 0xe7037ed1a0b428db, piece = 0;
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8, salt += 0x8ebc6af09c88c6e3) {
    std::memcpy(&piece, at + i, 8);
    sum += mix(piece ^ salt, 0x589965cc75374cc3);
  }
  piece = 0;
  std::memcpy(&piece, at + i, size - i);
  return sum + mix(piece ^ salt, 0x589965cc75374cc3);
}
inline std::uint64_t digest_of(std::uint64_t x, std::uint64_t y, std::uint64_t z = 0) {
  return mix(x ^ 0xe7037ed1a0b428db, (y + 1) * 0x9e3779b97f4a7c15) + mix(z ^ 0x8ebc6af09c88c6e3, x | 1);
}

/// Of a row of records, whose order counts: a polynomial in `base`, so that two neighbouring rows can be put together.
struct row_digest {
  static constexpr std::uint64_t base = 0xd1342543de82ef95;
  std::uint64_t records = 0;
  std::uint64_t hash = 0;
  std::uint64_t power = 1;  ///< base to the number of records

  void add(std::uint64_t record) {
    ++records;
    hash = hash * base + record;
    power *= base;
  }
  /// Of this row and the one behind it.
  void append(const row_digest& behind) {
    records += behind.records;
    hash = hash * behind.power + behind.hash;
    power *= behind.power;
  }
};

/// Of a set of records, whose order does not count.
struct set_digest {
  std::uint64_t records = 0;
  std::uint64_t hash = 0;

  void add(std::uint64_t record) {
    ++records;
    hash += record;
  }
  void append(const set_digest& other) {
    records += other.records;
    hash += other.hash;
  }
};

}  // namespace benchmark
