#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <troupe/sdk/hash.hpp>
#include <troupe/sdk/record.hpp>

namespace troupe::sdk {

/// A key's bytes: a text's own; anything else as a field of a record is encoded. Equal keys have equal bytes: so -0.0
/// becomes 0.0 and every NaN the same one.
template <class Key>
struct key_bytes {
  static_assert(
      field_value<Key>,
      "a key is a number, an enum, a string, an optional, a vector, a pair or a struct with BOOST_DESCRIBE_STRUCT");

  /// What map and reduce pass around: texts as views.
  using view = std::conditional_t<text_like<Key>, std::string_view, Key>;

  /// The bytes, in `scratch` unless the key has them itself.
  static bytes_view of(const view& key, std::string& scratch) {
    if constexpr (text_like<Key>) {
      return key;
    } else if constexpr (std::is_floating_point_v<Key>) {
      scratch.resize(sizeof(Key));
      store_le(scratch.data(), std::isnan(key) ? std::numeric_limits<Key>::quiet_NaN() : key + Key{0});
      return scratch;
    } else {
      scratch.resize(encoded_size(key));
      encode_field(scratch.data(), key);
      return scratch;
    }
  }
  /// The bytes with their hash. A long key points to the caller's bytes, or into `scratch`.
  [[gnu::always_inline]] static void pack(const view& key, std::string& scratch, packed_key& out) {
    if constexpr (std::is_integral_v<Key> && sizeof(Key) > 1) {
      std::uint64_t number = static_cast<std::uint64_t>(key);
      if constexpr (std::is_signed_v<Key>) number = zigzag(key);
      if (number >> 56 == 0) [[likely]] {  // the varint's bytes without a way through memory
        const auto size = varint_size(number);
        out.a = part_sevens(number) | (0x8080808080808080 & ((std::uint64_t{1} << (8 * (size - 1))) - 1));
        out.b = 0;
        out.meta = (hash_final(out.a, 0, size) & 0xffffffff00000000) | static_cast<std::uint32_t>(size + 1);
        return;
      }
    }
    pack_key(of(key, scratch), out);
  }
  static bool decode(bytes_view bytes, view& out) {
    if constexpr (text_like<Key>) {
      out = bytes;
      return true;
    } else {
      const char* const end = bytes.data() + bytes.size();
      return decode_field(bytes.data(), end, out) == end;
    }
  }

  /// As a field of an output record: a text gets its length, anything else is that already.
  static std::size_t field_size(bytes_view bytes) noexcept {
    return bytes.size() + (text_like<Key> ? varint_size(bytes.size()) : 0);
  }
  static char* put_field(char* out, bytes_view bytes) noexcept {
    if constexpr (text_like<Key>) out = store_varint(out, bytes.size());
    if (!bytes.empty()) std::memcpy(out, bytes.data(), bytes.size());
    return out + bytes.size();
  }

  /// The order in which a reducer meets its keys: numbers by value, everything else by bytes.
  static bool less(bytes_view x, bytes_view y) {
    if constexpr (std::is_arithmetic_v<Key>) {
      Key a{}, b{};
      if (!decode(x, a) || !decode(y, b)) return x < y;
      if constexpr (std::is_floating_point_v<Key>) {
        if (std::isnan(a) || std::isnan(b)) return std::isnan(b) && !std::isnan(a);  // NaN last
      }
      return a < b;
    } else {
      return x < y;
    }
  }
  /// Equal prefixes are equal keys.
  static constexpr bool prefix_is_whole = std::is_arithmetic_v<Key>;
  /// The prefix is the key's first bytes, padded with zeros: of keys of one size up to eight it is all there is.
  static constexpr bool prefix_orders_bytes = !std::is_arithmetic_v<Key>;
  /// A number that grows with the order above, for comparing without following a pointer; equal prefixes say nothing.
  static std::uint64_t prefix(bytes_view bytes) noexcept {
    if constexpr (std::is_integral_v<Key>) {
      Key key{};
      decode(bytes, key);
      if constexpr (std::is_signed_v<Key>)
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(key)) ^ std::uint64_t{1} << 63;
      return static_cast<std::uint64_t>(key);
    } else if constexpr (std::is_floating_point_v<Key>) {
      using bits_type = std::conditional_t<sizeof(Key) == 4, std::uint32_t, std::uint64_t>;
      Key key{};
      decode(bytes, key);
      constexpr auto sign = bits_type{1} << (sizeof(Key) * 8 - 1);
      const auto bits = std::bit_cast<bits_type>(key);
      return (bits & sign) != 0 ? static_cast<bits_type>(~bits) : bits | sign;
    } else {
      char first[8] = {};
      if (!bytes.empty()) std::memcpy(first, bytes.data(), std::min<std::size_t>(bytes.size(), 8));
      return __builtin_bswap64(load_le<std::uint64_t>(first));
    }
  }
};

}  // namespace troupe::sdk
