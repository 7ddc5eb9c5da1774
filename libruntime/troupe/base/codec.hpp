#pragma once
#include <boost/describe/members.hpp>
#include <boost/mp11/algorithm.hpp>
#include <concepts>
#include <map>
#include <optional>
#include <set>
#include <troupe/base/bytes.hpp>
#include <troupe/base/checksum.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <utility>
#include <variant>
#include <vector>

/// The binary codec of commands, snapshots and messages: a described struct is its members in order, nothing between
/// them.
///
///   integers, enums, bool, floats   as they lie in memory, little-endian
///   string                          varint length, bytes
///   vector, set, map                varint count, elements
///   optional                        one byte 0 or 1, then the value
///   variant                         one byte index, then the value
///
/// Decoding never trusts a length: it is compared with the bytes that are left before anything is allocated.
/// doc/formats/codec.md is its page.
namespace troupe::codec {

template <class T>
concept described = boost::describe::has_describe_members<T>::value && !std::is_union_v<T>;

class writer {
 public:
  explicit writer(bytes& out) : out_(out) {}
  template <class T>
  void put(const T& value);

 private:
  bytes& out_;
};

class reader {
 public:
  explicit reader(bytes_view data) : at_(data.data()), end_(data.data() + data.size()) {}
  /// False when the bytes end early or make no sense; `value` is then unspecified.
  template <class T>
  [[nodiscard]] bool get(T& value);
  [[nodiscard]] bool at_end() const noexcept { return at_ == end_; }
  [[nodiscard]] std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }

 private:
  [[nodiscard]] bool get_count(std::uint64_t& count, std::size_t element_bytes_min) {
    at_ = load_varint(at_, end_, count);
    if (at_ == nullptr) {
      at_ = end_;
      return false;
    }
    return count <= left() / (element_bytes_min == 0 ? 1 : element_bytes_min);
  }
  const char* at_;
  const char* end_;
  int depth_ = 0;  ///< of structs within structs: a schema's fields nest as deeply as the bytes say
};

/// Structs within structs beyond this are refused: the stack is not the sender's to choose.
inline constexpr int nesting_max = 64;

namespace detail {
template <class T>
struct is_number : std::false_type {};
template <class Tag, class Rep>
struct is_number<number<Tag, Rep>> : std::true_type {};
template <class T>
struct is_identity : std::false_type {};
template <class Tag>
struct is_identity<identity<Tag>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_set : std::false_type {};
template <class T>
struct is_set<std::set<T>> : std::true_type {};
template <class T>
struct is_map : std::false_type {};
template <class K, class V>
struct is_map<std::map<K, V>> : std::true_type {};
template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_pair : std::false_type {};
template <class A, class B>
struct is_pair<std::pair<A, B>> : std::true_type {};
template <class T>
struct is_variant : std::false_type {};
template <class... T>
struct is_variant<std::variant<T...>> : std::true_type {};
template <class T>
inline constexpr bool unknown_type = false;
}  // namespace detail

template <class T>
void writer::put(const T& value) {
  if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    append_le(out_, value);
  } else if constexpr (std::same_as<T, uuid>) {
    out_.append(reinterpret_cast<const char*>(value.octets.data()), value.octets.size());
  } else if constexpr (std::same_as<T, digest128>) {
    put(value.low);
    put(value.high);
  } else if constexpr (detail::is_number<T>::value || detail::is_identity<T>::value) {
    put(value.value);
  } else if constexpr (std::same_as<T, std::string>) {
    append_varint(out_, value.size());
    out_.append(value);
  } else if constexpr (detail::is_vector<T>::value || detail::is_set<T>::value) {
    append_varint(out_, value.size());
    for (const auto& element : value) put(element);
  } else if constexpr (detail::is_map<T>::value) {
    append_varint(out_, value.size());
    for (const auto& [k, v] : value) {
      put(k);
      put(v);
    }
  } else if constexpr (detail::is_optional<T>::value) {
    put(value.has_value());
    if (value) put(*value);
  } else if constexpr (detail::is_pair<T>::value) {
    put(value.first);
    put(value.second);
  } else if constexpr (detail::is_variant<T>::value) {
    static_assert(std::variant_size_v<T> < 256);
    put(static_cast<std::uint8_t>(value.index()));
    std::visit([this](const auto& alternative) { put(alternative); }, value);
  } else if constexpr (std::same_as<T, std::monostate>) {
  } else if constexpr (described<T>) {
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
        [&](auto member) { put(value.*member.pointer); });
  } else {
    static_assert(detail::unknown_type<T>, "describe this struct with BOOST_DESCRIBE_STRUCT");
  }
}

template <class T>
bool reader::get(T& value) {
  if constexpr (std::same_as<T, bool>) {
    if (left() < 1 || static_cast<unsigned char>(*at_) > 1) return false;
    value = *at_++ != 0;
    return true;
  } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T>) {
    if (left() < sizeof(T)) return false;
    value = load_le<T>(at_);
    at_ += sizeof(T);
    return true;
  } else if constexpr (std::same_as<T, uuid>) {
    if (left() < value.octets.size()) return false;
    std::memcpy(value.octets.data(), at_, value.octets.size());
    at_ += value.octets.size();
    return true;
  } else if constexpr (std::same_as<T, digest128>) {
    return get(value.low) && get(value.high);
  } else if constexpr (detail::is_number<T>::value || detail::is_identity<T>::value) {
    return get(value.value);
  } else if constexpr (std::same_as<T, std::string>) {
    std::uint64_t size = 0;
    if (!get_count(size, 1)) return false;
    value.assign(at_, static_cast<std::size_t>(size));
    at_ += size;
    return true;
  } else if constexpr (detail::is_vector<T>::value) {
    std::uint64_t count = 0;
    if (!get_count(count, 1)) return false;
    value.clear();
    for (std::uint64_t i = 0; i < count; ++i) {
      typename T::value_type element{};
      if (!get(element)) return false;
      value.push_back(std::move(element));
    }
    return true;
  } else if constexpr (detail::is_set<T>::value) {
    std::uint64_t count = 0;
    if (!get_count(count, 1)) return false;
    value.clear();
    for (std::uint64_t i = 0; i < count; ++i) {
      typename T::value_type element{};
      if (!get(element) || !value.insert(std::move(element)).second) return false;
    }
    return true;
  } else if constexpr (detail::is_map<T>::value) {
    std::uint64_t count = 0;
    if (!get_count(count, 1)) return false;
    value.clear();
    for (std::uint64_t i = 0; i < count; ++i) {
      typename T::key_type k{};
      typename T::mapped_type v{};
      if (!get(k) || !get(v) || !value.emplace(std::move(k), std::move(v)).second) return false;
    }
    return true;
  } else if constexpr (detail::is_optional<T>::value) {
    bool present = false;
    if (!get(present)) return false;
    if (!present) {
      value.reset();
      return true;
    }
    return get(value.emplace());
  } else if constexpr (detail::is_pair<T>::value) {
    return get(value.first) && get(value.second);
  } else if constexpr (detail::is_variant<T>::value) {
    std::uint8_t index = 0;
    if (!get(index) || index >= std::variant_size_v<T>) return false;
    bool good = false;
    boost::mp11::mp_with_index<std::variant_size_v<T>>(
        index, [&](auto i) { good = get(value.template emplace<decltype(i)::value>()); });
    return good;
  } else if constexpr (std::same_as<T, std::monostate>) {
    return true;
  } else if constexpr (described<T>) {
    bool good = ++depth_ <= nesting_max;
    boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
        [&](auto member) { good = good && get(value.*member.pointer); });
    --depth_;
    return good;
  } else {
    static_assert(detail::unknown_type<T>, "describe this struct with BOOST_DESCRIBE_STRUCT");
    return false;
  }
}

/// The bytes of a described struct (or any type named above).
template <class T>
bytes encode(const T& value) {
  bytes out;
  writer(out).put(value);
  return out;
}

/// The value, or `corrupted` with the name given in `what`; trailing bytes are an error as well.
template <class T>
result<T> decode(bytes_view data, std::string_view what) {
  result<T> value{boost::system::in_place_value};
  reader in(data);
  if (!in.get(*value) || !in.at_end())
    return error{errc::corrupted, std::string(what) + ": " + std::to_string(data.size()) + " bytes do not decode"};
  return value;
}

}  // namespace troupe::codec
