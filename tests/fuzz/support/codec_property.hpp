#pragma once
#include <string>
#include <support/fuzz.hpp>
#include <support/sample.hpp>
#include <troupe/base/codec.hpp>

/// What must hold of everything that base/codec decodes.
namespace troupe::fuzz {

/// What decodes encodes again, to bytes that are no longer (a varint may have been written in more bytes than it needs)
/// and decode to the same.
template <class T>
void check_encodes_again(const T& value, std::size_t input_bytes) {
  const auto again = codec::encode(value);
  TROUPE_INVARIANT(again.size() <= input_bytes,
                   std::to_string(again.size()) + " bytes from " + std::to_string(input_bytes));
  const auto twice = codec::decode<T>(again, "what was encoded");
  TROUPE_INVARIANT(twice.has_value(), "what was encoded does not decode");
  TROUPE_INVARIANT(codec::encode(*twice) == again, "what was decoded twice differs");
}

template <class T>
void check_codec(bytes_view input) {
  if (const auto value = codec::decode<T>(input, "input")) check_encodes_again(*value, input.size());
}

/// For protocols of many structs: the first byte of the input says which one.
template <class... T>
void check_codec_of_one(bytes_view input) {
  if (input.empty()) return;
  const auto which = static_cast<std::size_t>(static_cast<unsigned char>(input[0]));
  std::size_t at = 0;
  ((at++ == which ? check_codec<T>(input.substr(1)) : void()), ...);
}

/// Three of each struct, for check_codec_of_one.
template <class... T>
std::vector<bytes> seeds_of_each() {
  static_assert(sizeof...(T) <= 256);
  std::vector<bytes> made;
  for (const std::uint64_t variety : {0, 1, 2}) {
    std::size_t at = 0;
    ((made.push_back(static_cast<char>(at++) + codec::encode(sampler(variety).make<T>()))), ...);
  }
  return made;
}

}  // namespace troupe::fuzz
