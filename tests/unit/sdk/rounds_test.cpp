#include <cmath>
#include <map>
#include <support/catch.hpp>

#include "operators_model.hpp"

/// iterate_until: as many rounds as the data needs, and no more.
namespace rounds_test {

using namespace troupe;
using operators_model::item;

constexpr auto numbers =
    read_records<item>() | map([](const item& i) { return std::pair(i.name, i.number); }) | fold_by_key<sum>();
/// Halves until every number stays as it is.
TROUPE_JOB(halved, numbers | map([](const auto& p) { return std::pair(std::string(p.first), p.second); }) |
                       iterate_until<70>(
                           [](auto state) {
                             return state | map([](const auto& p) { return std::pair(p.first, p.second / 2); }) |
                                    fold_by_key<sum>();
                           },
                           [](auto before, auto after) {
                             return before | join(after) |
                                    map([](const auto& j) { return j.second.first == j.second.second; });
                           }) |
                       write("name", "left"));
/// The same with three rounds at most, a test that folds, and more operators behind it.
TROUPE_JOB(cut_short, numbers | map([](const auto& p) { return std::pair(std::string(p.first), p.second); }) |
                          iterate_until<3>(
                              [](auto state) {
                                return state | map([](const auto& p) { return std::pair(p.first, p.second / 2); }) |
                                       union_with(state | filter([](const auto&) { return false; })) |
                                       sort_by([](const auto& p) { return p.second; }) | repartition();
                              },
                              [](auto, auto after) {
                                return after | map([](const auto& p) { return std::uint64_t(p.second == 0 ? 0 : 1); }) |
                                       fold<sum>() | map([](std::uint64_t left) { return left == 0; });
                              }) |
                          filter([](const auto& p) { return p.second != 0; }) | count_all() | write("left"));

std::uint64_t rounds_of(std::vector<std::int64_t> all, std::uint64_t most, bool until_zero) {
  std::uint64_t rounds = 0;
  for (bool on = true; on && rounds < most; ++rounds) {
    on = false;
    for (auto& n : all) {
      const auto before = n;
      n /= 2;
      on = on || (until_zero ? n != 0 : n != before);
    }
  }
  return rounds;
}

}  // namespace rounds_test

using operators_model::any_options;
using operators_model::items;
using troupe::test::random_source;
using troupe::testing::run;

TEST_CASE("rounds: end when nothing changes any more, and give the state of the last one") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto all = items(random, 200, random.one_of<std::uint64_t>({1, 20, 100'000}));
    std::map<std::string, std::int64_t> sums, wanted;
    for (const auto& i : all) sums[i.name] += i.number;
    std::vector<std::int64_t> numbers;
    for (const auto& [name, sum] : sums) numbers.push_back(sum), wanted[name] = 0;
    const auto out = run(rounds_test::troupe_jobs::halved, all, {}, any_options(random));
    REQUIRE(out.message == "");
    CHECK(out.map<std::string, std::int64_t>() == wanted);
    CHECK(out.counters.at("rounds") == static_cast<std::int64_t>(rounds_test::rounds_of(numbers, 70, false)));
  }
}

TEST_CASE("rounds: are at most as many as was said") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto all = items(random, 60, random.one_of<std::uint64_t>({1, 6, 60}));
    std::map<std::string, std::int64_t> sums;
    for (const auto& i : all) sums[i.name] += i.number;
    std::vector<std::int64_t> numbers;
    for (const auto& [name, sum] : sums) numbers.push_back(sum);
    const auto rounds = rounds_test::rounds_of(numbers, 3, true);
    std::uint64_t left = 0;
    for (const auto n : numbers) left += n / (1 << rounds) != 0 ? 1 : 0;
    const auto out = run(rounds_test::troupe_jobs::cut_short, all, {}, any_options(random));
    REQUIRE(out.message == "");
    REQUIRE(out.encoded.size() == 1);
    std::uint64_t found = 0;
    troupe::sdk::decode_field(out.encoded[0].data(), out.encoded[0].data() + out.encoded[0].size(), found);
    CHECK(found == left);
    CHECK(out.counters.at("rounds") == static_cast<std::int64_t>(rounds));
  }
}
