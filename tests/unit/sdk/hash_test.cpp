#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <support/catch.hpp>
#include <troupe/sdk/hash.hpp>
#include <tuple>
#include <vector>

using namespace troupe;

namespace {

/// The hash as its page says it, byte by byte, without a load that is wider than a byte.
std::uint64_t by_the_page(std::string_view key) {
  const auto number = [&](std::size_t at, std::size_t bytes) {
    std::uint64_t out = 0;
    for (std::size_t i = 0; i < bytes; ++i)
      out |= static_cast<std::uint64_t>(static_cast<unsigned char>(key[at + i])) << 8 * i;
    return out;
  };
  const auto product = [](std::uint64_t x, std::uint64_t y) { return static_cast<sdk::uint128>(x) * y; };
  const auto low = [](sdk::uint128 p) { return static_cast<std::uint64_t>(p); };
  const auto high = [](sdk::uint128 p) { return static_cast<std::uint64_t>(p >> 64); };
  const auto fold = [&](std::uint64_t x, std::uint64_t y) { return low(product(x, y)) ^ high(product(x, y)); };
  constexpr std::uint64_t k0 = 0xa0761d6478bd642f, k1 = 0xe7037ed1a0b428db, k2 = 0x8ebc6af09c88c6e3,
                          k3 = 0x589965cc75374cc3;
  const auto n = key.size();
  std::uint64_t a = 0, b = 0, s = 0;
  if (n <= 16) {
    a = number(0, std::min<std::size_t>(n, 8));
    b = n > 8 ? number(8, n - 8) : 0;
  } else {
    s = k0;
    for (std::size_t at = 0; at + 16 < n; at += 16) s = fold(number(at, 8) ^ k1 ^ s, number(at + 8, 8) ^ k2);
    a = number(n - 16, 8);
    b = number(n - 8, 8);
  }
  const auto p = product(a ^ s ^ k1, b ^ k2);
  return fold(low(p) ^ k0 ^ n, high(p) ^ k3);
}

}  // namespace

TEST_CASE("hash: the values that partitions were made by stay for ever") {
  CHECK(sdk::hash_key("") == 0xd7c696276869944a);
  CHECK(sdk::hash_key("a") == 0xcfb668cac02f98eb);
  CHECK(sdk::hash_key("troupe") == 0x0da07e861d68719e);
  CHECK(sdk::hash_key("sixteen bytes ok") == 0x71d73ce252a0262d);
  CHECK(sdk::hash_key("seventeen bytes k") == 0x4fab58dd3e462030);
  CHECK(sdk::hash_key(std::string(1000, 'x')) == 0x42b4ba5c4922c7bb);
}

TEST_CASE("hash: is what its page says, at every length and alignment") {
  std::string text;
  for (int i = 0; i < 9000; ++i) text += static_cast<char>(i * 131 + i / 7);
  for (std::size_t size = 0; size <= 70; ++size)
    for (const std::size_t at :
         {0, 1, 3, 4000, 4080, 4085, 4090, 4095, 4096})  // some end at a page's border, some cross it
      CHECK(sdk::hash_key(std::string_view(text).substr(at, size)) ==
            by_the_page(std::string_view(text).substr(at, size)));
}

TEST_CASE("hash: packed keys differ when keys differ") {
  std::set<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>> seen;
  const std::string zeros(16, '\0');
  for (std::size_t size = 0; size <= 16; ++size) {
    sdk::packed_key key{};
    sdk::pack_key(std::string_view(zeros).substr(0, size), key);
    CHECK(key.view() == std::string_view(zeros).substr(0, size));
    CHECK_FALSE(key.is_none());
    seen.insert({key.a, key.b, key.meta});
  }
  CHECK(seen.size() == 17);
  const std::string longer = "a key of more than sixteen bytes";
  sdk::packed_key key{};
  sdk::pack_key(longer, key);
  CHECK_FALSE(key.is_short());
  CHECK(key.view() == longer);
}

TEST_CASE("hash: partitions are the remainder, and keys spread over them") {
  for (const std::uint32_t partitions : {1u, 2u, 3u, 7u, 64u, 100u, 4096u}) {
    const sdk::partitioner partition(partitions);
    std::vector<int> hits(partitions);
    for (std::uint32_t i = 0; i < 50'000; ++i) {
      const auto tag = static_cast<std::uint32_t>(sdk::hash_key("key" + std::to_string(i)) >> 32);
      REQUIRE(partition(tag) == tag % partitions);
      ++hits[partition(tag)];
    }
    const double mean = 50'000.0 / partitions;
    for (const int h : hits) CHECK(std::abs(h - mean) < 8 * std::sqrt(mean) + 1);
  }
  const sdk::partitioner seven(7);
  for (const std::uint32_t tag : {0u, 1u, 6u, 7u, 8u, 0x7fffffffu, 0x80000000u, 0xfffffffeu, 0xffffffffu})
    CHECK(seven(tag) == tag % 7);
}
