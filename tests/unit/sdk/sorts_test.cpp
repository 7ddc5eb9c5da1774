#include "operators_model.hpp"

#include <cmath>
#include <support/catch.hpp>
#include <troupe/sdk/order_key.hpp>

// Orders: of keys as bytes, of records over the whole job, and their numbers.
namespace sorts_test {

using namespace troupe;
using operators_model::item;

TROUPE_JOB(by_number, read_records<item>() | sort_by([](const item& i) { return i.number; }) | write());
TROUPE_JOB(by_all, read_records<item>() | sort_by_descending([](const item& i) {
                     return std::pair(i.weight, std::pair(std::string_view(i.name), i.number));
                   }) | write());
TROUPE_JOB(numbered, read_records<item>() | sort_by([](const item& i) { return std::string_view(i.name); }) |
                         zip_with_index() | map([](const auto& n) { return std::pair(n.first, n.second.number); }) |
                         write("rank", "number"));
TROUPE_JOB(where_they_are, read_records<item, 0>() | union_with(read_records<item, 1>()) | zip_with_index() |
                               map([](const auto& n) { return std::pair(n.first, n.second.number); }) | write());
TROUPE_JOB(spread, read_records<item>() | repartition() | write());

/// -1, 0, 1 by bytes, as numbers.
int order(const auto& x, const auto& y) {
  std::string a, b;
  sdk::append_order(a, x);
  sdk::append_order(b, y);
  return a < b ? -1 : b < a ? 1 : 0;
}
int sign(std::strong_ordering o) { return o < 0 ? -1 : o > 0 ? 1 : 0; }

using operators_model::any_options;
using operators_model::items;
using operators_model::with_any_memory;
using troupe::test::random_source;
using troupe::testing::run;
using troupe::testing::run_inputs;

TEST_CASE("order keys: bytes compare as the values do") {
  random_source random(1);
  for (int i = 0; i < 3'000; ++i) {
    const auto a = random.number(40), b = random.number(40);
    CHECK(order(a, b) == sign(a <=> b));
    CHECK(order(static_cast<std::int16_t>(a * 700), static_cast<std::int16_t>(b * 700)) == sign(a <=> b));
    const auto x = static_cast<double>(a) / 7 * std::pow(10.0, static_cast<double>(random.number(30))),
               y = static_cast<double>(b) / 7 * std::pow(10.0, static_cast<double>(random.number(30)));
    CHECK(order(x, y) == (x < y ? -1 : y < x ? 1 : 0));
    CHECK(order(static_cast<float>(a), static_cast<float>(b)) == sign(a <=> b));
    const auto s = random.text(60), t = random.text(60);
    CHECK(order(s, t) == sign(s <=> t));
    CHECK(order(std::pair(s, a), std::pair(t, b)) == sign(std::pair(s, a) <=> std::pair(t, b)));
    const std::vector<std::string> v(random.below(3), s), w(random.below(3), t);
    CHECK(order(v, w) == sign(v <=> w));
    const auto m = random.chance(0.5) ? std::optional(a) : std::nullopt,
               n = random.chance(0.5) ? std::optional(b) : std::nullopt;
    CHECK(order(m, n) == sign(m <=> n));
  }
  CHECK(order(std::uint64_t{0}, ~std::uint64_t{0}) < 0);
  CHECK(order(INT64_MIN, INT64_MAX) < 0);
  CHECK(order(-0.0, 0.0) == 0);
  CHECK(order(INFINITY, std::nan("")) < 0);
  CHECK(order(std::nan(""), -std::nan("")) == 0);
  CHECK(order(false, true) < 0);
  CHECK(order(std::string("a"), std::string("a\0", 2)) < 0);
}

TEST_CASE("sort_by: a total, stable order over all partitions") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    auto all = items(random, 500, random.one_of<std::uint64_t>({1, 3, 50, 5000}));
    const auto chosen = any_options(random);
    const auto up = run(troupe_jobs::by_number, all, {}, chosen);
    REQUIRE(up.message == "");
    const auto down = run(troupe_jobs::by_all, all, {}, chosen);
    REQUIRE(down.message == "");
    auto sorted = all;
    std::stable_sort(sorted.begin(), sorted.end(), [](const item& x, const item& y) { return x.number < y.number; });
    CHECK(up.records<item>() == sorted);
    std::stable_sort(all.begin(), all.end(), [](const item& x, const item& y) {
      return std::tuple(x.weight, x.name, x.number) > std::tuple(y.weight, y.name, y.number);
    });
    CHECK(down.records<item>() == all);
  }
}

TEST_CASE("sort_by: many times the memory of a task, by merging runs in several passes") {
  std::vector<item> all;
  for (std::int64_t i = 0; i < 20'000; ++i) all.push_back({"n" + std::to_string(i * 7919 % 20'011), i % 977, {}});
  troupe::testing::options chosen;
  chosen.partitions = 2;
  chosen.block_records = 1000;
  const auto out = with_any_memory(chosen, [&](const auto& o) { return run(troupe_jobs::by_number, all, {}, o); });
  CHECK(out.spilled_bytes > 400'000);  // more than once
  auto sorted = all;
  std::stable_sort(sorted.begin(), sorted.end(), [](const item& x, const item& y) { return x.number < y.number; });
  CHECK(out.records<item>() == sorted);
}

TEST_CASE("sort_by: partitions are about as large as one another") {
  std::vector<item> all;
  for (std::int64_t i = 0; i < 20'000; ++i) all.push_back({"", i * 7919 % 20'011, {}});
  troupe::testing::options chosen;
  chosen.partitions = 8;
  chosen.block_records = 1000;
  const auto out = run(troupe_jobs::by_number, all, {}, chosen);
  REQUIRE(out.message == "");
  std::map<std::string, std::size_t> bytes;
  for (const auto& block : out.blocks)
    if (block[0] == '3') bytes[block.substr(0, block.find(':'))] += block.size();  // the last stage's tasks
  REQUIRE(bytes.size() == 8);
  for (const auto& [task, size] : bytes) {
    INFO(task << " " << size);
    CHECK(size > bytes.begin()->second / 2);
    CHECK(size < bytes.begin()->second * 2);
  }
}

TEST_CASE("zip_with_index: numbers follow the order of tasks and records") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    auto one = items(random, 100, 900);
    const auto other = items(random, 100, 900);
    auto out = run(troupe_jobs::numbered, one, {}, any_options(random));
    REQUIRE(out.message == "");
    auto sorted = one;
    std::stable_sort(sorted.begin(), sorted.end(), [](const item& x, const item& y) { return x.name < y.name; });
    std::vector<std::pair<std::uint64_t, std::int64_t>> wanted;
    for (const auto& i : sorted) wanted.emplace_back(wanted.size(), i.number);
    CHECK(out.records<std::pair<std::uint64_t, std::int64_t>>() == wanted);
    out = run_inputs(troupe_jobs::where_they_are, {one, other}, {}, any_options(random));
    REQUIRE(out.message == "");
    wanted.clear();
    for (const auto& i : one) wanted.emplace_back(wanted.size(), i.number);
    for (const auto& i : other) wanted.emplace_back(wanted.size(), i.number);
    CHECK(out.records<std::pair<std::uint64_t, std::int64_t>>() == wanted);
  }
}

TEST_CASE("repartition: the same records, evenly") {
  std::vector<item> all;
  for (std::int64_t i = 0; i < 1'000; ++i) all.push_back({"n", i, {}});
  troupe::testing::options chosen;
  chosen.partitions = 4;
  chosen.map_tasks = 3;
  const auto out = run(troupe_jobs::spread, all, {}, chosen);
  REQUIRE(out.message == "");
  auto got = out.records<item>();
  std::sort(got.begin(), got.end());
  CHECK(got == all);
  std::map<char, std::size_t> blocks;
  for (const auto& block : out.blocks)
    if (block[0] == '1') blocks[block[2]] += block.size();
  CHECK(blocks.size() == 4);
}

}  // namespace sorts_test
