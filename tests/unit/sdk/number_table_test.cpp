#include <troupe/sdk/number_table.hpp>

#include <limits>
#include <map>
#include <support/catch.hpp>

namespace number_table_test {

using troupe::sdk::bits_of;
using troupe::sdk::from_bits;
using table_type = troupe::sdk::number_table<std::uint64_t>;

TEST_CASE("number table: gives what a map gives, in the order of arrival, while it grows and when it is used again") {
  table_type table;
  for (const std::uint64_t step : {std::uint64_t{1}, std::uint64_t{1} << 40, std::uint64_t{0x9e3779b97f4a7c15}}) {
    table.limit(64 << 20);
    std::map<std::uint64_t, std::uint64_t> wanted;
    std::vector<std::uint64_t> order;
    for (std::uint64_t i = 0; i < 200'000; ++i) {
      const auto number = i % 70'000 * step;  // zero is one of them
      auto* found = table.find(number);
      REQUIRE((found != nullptr) == wanted.contains(number));
      if (found == nullptr) {
        REQUIRE(table.has_room());
        found = &table.insert(number, 0);
        order.push_back(number);
      }
      found->entry += i;
      wanted[number] += i;
    }
    CHECK(table.size() == wanted.size());
    std::size_t at = 0;
    bool same = true;
    table.for_each(
        [&](const table_type::slot& s) { same = same && s.number == order[at++] && s.entry == wanted.at(s.number); });
    CHECK(same);
    CHECK(at == order.size());
    table.clear();
    CHECK(table.find(0) == nullptr);
    CHECK(table.find(step) == nullptr);
  }
}

TEST_CASE("number table: has no room beyond its memory") {
  table_type table;
  table.limit(64 << 10);
  std::uint64_t taken = 0;
  for (; table.has_room(); ++taken) table.insert(taken, std::uint64_t{taken});
  CHECK(taken * 2 * sizeof(table_type::slot) <= 64 << 10);
  CHECK(table.find(0)->entry == 0);
  CHECK(table.find(taken) == nullptr);
  table.release();
  table.limit(64 << 10);
  CHECK(table.find(0) == nullptr);
}

template <class Number>
void there_and_back(std::initializer_list<Number> numbers) {
  for (const auto n : numbers) {
    Number out{};
    CHECK(from_bits(bits_of(n), out));
    CHECK(out == n);
  }
}

TEST_CASE("number table: numbers to bits and back; what is out of range is refused") {
  there_and_back<std::int64_t>(
      {0, 1, -1, std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()});
  there_and_back<std::int16_t>({0, -32'768, 32'767});
  there_and_back<std::uint8_t>({0, 255});
  there_and_back<bool>({false, true});
  there_and_back<double>({0.0, -2.5, std::numeric_limits<double>::infinity()});
  there_and_back<float>({0.0F, -2.5F});
  CHECK(bits_of<std::int64_t>(-1) == 1);
  std::uint8_t small = 0;
  CHECK_FALSE(from_bits(256, small));
  std::int16_t signed_small = 0;
  CHECK_FALSE(from_bits(65'536, signed_small));
}

}  // namespace number_table_test
