#include "operators_model.hpp"

#include <cmath>
#include <map>
#include <set>
#include <support/catch.hpp>

// Pipelines of several stages against the same in plain code.
namespace chains_test {

using namespace troupe;
using operators_model::item;

struct by_name : mapper<item, std::string_view, std::int64_t> {
  void map(const item& i, emitter& emit) { emit(i.name, i.number); }
};
using total = std::pair<std::string_view, std::int64_t>;

constexpr auto totals = read_records<item>() | map<by_name>() | fold_by_key<sum>();
/// Two shuffles: how many names have each total.
TROUPE_JOB(histogram, totals | filter([](const total& t) { return t.second % 3 != 0; }) |
                          map([](const total& t) { return std::pair(t.second, std::uint64_t{1}); }) |
                          fold_by_key<sum>() | write("total", "names"));

/// Three, with a mapper in the middle that writes whole records, and a reducer at the end.
struct renamed {
  std::string_view name;
  std::int64_t total = 0;
};
BOOST_DESCRIBE_STRUCT(renamed, (), (name, total))
struct rename : mapper<total, renamed> {
  void map(const total& t, emitter& emit) {
    emit({t.first.substr(0, 2), t.second});
    if (t.second < 0) emit({"negative", t.second});
  }
};
struct widest : reducer<std::string_view, std::int64_t, std::string, std::int64_t> {
  void reduce(std::string_view key, values<std::int64_t>& all, emitter& emit) {
    std::int64_t least = INT64_MAX, most = INT64_MIN;
    for (auto v : all) least = std::min(least, v), most = std::max(most, v);
    emit(key, most - least);
  }
};
struct add_ten {
  void start(const parameters& given, context&) { ten = given.integer("ten", 10); }
  std::pair<std::string, std::int64_t> operator()(const std::pair<std::string, std::int64_t>& in) const {
    return {in.first + "+", in.second + ten};
  }
  std::int64_t ten = 0;
};
TROUPE_JOB(spans,
           totals | map<rename>() | map([](const renamed& r) { return std::pair(r.name, r.total); }) |
               reduce<widest>() | map<add_ten>() | write("prefix", "span"),
           parameter("ten", "what is added"));

TROUPE_JOB(names, read_records<item>() | flat_map<std::string_view>([](const item& i, auto& emit) {
                    for (std::int64_t n = 0; n < i.number % 3; ++n) emit(i.name);
                  }) | distinct() |
                      write("name"));
TROUPE_JOB(distinct_items, read_records<item>() | distinct() | write());
TROUPE_JOB(how_many,
           read_records<item>() | filter([](const item& i) { return i.number > 0; }) | count_all() | write("items"));
TROUPE_JOB(greatest, read_records<item>() | map([](const item& i) { return i.number; }) | fold<maximum>() | write());
TROUPE_JOB(both, (read_records<item, 0>() | filter([](const item& i) { return i.number < 0; })) |
                     union_with(read_records<item, 1>()) |
                     map([](const item& i) { return std::pair(i.name, std::uint64_t{1}); }) | fold_by_key<sum>() |
                     write());
TROUPE_JOB(both_as_they_are, read_records<item, 0>() | union_with(read_records<item, 1>()) | write());
TROUPE_JOB(best, read_records<item>() | top<5>([](const item& i) { return std::pair(i.number, i.name); }) | write());
TROUPE_JOB(best_by_number, read_records<item>() | top<7>([](const item& i) { return -i.number; }) | write());

/// One sub-pipeline, two readers: the difference to the mean of all.
struct mean : folder<std::pair<double, std::uint64_t>, total> {
  std::pair<double, std::uint64_t> init() { return {}; }
  void fold(std::pair<double, std::uint64_t>& a, const total& t) {
    a.first += static_cast<double>(t.second), ++a.second;
  }
  void merge(std::pair<double, std::uint64_t>& a, const std::pair<double, std::uint64_t>& b) {
    a.first += b.first;
    a.second += b.second;
  }
  double result(const std::pair<double, std::uint64_t>& a) {
    return a.second == 0 ? 0 : a.first / static_cast<double>(a.second);
  }
};
constexpr auto kept = totals | keep();
TROUPE_JOB(differences, kept | map_with(kept | fold<mean>(), [](const total& t, const std::vector<double>& m) {
                          return std::pair(t.first, static_cast<double>(t.second) - m.at(0));
                        }) | write());
TROUPE_JOB(every_third, read_records<item>() | sample<1, 3>() | write());
TROUPE_JOB(twice_sampled, read_records<item>() | sample<1, 2>() | sample<1, 2>() | write());

std::map<std::string, std::int64_t> totals_of(const std::vector<item>& all) {
  std::map<std::string, std::int64_t> out;
  for (const auto& i : all) out[i.name] += i.number;
  return out;
}

using operators_model::any_options;
using operators_model::items;
using operators_model::with_any_memory;
using troupe::test::random_source;
using troupe::testing::run;
using troupe::testing::run_inputs;

TEST_CASE("chains: two shuffles in one job give what plain code gives") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto all = items(random, 400, random.one_of<std::uint64_t>({1, 4, 50, 5000}));
    std::map<std::int64_t, std::uint64_t> wanted;
    for (const auto& [name, sum] : totals_of(all))
      if (sum % 3 != 0) ++wanted[sum];
    const auto out = run(troupe_jobs::histogram, all, {}, any_options(random));
    REQUIRE(out.message == "");
    CHECK(out.map<std::int64_t, std::uint64_t>() == wanted);
    CHECK(out.encoded.size() == wanted.size());
  }
}

TEST_CASE("chains: mappers of pairs and of records, functions and reducers follow one another in any order") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto all = items(random, 300, random.one_of<std::uint64_t>({1, 20, 900}));
    std::map<std::string, std::vector<std::int64_t>> groups;
    for (const auto& [name, sum] : totals_of(all)) {
      groups[name.substr(0, 2)].push_back(sum);
      if (sum < 0) groups["negative"].push_back(sum);
    }
    std::map<std::string, std::int64_t> wanted;
    for (auto& [prefix, sums] : groups)
      wanted[prefix + "+"] =
          *std::max_element(sums.begin(), sums.end()) - *std::min_element(sums.begin(), sums.end()) + 12;
    const auto out = run(troupe_jobs::spans, all, {{"ten", "12"}}, any_options(random));
    REQUIRE(out.message == "");
    CHECK(out.map<std::string, std::int64_t>() == wanted);
  }
}

TEST_CASE("chains: distinct, count, fold of everything") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto all = items(random, 300, random.one_of<std::uint64_t>({1, 3, 900}));
    std::set<std::string> names;
    std::uint64_t positive = 0;
    std::int64_t most = INT64_MIN;
    for (const auto& i : all) {
      if (i.number % 3 > 0) names.insert(i.name);
      if (i.number > 0) ++positive;
      most = std::max(most, i.number);
    }
    auto out = run(troupe_jobs::names, all, {}, any_options(random));
    REQUIRE(out.message == "");
    const auto got = out.records<std::string>();
    CHECK(std::set<std::string>(got.begin(), got.end()) == names);
    CHECK(got.size() == names.size());
    out = run(troupe_jobs::distinct_items, all, {}, any_options(random));
    const auto distinct = out.records<item>();
    CHECK(std::set<item>(distinct.begin(), distinct.end()) == std::set<item>(all.begin(), all.end()));
    CHECK(distinct.size() == std::set<item>(all.begin(), all.end()).size());
    out = run(troupe_jobs::how_many, all, {}, any_options(random));
    CHECK(out.records<std::uint64_t>() == std::vector{positive});  // also when there is none: nothing is a number, too
    out = run(troupe_jobs::greatest, all, {}, any_options(random));
    CHECK(out.records<std::int64_t>() == std::vector{most});
  }
}

TEST_CASE("chains: union reads both sides, in order") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto one = items(random, 100, 20), other = items(random, 100, 20);
    std::map<std::string, std::uint64_t> wanted;
    for (const auto& i : one)
      if (i.number < 0) ++wanted[i.name];
    for (const auto& i : other) ++wanted[i.name];
    auto out = run_inputs(troupe_jobs::both, {one, other}, {}, any_options(random));
    REQUIRE(out.message == "");
    CHECK(out.map<std::string, std::uint64_t>() == wanted);
    out = run_inputs(troupe_jobs::both_as_they_are, {one, other}, {}, any_options(random));
    auto whole = one;
    whole.insert(whole.end(), other.begin(), other.end());
    CHECK(out.records<item>() == whole);
  }
  CHECK(troupe_jobs::both_as_they_are.table().stage_count == 1);
}

TEST_CASE("chains: top gives the greatest, and of equals the first") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    auto all = items(random, 200, random.one_of<std::uint64_t>({1, 5, 900}));
    auto out = run(troupe_jobs::best, all, {}, any_options(random));
    REQUIRE(out.message == "");
    auto sorted = all;
    std::stable_sort(sorted.begin(), sorted.end(), [](const item& x, const item& y) {
      return std::pair(x.number, x.name) > std::pair(y.number, y.name);
    });
    sorted.resize(std::min<std::size_t>(sorted.size(), 5));
    CHECK(out.records<item>() == sorted);
    out = run(troupe_jobs::best_by_number, all, {}, any_options(random));
    std::stable_sort(all.begin(), all.end(), [](const item& x, const item& y) { return x.number < y.number; });
    all.resize(std::min<std::size_t>(all.size(), 7));
    CHECK(out.records<item>() == all);
  }
}

TEST_CASE("chains: a part that is used twice is one stage, and a side that every task has whole") {
  CHECK(troupe_jobs::differences.table().stage_count == 5);  // combine; fold, keep; fold of all, its one task; the last
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto all = items(random, 200, 30);
    const auto sums = totals_of(all);
    double mean = 0;
    for (const auto& [name, sum] : sums) mean += static_cast<double>(sum);
    if (!sums.empty()) mean /= static_cast<double>(sums.size());
    const auto out = run(troupe_jobs::differences, all, {}, any_options(random));
    REQUIRE(out.message == "");
    const auto got = out.map<std::string, double>();
    REQUIRE(got.size() == sums.size());
    for (const auto& [name, sum] : sums) CHECK(std::abs(got.at(name) - (static_cast<double>(sum) - mean)) < 1e-9);
  }
}

TEST_CASE("chains: a fold of more keys than memory holds gives the same records in the same order") {
  std::vector<item> all;
  for (std::int64_t i = 0; i < 20'000; ++i)
    all.push_back({"name " + std::to_string(i * 7919 % 6'007) + (i % 3 == 0 ? std::string(30, 'y') : ""), i, {}});
  troupe::testing::options few;
  few.partitions = 2;
  few.block_records = 1000;
  const auto out = with_any_memory(few, [&](const auto& o) { return run(troupe_jobs::distinct_items, all, {}, o); });
  CHECK(out.spilled_bytes > 0);
  CHECK(out.spilled_bytes < 20 * 20'000 * 30);  // not once for each memory full
  CHECK(out.encoded.size() == all.size());
  const auto sums = with_any_memory(few, [&](const auto& o) { return run(troupe_jobs::histogram, all, {}, o); });
  std::map<std::int64_t, std::uint64_t> wanted;
  for (const auto& [name, sum] : totals_of(all))
    if (sum % 3 != 0) ++wanted[sum];
  CHECK(sums.map<std::int64_t, std::uint64_t>() == wanted);
}

TEST_CASE("chains: a reduce of more values than memory holds, of one key or of many") {
  std::vector<item> all;
  for (std::int64_t i = 0; i < 8'000; ++i)
    all.push_back({i % 2 == 0 ? "heavy" : "key " + std::to_string(i * 31 % 4'001), i * (i % 5 - 2), {}});
  troupe::testing::options few;
  few.partitions = 2;
  few.block_records = 1000;
  const auto out = with_any_memory(few, [&](const auto& o) { return run(troupe_jobs::spans, all, {{"ten", "0"}}, o); });
  CHECK(out.spilled_bytes > 0);
}

TEST_CASE("chains: a sample is the same in every run and about as large as was asked for") {
  std::vector<item> all(9'000);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].number = static_cast<std::int64_t>(i);
  troupe::testing::options chosen;
  chosen.block_records = 500;
  const auto one = run(troupe_jobs::every_third, all, {}, chosen);
  REQUIRE(one.message == "");
  CHECK(one.encoded.size() > 2'800);
  CHECK(one.encoded.size() < 3'200);
  chosen.seed = 99;  // of the job: another run
  CHECK(run(troupe_jobs::every_third, all, {}, chosen).encoded == one.encoded);
  CHECK(run(troupe_jobs::every_third, all, {{"sample_seed", "7"}}, chosen).encoded != one.encoded);
  const auto quarter = run(troupe_jobs::twice_sampled, all, {}, chosen).encoded.size();
  CHECK(quarter > 2'050);
  CHECK(quarter < 2'450);
}

}  // namespace chains_test
