#include "operators_model.hpp"

#include <limits>
#include <map>
#include <support/catch.hpp>

// Two sides that meet by key, and iterations.
namespace joins_test {

using namespace troupe;
using operators_model::item;

struct order {
  std::string customer;
  std::uint32_t number = 0;
  std::string text;
};
BOOST_DESCRIBE_STRUCT(order, (), (customer, number, text))

constexpr auto orders =
    read_records<order, 0>() | map([](const order& o) { return std::pair(std::string_view(o.customer), o.number); });
constexpr auto customers = read_records<item, 1>() | map([](const item& i) { return std::pair(i.name, i.number); });
TROUPE_JOB(inner, orders | join(customers) | write());
TROUPE_JOB(left, orders | left_join(customers) | write());
TROUPE_JOB(semi, orders | semi_join(customers) | write());
TROUPE_JOB(anti, orders | anti_join(customers) | write());
TROUPE_JOB(inner_small, orders | join_small(customers) | write());
TROUPE_JOB(left_small, orders | left_join_small(customers) | write());
TROUPE_JOB(semi_small, orders | semi_join_small(customers) | write());
TROUPE_JOB(anti_small, orders | anti_join_small(customers) | write());

/// Keys that are numbers.
constexpr auto numbered = read_records<item, 0>() | map([](const item& i) { return std::pair(i.number, i.name); });
constexpr auto lengths = read_records<item, 1>() | map([](const item& i) {
                           return std::pair(i.number, static_cast<std::int64_t>(i.name.size()));
                         });
TROUPE_JOB(numbers_small, numbered | join_small(lengths) | write());
constexpr auto texts = read_records<item, 1>() | map([](const item& i) { return std::pair(i.number, i.name); });
TROUPE_JOB(texts_small, numbered | join_small(texts) | write());

/// How many there are on either side, and the sum of the right one; the right side is walked first.
struct both_sides {
  std::string key;
  std::uint64_t left = 0;
  std::uint64_t right = 0;
  std::int64_t sum = 0;
};
BOOST_DESCRIBE_STRUCT(both_sides, (), (key, left, right, sum))
struct compare_sides : co_reducer<std::string_view, std::uint32_t, std::int64_t, both_sides> {
  void reduce(std::string_view key, values<std::uint32_t>& left, values<std::int64_t>& right, emitter& emit) {
    both_sides out{std::string(key), 0, 0, 0};
    for (auto v : right) ++out.right, out.sum += v;
    if (key != "k2")
      for (auto v : left) (void)v, ++out.left;
    emit(out);
  }
};
TROUPE_JOB(compared, orders | co_group<compare_sides>(customers) | write());
/// Keys that are numbers, both sides from one input.
constexpr auto by_number = read_records<item>() | map([](const item& i) { return std::pair(i.number, i.name); });
TROUPE_JOB(with_itself, by_number | join(by_number) | write());

/// Shortest paths from "a": Bellman and Ford, ten rounds.
constexpr auto edges =
    read_lines() | map([](std::string_view line) {
      return std::pair(line.substr(0, 1), std::pair(line.substr(1, 1), std::uint64_t(line[2] - '0')));
    });
constexpr auto start = edges | map([](const auto& e) {
                         return std::pair(e.first, e.first == "a" ? std::uint64_t{0} : std::uint64_t{1'000'000});
                       }) |
                       fold_by_key<minimum>();
TROUPE_JOB(distances, start | iterate<10>([](auto state) {
                        return (state | join(edges) | map([](const auto& r) {
                                  const auto& [from, both] = r;
                                  return std::pair(both.second.first, both.first + both.second.second);
                                })) |
                               union_with(state) | fold_by_key<minimum>();
                      }) | sort_by([](const auto& r) { return r.first; }) |
                          write("node", "distance"));
/// The state as a side that every task has whole: one-dimensional k-means.
constexpr auto points =
    read_lines() | map([](std::string_view line) { return static_cast<double>(std::stoi(std::string(line))); });
struct mean : folder<std::pair<double, std::uint64_t>, double> {
  std::pair<double, std::uint64_t> init() { return {}; }
  void fold(std::pair<double, std::uint64_t>& a, const double& v) { a.first += v, ++a.second; }
  void merge(std::pair<double, std::uint64_t>& a, const std::pair<double, std::uint64_t>& b) {
    a.first += b.first, a.second += b.second;
  }
  double result(const std::pair<double, std::uint64_t>& a) { return a.first / static_cast<double>(a.second); }
};
constexpr auto first_centres = points | distinct() | top<2>([](double p) { return p; });
TROUPE_JOB(clusters, first_centres | iterate<20>([](auto centres) {
                       return points |
                              map_with(centres,
                                       [](double p, const std::vector<double>& all) {
                                         std::uint64_t best = 0;
                                         for (std::uint64_t i = 1; i < all.size(); ++i)
                                           if (std::abs(all[i] - p) < std::abs(all[best] - p)) best = i;
                                         return std::pair(best, p);
                                       }) |
                              fold_by_key<mean>() | map([](const auto& c) { return c.second; });
                     }) | sort_by([](double c) { return c; }) |
                         write("centre"));

struct sides {
  std::vector<order> orders;
  std::vector<item> customers;
};
sides make_sides(test::random_source& random, std::size_t most) {
  const auto distinct = random.one_of<std::uint64_t>({1, 3, 40, 1000});
  sides out;
  out.customers = operators_model::items(random, most, distinct);
  out.orders.resize(random.size(most));
  for (auto& o : out.orders) o = {random.text(distinct), static_cast<std::uint32_t>(random.below(50)), ""};
  return out;
}
using joined = std::pair<std::string, std::pair<std::uint32_t, std::int64_t>>;
using left_joined = std::pair<std::string, std::pair<std::uint32_t, std::optional<std::int64_t>>>;
using halves = std::pair<std::string, std::uint32_t>;

template <class Record>
std::vector<Record> sorted(std::vector<Record> records) {
  std::sort(records.begin(), records.end());
  return records;
}

using operators_model::any_options;
using operators_model::with_any_memory;
using troupe::test::random_source;
using troupe::testing::run;
using troupe::testing::run_inputs;

TEST_CASE("join: inner, left, semi and anti give what two nested loops give, with and without a small side") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto [orders, customers] = make_sides(random, 120);
    std::vector<joined> inner;
    std::vector<left_joined> left;
    std::vector<halves> semi, anti;
    for (const auto& o : orders) {
      bool found = false;
      for (const auto& c : customers) {
        if (c.name != o.customer) continue;
        found = true;
        inner.push_back({o.customer, {o.number, c.number}});
        left.push_back({o.customer, {o.number, c.number}});
      }
      (found ? semi : anti).emplace_back(o.customer, o.number);
      if (!found) left.push_back({o.customer, {o.number, std::nullopt}});
    }
    const auto given = [&](const troupe::job& what, auto record, std::uint64_t memory_bytes_min = 0) {
      auto chosen = any_options(random);
      chosen.memory_bytes = std::max(chosen.memory_bytes, memory_bytes_min);
      const auto out = run_inputs(what, {orders, customers}, {}, chosen);
      REQUIRE(out.message == "");
      return out.template records<decltype(record)>();
    };
    CHECK(sorted(given(troupe_jobs::inner, joined())) == sorted(inner));
    CHECK(sorted(given(troupe_jobs::left, left_joined())) == sorted(left));
    CHECK(sorted(given(troupe_jobs::semi, halves())) == sorted(semi));
    CHECK(sorted(given(troupe_jobs::anti, halves())) == sorted(anti));
    // A small side leaves the left one as it is, in its order.
    CHECK(given(troupe_jobs::inner_small, joined(), 1 << 20) == inner);
    CHECK(given(troupe_jobs::left_small, left_joined(), 1 << 20) == left);
    CHECK(given(troupe_jobs::semi_small, halves(), 1 << 20) == semi);
    CHECK(given(troupe_jobs::anti_small, halves(), 1 << 20) == anti);
  }
}

TEST_CASE("join: within a key the left side's order comes first, then the right one's") {
  const std::vector<order> orders{{"b", 1, ""}, {"a", 2, ""}, {"b", 3, ""}};
  const std::vector<item> customers{{"b", 10, {}}, {"c", 11, {}}, {"b", 12, {}}};
  const auto out = run_inputs(troupe_jobs::inner, {orders, customers});
  REQUIRE(out.message == "");
  CHECK(out.records<joined>() == std::vector<joined>{{"b", {1, 10}}, {"b", {1, 12}}, {"b", {3, 10}}, {"b", {3, 12}}});
}

TEST_CASE("join: sides and a heavy key beyond the memory of a task give the same records in the same order") {
  std::vector<order> orders;
  std::vector<item> customers;
  for (std::uint32_t i = 0; i < 6'000; ++i)
    orders.push_back({i % 100 == 0 ? "heavy" : "c" + std::to_string(i * 31 % 3'001), i, std::string(20, 'o')});
  for (std::int64_t i = 0; i < 6'000; ++i)
    customers.push_back({i % 10 == 0 ? "heavy" : "c" + std::to_string(i * 17 % 3'001), i, {}});
  troupe::testing::options chosen;
  chosen.partitions = 2;
  chosen.block_records = 1000;
  const auto out = with_any_memory(chosen, [&](const auto& o) {
    return run_inputs(troupe_jobs::inner, {orders, customers}, {}, o);
  });
  CHECK(out.spilled_bytes > 0);
  CHECK(out.encoded.size() > 36'000);
  const auto grouped = with_any_memory(chosen, [&](const auto& o) {
    return run_inputs(troupe_jobs::compared, {orders, customers}, {}, o);
  });
  CHECK(grouped.spilled_bytes > 0);
}

TEST_CASE("join: a small side that is not small fails with a sentence") {
  std::vector<item> customers(20'000);
  for (std::size_t i = 0; i < customers.size(); ++i) customers[i].name = "customer " + std::to_string(i);
  troupe::testing::options chosen;
  chosen.memory_bytes = 64 << 10;
  const auto out = run_inputs(troupe_jobs::inner_small, {std::vector<order>{{"x", 1, ""}}, customers}, {}, chosen);
  CHECK(out.failed);
  CHECK(out.message.find("do not fit into a task's memory; use join(other)") != std::string::npos);
}

TEST_CASE(
    "join: a small side by numbers: zero, the least and the greatest, several values of a key, another side next") {
  constexpr auto least = std::numeric_limits<std::int64_t>::min(), greatest = std::numeric_limits<std::int64_t>::max();
  using both = std::pair<std::int64_t, std::pair<std::string, std::int64_t>>;
  // Every run is one process: the side that was kept meets other bytes, fewer blocks and more of them.
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto any = [&] { return random.one_of<std::int64_t>({0, 1, -1, least, greatest, 5, 77'000}); };
    std::vector<item> left(random.size(80)), right(random.size(80));
    for (auto& i : left) i = {random.text(9), any(), {}};
    for (auto& i : right) i = {random.text(9), any(), {}};
    std::vector<both> wanted;
    for (const auto& l : left)
      for (const auto& r : right)
        if (l.number == r.number) wanted.push_back({l.number, {l.name, static_cast<std::int64_t>(r.name.size())}});
    auto chosen = any_options(random);
    chosen.memory_bytes = std::max<std::uint64_t>(chosen.memory_bytes, 1 << 20);
    const auto out = run_inputs(troupe_jobs::numbers_small, {left, right}, {}, chosen);
    REQUIRE(out.message == "");
    CHECK(out.records<both>() == wanted);
    const auto again = run_inputs(troupe_jobs::numbers_small, {left, right}, {}, chosen);
    CHECK(again.blocks == out.blocks);
  }
}

TEST_CASE("join: a small side that is too large to be kept from task to task is made anew in each") {
  std::vector<item> left(200), right(500);
  for (std::size_t i = 0; i < left.size(); ++i) left[i] = {"l", static_cast<std::int64_t>(i), {}};
  for (std::size_t i = 0; i < right.size(); ++i) right[i] = {std::string(300, 'r'), static_cast<std::int64_t>(i), {}};
  troupe::testing::options chosen;
  chosen.map_tasks = 5;
  chosen.memory_bytes = 1 << 20;  // an eighth of it is less than the side
  const auto tight = run_inputs(troupe_jobs::texts_small, {left, right}, {}, chosen);
  REQUIRE(tight.message == "");
  chosen.memory_bytes = 64 << 20;
  const auto roomy = run_inputs(troupe_jobs::texts_small, {left, right}, {}, chosen);
  CHECK(tight.encoded.size() == 200);
  CHECK(tight.encoded == roomy.encoded);
}

TEST_CASE("co_group: each key of either side once, its sides in any order or left alone") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto [orders, customers] = make_sides(random, 120);
    std::map<std::string, both_sides> wanted;
    for (const auto& o : orders) wanted[o.customer].left += o.customer != "k2";
    for (const auto& c : customers) ++wanted[c.name].right, wanted[c.name].sum += c.number;
    const auto out = run_inputs(troupe_jobs::compared, {orders, customers}, {}, any_options(random));
    REQUIRE(out.message == "");
    const auto got = out.records<both_sides>();
    CHECK(got.size() == wanted.size());
    for (const auto& g : got) {
      REQUIRE(wanted.contains(g.key));
      const auto& w = wanted.at(g.key);
      CHECK(std::tuple(g.left, g.right, g.sum) == std::tuple(w.left, w.right, w.sum));
    }
  }
}

TEST_CASE("join: of a pipeline with itself, by numbers, in their order") {
  const std::vector<item> all{{"x", 5, {}}, {"y", -3, {}}, {"z", 5, {}}};
  const auto out = run(troupe_jobs::with_itself, all);
  REQUIRE(out.message == "");
  using both = std::pair<std::int64_t, std::pair<std::string, std::string>>;
  CHECK(sorted(out.records<both>()) ==
        std::vector<both>{{-3, {"y", "y"}}, {5, {"x", "x"}}, {5, {"x", "z"}}, {5, {"z", "x"}}, {5, {"z", "z"}}});
  CHECK(troupe_jobs::with_itself.table().stage_count == 2);  // what both sides read is one stage
}

TEST_CASE("iterate: shortest paths; what does not depend on the state is computed once") {
  const std::vector<std::string> lines{"ab4", "ac1", "cb2", "bd5", "de1", "xy1", "ea9", "ce9"};
  std::uint64_t of_edges = 0;
  const auto& table = troupe_jobs::distances.table();
  for (std::uint32_t s = 0; s < table.stage_count; ++s)
    of_edges += table.stages[s].branches[0].edges[0].kind == TROUPE_EDGE_DATASET;
  CHECK(of_edges == 2);  // the beginning, and the links
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    random_source random(seed);
    const auto out = run(troupe_jobs::distances, lines, {}, any_options(random));
    REQUIRE(out.message == "");
    using distance = std::pair<std::string, std::uint64_t>;
    CHECK(out.records<distance>() ==
          std::vector<distance>{{"a", 0}, {"b", 3}, {"c", 1}, {"d", 8}, {"e", 9}, {"x", 1'000'000}, {"y", 1'000'001}});
  }
}

TEST_CASE("iterate: k-means with the centres as a side") {
  std::vector<std::string> lines;
  for (int i = 0; i < 50; ++i) lines.push_back(std::to_string(i % 10)), lines.push_back(std::to_string(100 + i % 7));
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    random_source random(seed);
    const auto out = run(troupe_jobs::clusters, lines, {}, any_options(random));
    REQUIRE(out.message == "");
    const auto centres = out.records<double>();
    REQUIRE(centres.size() == 2);
    CHECK(std::abs(centres[0] - 4.5) < 1e-9);
    CHECK(std::abs(centres[1] - 102.94) < 1e-9);
  }
}

}  // namespace joins_test
