#pragma once
#include <boost/describe/enumerators.hpp>
#include <concepts>
#include <troupe/base/codec.hpp>

/// Values of any described type, made by its description: seeds for decoders whose encoders are generic.
namespace troupe::fuzz {

/// The same values for the same `variety`. 0 gives what is default-constructed; more gives longer lists, other
/// enumerators and other alternatives.
class sampler {
 public:
  explicit sampler(std::uint64_t variety) : variety_(variety), next_(variety * 7919) {}

  template <class T>
  T make() {
    T value{};
    if (variety_ != 0) fill(value);
    return value;
  }

  template <class T>
  void fill(T& value) {
    if constexpr (std::same_as<T, bool>) {
      value = draw() % 2 != 0;
    } else if constexpr (std::is_floating_point_v<T>) {
      value = static_cast<T>(draw()) / 4;
    } else if constexpr (std::is_arithmetic_v<T>) {
      value = static_cast<T>(draw());
    } else if constexpr (std::is_enum_v<T>) {
      if constexpr (boost::describe::has_describe_enumerators<T>::value) {
        constexpr auto count = boost::mp11::mp_size<boost::describe::describe_enumerators<T>>::value;
        boost::mp11::mp_with_index<count>(draw() % count, [&](auto i) {
          value = boost::mp11::mp_at_c<boost::describe::describe_enumerators<T>, decltype(i)::value>::value;
        });
      } else {
        value = static_cast<T>(draw() % 3);
      }
    } else if constexpr (std::same_as<T, uuid>) {
      for (auto& octet : value.octets) octet = static_cast<std::uint8_t>(draw());
    } else if constexpr (std::same_as<T, digest128>) {
      value = {draw(), draw()};
    } else if constexpr (codec::detail::is_number<T>::value || codec::detail::is_identity<T>::value) {
      fill(value.value);
    } else if constexpr (std::same_as<T, std::string>) {
      value = "name" + std::to_string(draw() % 100);
    } else if constexpr (codec::detail::is_vector<T>::value) {
      for (auto count = list_size(); count != 0; --count) {
        typename T::value_type element{};
        fill_below(element);
        value.push_back(std::move(element));
      }
    } else if constexpr (codec::detail::is_set<T>::value) {
      for (auto count = list_size(); count != 0; --count) {
        typename T::value_type element{};
        fill_below(element);
        value.insert(std::move(element));
      }
    } else if constexpr (codec::detail::is_map<T>::value) {
      for (auto count = list_size(); count != 0; --count) {
        typename T::key_type key{};
        fill(key);
        fill_below(value[std::move(key)]);
      }
    } else if constexpr (codec::detail::is_optional<T>::value) {
      if (draw() % 3 != 0) fill_below(value.emplace());
    } else if constexpr (codec::detail::is_variant<T>::value) {
      constexpr auto count = std::variant_size_v<T>;
      boost::mp11::mp_with_index<count>(draw() % count,
                                        [&](auto i) { fill(value.template emplace<decltype(i)::value>()); });
    } else if constexpr (codec::described<T>) {
      boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(
          [&](auto member) { fill(value.*member.pointer); });
    } else if constexpr (requires { value.unix_ms; }) {
      value.unix_ms = static_cast<std::int64_t>(1'700'000'000'000 + draw());
    }  // what is left (a JSON value) stays as it is
  }

 private:
  static constexpr int depth_max = 5;  ///< a schema's fields hold fields

  std::uint64_t draw() noexcept {
    next_ = next_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return next_ >> (next_ >> 63 != 0 ? 33 : 57);  // small numbers half of the time
  }
  std::size_t list_size() noexcept { return depth_ >= depth_max ? 0 : draw() % (variety_ + 1); }
  template <class T>
  void fill_below(T& value) {
    ++depth_;
    fill(value);
    --depth_;
  }

  std::uint64_t variety_;
  std::uint64_t next_;
  int depth_ = 0;
};

}  // namespace troupe::fuzz
