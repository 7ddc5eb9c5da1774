#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <troupe/sdk/record.hpp>

/// Values as bytes whose order, byte by byte, is the values' own: so that sorting compares bytes, whatever the type.
///
///     bool, unsigned     big-endian                         signed     big-endian, sign bit turned
///     float, double      big-endian; the sign bit of positive ones is set, negative ones are turned whole; -0 as 0,
///     NaN last string             bytes, 00 as 00 ff; ends with 00 00 optional           00 none, 01 and the value
///     list       01 before each element, 00 at the end pair, struct       one field behind the other
///
/// No value's bytes begin another's, so turning every bit gives the opposite order.
namespace troupe::sdk {

template <class T>
void append_order(std::string& out, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    append_order(out, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_floating_point_v<T>) {
    using bits_type = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    auto bits = std::bit_cast<bits_type>(std::isnan(value) ? std::numeric_limits<T>::quiet_NaN() : value + T{0});
    constexpr auto sign = bits_type{1} << (sizeof(T) * 8 - 1);
    bits = (bits & sign) != 0 ? ~bits : bits | sign;
    append_order(out, bits);
  } else if constexpr (std::is_arithmetic_v<T>) {
    using bits_type = std::make_unsigned_t<std::conditional_t<std::same_as<T, bool>, unsigned char, T>>;
    auto bits = static_cast<bits_type>(value);
    if constexpr (std::is_signed_v<T>) bits = static_cast<bits_type>(bits ^ (bits_type{1} << (sizeof(T) * 8 - 1)));
    for (std::size_t i = sizeof(T); i-- > 0;) out.push_back(static_cast<char>(bits >> (8 * i)));
  } else if constexpr (text_like<T>) {
    for (std::size_t from = 0;;) {
      const auto zero = std::min(std::string_view(value).find('\0', from), value.size());
      out.append(value, from, zero - from);
      if (zero == value.size()) break;
      out.append("\0\xff", 2);
      from = zero + 1;
    }
    out.append("\0\0", 2);
  } else if constexpr (is_optional<T>::value) {
    out.push_back(value.has_value() ? '\1' : '\0');
    if (value) append_order(out, *value);
  } else if constexpr (is_vector<T>::value) {
    for (const auto& element : value) {
      out.push_back('\1');
      append_order<typename T::value_type>(out, element);
    }
    out.push_back('\0');
  } else if constexpr (is_pair<T>::value) {
    append_order(out, value.first);
    append_order(out, value.second);
  } else {
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) { append_order(out, value.*member.pointer); });
  }
}

}  // namespace troupe::sdk
