#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace troupe {

static_assert(std::endian::native == std::endian::little, "formats are little-endian and copied as they lie in memory");

/// Bytes somebody else owns; the owner's lifetime is stated where a view is returned.
using bytes_view = std::string_view;
/// Bytes of one's own.
using bytes = std::string;

/// Reads a little-endian integer or enum at `data`, which need not be aligned.
template <class T>
requires std::is_trivially_copyable_v<T> T load_le(const char* data)
noexcept {
  T value;
  std::memcpy(&value, data, sizeof value);
  return value;
}

template <class T>
requires std::is_trivially_copyable_v<T>
void store_le(char* data, T value) noexcept { std::memcpy(data, &value, sizeof value); }

template <class T>
void append_le(bytes& out, T value) {
  char raw[sizeof(T)];
  store_le(raw, value);
  out.append(raw, sizeof raw);
}

/// LEB128: seven bits a byte, least significant first; at most ten bytes. 300 is AC 02.
inline char* store_varint(char* out, std::uint64_t value) noexcept {
  while (value >= 0x80) {
    *out++ = static_cast<char>(value | 0x80);
    value >>= 7;
  }
  *out++ = static_cast<char>(value);
  return out;
}
inline constexpr std::size_t varint_size_max = 10;

inline void append_varint(bytes& out, std::uint64_t value) {
  char raw[varint_size_max];
  out.append(raw, static_cast<std::size_t>(store_varint(raw, value) - raw));
}

/// Reads a varint from [data, end). Returns what follows it, or nullptr when it is cut off or longer than ten bytes.
inline const char* load_varint(const char* data, const char* end, std::uint64_t& value) noexcept {
  std::uint64_t result = 0;
  for (int shift = 0; shift < 70 && data != end; shift += 7) {
    const auto byte = static_cast<unsigned char>(*data++);
    result |= static_cast<std::uint64_t>(byte & 0x7f) << (shift < 64 ? shift : 63);
    if (byte < 0x80) {
      value = result;
      return data;
    }
  }
  return nullptr;
}

}  // namespace troupe
