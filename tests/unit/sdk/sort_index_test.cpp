#include <algorithm>
#include <random>
#include <support/catch.hpp>
#include <troupe/sdk/sort_index.hpp>

using namespace troupe::sdk;

namespace {

/// Sorts prefixes made by `make`, with each item's number as its entry, and compares with std::stable_sort.
template <class Make>
void check_index(std::size_t count, bool whole, Make make) {
  static char numbers[1 << 20];
  std::vector<sort_item> wanted;
  sort_index index;
  for (std::size_t i = 0; i < count; ++i) {
    wanted.push_back({make(i), numbers + i});
    index.add(wanted.back());
  }
  // Without whole prefixes the key is the prefix and, among equals, the parity of the entry.
  const auto before = [whole](const sort_item& x, const sort_item& y) {
    if (x.prefix != y.prefix || whole) return x.prefix < y.prefix;
    return (x.entry - numbers) % 2 < (y.entry - numbers) % 2;
  };
  index.sort(whole, before);
  std::stable_sort(wanted.begin(), wanted.end(), before);
  REQUIRE(index.size() == count);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i)
    wrong += index[i].prefix != wanted[i].prefix || index[i].entry != wanted[i].entry;
  CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("sort_index: orders as std::stable_sort does, whatever the prefixes and however many") {
  std::mt19937_64 random(3);
  for (const std::size_t count : {0, 1, 2, 17, 4096, 4097, 20'000, 140'000, 300'000}) {
    for (const bool whole : {true, false}) {
      CAPTURE(count, whole);
      check_index(count, whole, [&](std::size_t) { return random(); });
      check_index(count, whole, [&](std::size_t) { return random() % 1000; });
      check_index(count, whole, [&](std::size_t) { return random() % 1000 << 54; });
      check_index(count, whole, [&](std::size_t) { return random() & 0x3f3f3f3f3f3f3f3f; });
      check_index(count, whole, [&](std::size_t) { return 0x7573657273000000 | random() % 100'000; });
      check_index(count, whole, [&](std::size_t i) { return i % 3 == 0 ? ~std::uint64_t{0} : random() >> (i % 60); });
      check_index(count, whole, [](std::size_t) { return std::uint64_t{42}; });
      check_index(count, whole, [&](std::size_t i) { return count - i; });
    }
  }
}

TEST_CASE("sort_index: is used again after clear") {
  sort_index index;
  const auto by_prefix = [](const sort_item& x, const sort_item& y) { return x.prefix < y.prefix; };
  for (const std::size_t count : {10'000, 100, 200'000, 5'000}) {
    for (std::size_t i = 0; i < count; ++i) index.add({i * 0x9e3779b97f4a7c15, nullptr});
    index.sort(true, by_prefix);
    REQUIRE(index.size() == count);
    bool ordered = true;
    for (std::size_t i = 1; i < count; ++i) ordered = ordered && index[i - 1].prefix < index[i].prefix;
    CHECK(ordered);
    index.clear();
  }
}
