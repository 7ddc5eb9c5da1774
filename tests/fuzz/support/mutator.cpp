#include <algorithm>
#include <iterator>
#include <support/mutator.hpp>

namespace troupe::fuzz {

bytes mutator::next() {
  auto input = pick();
  // Mostly one damage: decoders stop at the first, and what lies behind it is never looked at.
  for (auto steps = 1 + (below(2) == 0 ? 0 : below(6)); steps != 0; --steps) mutate(input);
  return input;
}

void mutator::mutate(bytes& input) {
  constexpr std::size_t input_bytes_max = 16 << 10;
  const auto at = below(input.size());
  const auto place = input.begin() + static_cast<std::ptrdiff_t>(at);
  switch (below(9)) {
    case 0:
      if (!input.empty()) *place = static_cast<char>(*place ^ (1 << below(8)));
      break;
    case 1:
      input.resize(at);
      break;
    case 2:
      input.insert(at, below(16), static_cast<char>(below(256)));
      break;
    case 3:
      input.erase(at, 1 + below(16));
      break;
    case 4: {
      constexpr std::uint64_t limits[] = {0,          1,           0x7f,       0x80,       0xff,          0xffff,
                                          0x7fffffff, 0xffffffffU, 1ULL << 32, ~0ULL >> 1, ~0ULL - 0xfff, ~0ULL};
      char raw[sizeof(std::uint64_t)];
      store_le(raw, limits[below(std::size(limits))]);
      const auto width = std::min<std::size_t>(std::size_t{1} << below(4), input.size() - at);
      std::copy_n(raw, width, place);
      break;
    }
    case 5: {
      const auto& other = pick();
      const auto from = below(other.size());
      input = input.substr(0, at) + other.substr(from, below(other.size() - from + 1));
      break;
    }
    case 6: {  // a varint at its limits
      bytes raw;
      append_varint(raw, ~0ULL >> below(64));
      input.replace(at, below(3), raw);
      break;
    }
    case 7:
      input.insert(at, input.substr(below(input.size()), below(64)));
      break;
    default:
      if (!input.empty()) *place = static_cast<char>(below(256));
  }
  if (input.size() > input_bytes_max) input.resize(input_bytes_max);
}

}  // namespace troupe::fuzz
