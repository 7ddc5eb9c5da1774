#pragma once
#include <cstdint>
#include <limits>
#include <troupe/base/bytes.hpp>
#include <troupe/base/schema.hpp>
#include <troupe/format/record.hpp>

/// Reading single values of a record: shared by check_record and record_text, of no use elsewhere. Every function moves
/// `at` and says false when the bytes do not hold such a value; nothing is read at or behind `end`.
namespace troupe::format::detail {

inline bool load_byte(const char*& at, const char* end, std::uint8_t& out) noexcept {
  if (at == end) return false;
  out = static_cast<std::uint8_t>(*at++);
  return true;
}

inline bool load_boolean(const char*& at, const char* end, bool& out) noexcept {
  std::uint8_t byte = 0;
  if (!load_byte(at, end, byte) || byte > 1) return false;
  out = byte != 0;
  return true;
}

inline bool load_unsigned(const char*& at, const char* end, std::uint64_t max, std::uint64_t& out) noexcept {
  const char* next = load_varint(at, end, out);
  if (next == nullptr || out > max) return false;
  at = next;
  return true;
}

template <class Int>
bool load_signed(const char*& at, const char* end, std::int64_t& out) noexcept {
  std::uint64_t raw = 0;
  if (!load_unsigned(at, end, std::numeric_limits<std::uint64_t>::max(), raw)) return false;
  out = unzigzag(raw);
  return out >= std::numeric_limits<Int>::min() && out <= std::numeric_limits<Int>::max();
}

template <class Float>
bool load_float(const char*& at, const char* end, Float& out) noexcept {
  if (static_cast<std::size_t>(end - at) < sizeof(Float)) return false;
  out = load_le<Float>(at);
  at += sizeof(Float);
  return true;
}

inline bool load_string(const char*& at, const char* end, bytes_view& out) noexcept {
  std::uint64_t size = 0;
  const char* next = load_varint(at, end, size);
  if (next == nullptr || size > static_cast<std::uint64_t>(end - next)) return false;
  out = {next, static_cast<std::size_t>(size)};
  at = next + size;
  return true;
}

/// Of a list: every element takes at least one byte, so a count above what is left is a lie.
inline bool load_count(const char*& at, const char* end, std::uint64_t& out) noexcept {
  const char* next = load_varint(at, end, out);
  if (next == nullptr || out > static_cast<std::uint64_t>(end - next)) return false;
  at = next;
  return true;
}

/// Largest value of an unsigned field type.
inline std::uint64_t unsigned_max(field_type type) noexcept {
  switch (type) {
    case field_type::uint16:
      return std::numeric_limits<std::uint16_t>::max();
    case field_type::uint32:
      return std::numeric_limits<std::uint32_t>::max();
    default:
      return std::numeric_limits<std::uint64_t>::max();
  }
}

/// A signed number of type int16, int32 or int64.
inline bool load_signed_of(field_type type, const char*& at, const char* end, std::int64_t& out) noexcept {
  switch (type) {
    case field_type::int16:
      return load_signed<std::int16_t>(at, end, out);
    case field_type::int32:
      return load_signed<std::int32_t>(at, end, out);
    default:
      return load_signed<std::int64_t>(at, end, out);
  }
}

}  // namespace troupe::format::detail
