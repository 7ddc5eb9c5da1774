#pragma once
#include <boost/describe/members.hpp>
#include <boost/mp11/algorithm.hpp>
#include <concepts>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <troupe/base/bytes.hpp>
#include <troupe/base/schema.hpp>
#include <type_traits>
#include <utility>
#include <vector>

/// The bytes of a record and of its fields; doc/formats/record.md is the format's page.
///
///   bool, 8 bits    one byte                          string      varint length, bytes
///   uint16..64      varint                            optional    byte 0 or 1, then the value
///   int16..64       zigzag varint                     list        varint count, elements
///   float, double   little-endian                     struct      its fields
///
/// Strings may be views: they then point into the block that was decoded and live as long as it does.
namespace troupe::sdk {

template <class T>
concept described_struct = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;
template <class T>
concept text_like = std::same_as<T, std::string> || std::same_as<T, std::string_view>;

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_pair : std::false_type {};
template <class A, class B>
struct is_pair<std::pair<A, B>> : std::true_type {};
template <class T>
inline constexpr bool always_false = false;

template <class T>
using members_of = boost::describe::describe_members<T, boost::describe::mod_public>;

template <class T>
constexpr bool is_field_type();

namespace detail {
template <class T, template <class...> class L, class... D>
constexpr bool members_are_fields(L<D...>*) {
  return (is_field_type<std::remove_cvref_t<decltype(std::declval<T&>().*D::pointer)>>() && ...);
}
template <class T, template <class...> class L, class... D>
constexpr bool members_are_owned(L<D...>*);
}  // namespace detail

/// Whether a type can be a field, a key or a value.
template <class T>
constexpr bool is_field_type() {
  if constexpr (std::is_arithmetic_v<T>) {
    return !std::same_as<T, long double>;
  } else if constexpr (std::is_enum_v<T> || text_like<T>) {
    return true;
  } else if constexpr (is_optional<T>::value || is_vector<T>::value) {
    return is_field_type<typename T::value_type>();
  } else if constexpr (is_pair<T>::value) {
    return is_field_type<typename T::first_type>() && is_field_type<typename T::second_type>();
  } else if constexpr (described_struct<T>) {
    return detail::members_are_fields<T>(static_cast<members_of<T>*>(nullptr));
  } else {
    return false;
  }
}
template <class T>
concept field_value = is_field_type<T>();

/// Whether a value holds no views, so that it can be kept after the bytes it was decoded from are gone.
template <class T>
constexpr bool is_owned() {
  if constexpr (std::same_as<T, std::string_view>) {
    return false;
  } else if constexpr (is_optional<T>::value || is_vector<T>::value) {
    return is_owned<typename T::value_type>();
  } else if constexpr (is_pair<T>::value) {
    return is_owned<typename T::first_type>() && is_owned<typename T::second_type>();
  } else if constexpr (described_struct<T>) {
    return detail::members_are_owned<T>(static_cast<members_of<T>*>(nullptr));
  } else {
    return true;
  }
}
template <class T, template <class...> class L, class... D>
constexpr bool detail::members_are_owned(L<D...>*) {
  return (is_owned<std::remove_cvref_t<decltype(std::declval<T&>().*D::pointer)>>() && ...);
}

inline std::size_t varint_size(std::uint64_t value) noexcept {
  return (static_cast<std::size_t>(64 - __builtin_clzll(value | 1)) + 6) / 7;
}
template <class T>
constexpr std::uint64_t zigzag(T value) noexcept {
  const auto wide = static_cast<std::int64_t>(value);
  return static_cast<std::uint64_t>(wide) << 1 ^ static_cast<std::uint64_t>(wide >> 63);
}

/// Moves the seven low bits of each byte together: the number that a varint of up to eight bytes holds.
inline std::uint64_t join_sevens(std::uint64_t bytes) noexcept {
  bytes = (bytes & 0x007f007f007f007f) | (bytes & 0x7f007f007f007f00) >> 1;
  bytes = (bytes & 0x00003fff00003fff) | (bytes & 0x3fff00003fff0000) >> 2;
  return (bytes & 0x000000000fffffff) | (bytes & 0x0fffffff00000000) >> 4;
}
/// The other way round, of a number below 2^56.
inline std::uint64_t part_sevens(std::uint64_t value) noexcept {
  value = (value & 0x000000000fffffff) | (value & 0x00fffffff0000000) << 4;
  value = (value & 0x00003fff00003fff) | (value & 0x0fffc0000fffc000) << 2;
  return (value & 0x007f007f007f007f) | (value & 0x3f803f803f803f80) << 1;
}

/// As load_varint, for hot loops: one byte at once, up to eight without a branch for each.
[[gnu::always_inline]] inline const char* load_number(const char* at, const char* end, std::uint64_t& value) noexcept {
  if (at != end && static_cast<signed char>(*at) >= 0) {
    value = static_cast<unsigned char>(*at);
    return at + 1;
  }
  if (end - at >= 8) [[likely]] {
    const auto word = load_le<std::uint64_t>(at);
    const std::uint64_t last = ~word & 0x8080808080808080;
    if (last != 0) [[likely]] {
      value = join_sevens(word & (last ^ (last - 1)) & 0x7f7f7f7f7f7f7f7f);
      return at + (static_cast<std::size_t>(__builtin_ctzll(last)) + 1) / 8;
    }
  }
  return load_varint(at, end, value);
}

template <class T>
std::size_t encoded_size(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return encoded_size(static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_floating_point_v<T> || sizeof(T) == 1) {
    static_assert(std::is_arithmetic_v<T>);
    return sizeof(T);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return varint_size(std::is_signed_v<T> ? zigzag(value) : static_cast<std::uint64_t>(value));
  } else if constexpr (text_like<T>) {
    return varint_size(value.size()) + value.size();
  } else if constexpr (is_optional<T>::value) {
    return value ? 1 + encoded_size(*value) : 1;
  } else if constexpr (is_vector<T>::value) {
    auto size = varint_size(value.size());
    for (const auto& element : value) size += encoded_size<typename T::value_type>(element);
    return size;
  } else if constexpr (is_pair<T>::value) {
    return encoded_size(value.first) + encoded_size(value.second);
  } else {
    static_assert(
        described_struct<T>,
        "a field is a number, an enum, a string, an optional, a vector, a pair or a struct with BOOST_DESCRIBE_STRUCT");
    std::size_t size = 0;
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) { size += encoded_size(value.*member.pointer); });
    return size;
  }
}

/// Writes exactly encoded_size(value) bytes; returns what follows them.
template <class T>
char* encode_field(char* out, const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return encode_field(out, static_cast<std::underlying_type_t<T>>(value));
  } else if constexpr (std::is_floating_point_v<T> || sizeof(T) == 1) {
    store_le(out, value);
    return out + sizeof(T);
  } else if constexpr (std::is_arithmetic_v<T>) {
    return store_varint(out, std::is_signed_v<T> ? zigzag(value) : static_cast<std::uint64_t>(value));
  } else if constexpr (text_like<T>) {
    out = store_varint(out, value.size());
    if (!value.empty()) std::memcpy(out, value.data(), value.size());
    return out + value.size();
  } else if constexpr (is_optional<T>::value) {
    *out++ = value.has_value();
    return value ? encode_field(out, *value) : out;
  } else if constexpr (is_vector<T>::value) {
    out = store_varint(out, value.size());
    for (const auto& element : value) out = encode_field<typename T::value_type>(out, element);
    return out;
  } else if constexpr (is_pair<T>::value) {
    return encode_field(encode_field(out, value.first), value.second);
  } else {
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) { out = encode_field(out, value.*member.pointer); });
    return out;
  }
}

/// Reads a field from [at, end). Returns what follows it, or nullptr when the bytes end early or make no sense.
template <class T>
const char* decode_field(const char* at, const char* end, T& value) {
  if constexpr (std::is_enum_v<T>) {
    std::underlying_type_t<T> raw{};
    at = decode_field(at, end, raw);
    value = static_cast<T>(raw);
    return at;
  } else if constexpr (std::same_as<T, bool>) {
    if (at == end || static_cast<unsigned char>(*at) > 1) return nullptr;
    value = *at != 0;
    return at + 1;
  } else if constexpr (std::is_floating_point_v<T> || sizeof(T) == 1) {
    if (static_cast<std::size_t>(end - at) < sizeof(T)) return nullptr;
    value = load_le<T>(at);
    return at + sizeof(T);
  } else if constexpr (std::is_arithmetic_v<T>) {
    std::uint64_t raw = 0;
    at = load_number(at, end, raw);
    if constexpr (std::is_signed_v<T>) {
      const auto wide = static_cast<std::int64_t>(raw >> 1) ^ -static_cast<std::int64_t>(raw & 1);
      value = static_cast<T>(wide);
      return value == wide ? at : nullptr;
    } else {
      value = static_cast<T>(raw);
      return value == raw ? at : nullptr;
    }
  } else if constexpr (text_like<T>) {
    std::uint64_t size = 0;
    at = load_number(at, end, size);
    if (at == nullptr || size > static_cast<std::uint64_t>(end - at)) return nullptr;
    value = T(at, static_cast<std::size_t>(size));
    return at + size;
  } else if constexpr (is_optional<T>::value) {
    bool present = false;
    at = decode_field(at, end, present);
    if (at == nullptr || !present) {
      value.reset();
      return at;
    }
    return decode_field(at, end, value.emplace());
  } else if constexpr (is_vector<T>::value) {
    std::uint64_t count = 0;
    at = load_number(at, end, count);
    if (at == nullptr || count > static_cast<std::uint64_t>(end - at))
      return nullptr;  // no element is less than a byte
    using element_type = typename T::value_type;
    if constexpr (std::is_arithmetic_v<element_type> && !std::same_as<element_type, bool>) {
      value.resize(static_cast<std::size_t>(count));
      for (auto& element : value)
        if (at != nullptr) at = decode_field(at, end, element);
    } else {
      value.clear();
      for (std::uint64_t i = 0; i < count && at != nullptr; ++i) {
        element_type element{};
        at = decode_field(at, end, element);
        value.push_back(std::move(element));
      }
    }
    return at;
  } else if constexpr (is_pair<T>::value) {
    at = decode_field(at, end, value.first);
    return at == nullptr ? nullptr : decode_field(at, end, value.second);
  } else {
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
      if (at != nullptr) at = decode_field(at, end, value.*member.pointer);
    });
    return at;
  }
}

/// Goes past a field without keeping it: what decode_field returns, but for a text that is not looked at.
template <class T>
const char* skip_field(const char* at, const char* end) {
  if constexpr (text_like<T>) {
    std::uint64_t size = 0;
    at = load_number(at, end, size);
    return at == nullptr || size > static_cast<std::uint64_t>(end - at) ? nullptr : at + size;
  } else if constexpr (is_optional<T>::value) {
    bool present = false;
    at = decode_field(at, end, present);
    return at == nullptr || !present ? at : skip_field<typename T::value_type>(at, end);
  } else if constexpr (is_vector<T>::value) {
    std::uint64_t count = 0;
    at = load_number(at, end, count);
    if (at == nullptr || count > static_cast<std::uint64_t>(end - at)) return nullptr;
    for (; count != 0 && at != nullptr; --count) at = skip_field<typename T::value_type>(at, end);
    return at;
  } else if constexpr (is_pair<T>::value) {
    at = skip_field<typename T::first_type>(at, end);
    return at == nullptr ? nullptr : skip_field<typename T::second_type>(at, end);
  } else if constexpr (described_struct<T>) {
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
      if (at != nullptr) at = skip_field<std::remove_cvref_t<decltype(std::declval<T&>().*member.pointer)>>(at, end);
    });
    return at;
  } else {
    T value{};
    return decode_field(at, end, value);
  }
}

/// A whole record's fields. Optional fields at its end may be missing: the record is older than the schema.
/// `MayHaveMore`: fields behind those of T are skipped, since the dataset has more columns than its reader wants.
template <class T, bool MayHaveMore = false>
bool decode_record(bytes_view data, T& value) {
  const char* at = data.empty() ? "" : data.data();  // never null: that means damaged
  const char* const end = at + data.size();
  if constexpr (described_struct<T>) {
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
      auto& out = value.*member.pointer;
      if constexpr (is_optional<std::remove_cvref_t<decltype(out)>>::value) {
        if (at == end) {
          out.reset();
          return;
        }
      }
      if (at != nullptr) at = decode_field(at, end, out);
    });
  } else {
    at = decode_field(at, end, value);
  }
  if constexpr (MayHaveMore) return at != nullptr;
  return at == end;
}

/// The schema's word for a type.
template <class T>
field field_of(std::string name) {
  if constexpr (std::is_enum_v<T>) {
    return field_of<std::underlying_type_t<T>>(std::move(name));
  } else if constexpr (std::same_as<T, bool>) {
    return {std::move(name), field_type::boolean, {}};
  } else if constexpr (std::is_floating_point_v<T>) {
    return {std::move(name), sizeof(T) == 4 ? field_type::float32 : field_type::float64, {}};
  } else if constexpr (std::is_integral_v<T>) {
    constexpr auto base = std::is_signed_v<T> ? field_type::int8 : field_type::uint8;
    constexpr int step = sizeof(T) == 1 ? 0 : sizeof(T) == 2 ? 1 : sizeof(T) == 4 ? 2 : 3;
    return {std::move(name), static_cast<field_type>(static_cast<int>(base) + step), {}};
  } else if constexpr (text_like<T>) {
    return {std::move(name), field_type::string, {}};
  } else if constexpr (is_optional<T>::value) {
    return {std::move(name), field_type::optional, {field_of<typename T::value_type>("")}};
  } else if constexpr (is_vector<T>::value) {
    return {std::move(name), field_type::list, {field_of<typename T::value_type>("")}};
  } else if constexpr (is_pair<T>::value) {
    return {std::move(name),
            field_type::record,
            {field_of<typename T::first_type>("first"), field_of<typename T::second_type>("second")}};
  } else {
    field out{std::move(name), field_type::record, {}};
    boost::mp11::mp_for_each<members_of<T>>([&](auto member) {
      using type = std::remove_cvref_t<decltype(std::declval<T&>().*member.pointer)>;
      out.children.push_back(field_of<type>(member.name));
    });
    return out;
  }
}

template <described_struct T>
schema schema_of() {
  return {field_of<T>("").children};
}

}  // namespace troupe::sdk
