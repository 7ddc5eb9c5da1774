#pragma once
#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>

namespace troupe {

/// 128 bits, random (version 4). All zero means «none».
struct uuid {
  std::array<std::uint8_t, 16> octets{};

  static uuid random();
  /// Reads the 36 characters of RFC 4122.
  static result<uuid> parse(std::string_view text);

  [[nodiscard]] bool is_nil() const noexcept { return *this == uuid{}; }
  [[nodiscard]] std::string to_string() const;
  /// The first eight digits: enough for a person, never a key.
  [[nodiscard]] std::string short_string() const { return to_string().substr(0, 8); }

  friend auto operator<=>(const uuid&, const uuid&) = default;
};

}  // namespace troupe

template <>
struct std::hash<troupe::uuid> {
  std::size_t operator()(const troupe::uuid& id) const noexcept {
    std::size_t value;
    static_assert(sizeof value <= sizeof id.octets);
    __builtin_memcpy(&value, id.octets.data(), sizeof value);  // random bits need no mixing
    return value;
  }
};
