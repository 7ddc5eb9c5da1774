#include <map>
#include <support/catch.hpp>

#include "operators_model.hpp"

/// Jobs that write several datasets, and jobs that say which parameters they take.
namespace outputs_test {

using namespace troupe;
using operators_model::item;

constexpr auto all = read_records<item>();
struct at_least {
  void start(const parameters& given, context&) { least = given.integer("least", 0); }
  bool operator()(const item& i) const { return i.number >= least; }
  std::int64_t least = 0;
};
constexpr auto sums = all | map([](const item& i) { return std::pair(i.name, i.number); }) | fold_by_key<sum>();

TROUPE_JOB(sorted_out, all | filter<at_least>() | write().named("kept"),
           all | union_with(all) | map([](const item& i) { return i.number; }) | write("number").named("twice"),
           sums | write("name", "sum"), parameter("least", "records with less are left out"));
TROUPE_JOB(forgets_to_declare, all | filter<at_least>() | write());
/// The first columns of an item.
struct names_only {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(names_only, (), (name))
TROUPE_JOB(first_column, read_records<names_only>() | write());
TROUPE_JOB(sampled, all | sample<1, 2>() | write(), parameter("other", "not read by anything"));

}  // namespace outputs_test

using operators_model::any_options;
using operators_model::item;
using operators_model::items;
using troupe::test::random_source;
using troupe::testing::run;

TEST_CASE("outputs: each has its own records, whatever the tasks and the memory") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    random_source random(seed);
    const auto all = items(random, 300, random.one_of<std::uint64_t>({1, 20, 900}));
    std::vector<item> kept;
    std::vector<std::int64_t> numbers;
    std::map<std::string, std::int64_t> sums;
    for (const auto& i : all) {
      if (i.number >= 3) kept.push_back(i);
      numbers.push_back(i.number);
      sums[i.name] += i.number;
    }
    numbers.insert(numbers.end(), numbers.begin(), numbers.end());
    const auto out = run(outputs_test::troupe_jobs::sorted_out, all, {{"least", "3"}}, any_options(random));
    REQUIRE(out.message == "");
    CHECK(out.records<item>() == kept);
    std::vector<std::int64_t> found;
    for (const auto& bytes : out.more_encoded.at(0)) {
      std::int64_t number = 0;
      const char* const end = bytes.data() + bytes.size();
      REQUIRE(troupe::sdk::decode_field(bytes.data(), end, number) == end);
      found.push_back(number);
    }
    CHECK(found == numbers);
    CHECK(out.map<std::string, std::int64_t>(2) == sums);
  }
}

TEST_CASE("outputs: the table names them, with their schemas and branches of the last stage") {
  const auto& table = outputs_test::troupe_jobs::sorted_out.table();
  REQUIRE(table.output_count == 3);
  CHECK(std::string(table.outputs[0].name) == "kept");
  CHECK(std::string(table.outputs[1].name) == "twice");
  CHECK(std::string(table.outputs[2].name) == "output3");
  CHECK(table.outputs[0].branches == 1);
  CHECK(table.outputs[1].branches == 2);
  CHECK(table.stages[table.stage_count - 1].branch_count == 4);
  CHECK(outputs_test::troupe_jobs::sorted_out.output_schema(2).fields.at(1).name == "sum");
  CHECK(outputs_test::troupe_jobs::sampled.table().output_count == 0);
}

TEST_CASE("parameters: what is not declared is refused, whether given or read") {
  const std::vector<item> one{{"a", 1, {}}};
  const auto misspelt = run(outputs_test::troupe_jobs::sorted_out, one, {{"leest", "3"}});
  CHECK(misspelt.message == "job sorted_out takes no parameter leest");
  const auto undeclared = run(outputs_test::troupe_jobs::forgets_to_declare, one);
  CHECK(undeclared.message.find("reads parameter least and does not declare it: add troupe::parameter(\"least\"") !=
        std::string::npos);
  // sample<N, D>() brings its own; and a job without any declares none.
  const auto& table = outputs_test::troupe_jobs::sampled.table();
  REQUIRE(table.parameter_count == 2);
  CHECK(std::string(table.parameters[1].name) == "sample_seed");
  CHECK(run(outputs_test::troupe_jobs::sampled, one, {{"sample_seed", "4"}}).ok());
  CHECK(outputs_test::troupe_jobs::forgets_to_declare.table().parameter_count == 0);
  CHECK(outputs_test::troupe_jobs::forgets_to_declare.table().parameters != nullptr);
}

TEST_CASE("read_records: a dataset may have more columns than the struct; they are skipped") {
  const std::vector<item> all{{"a", 1, {}}, {"", -7, 2.5}, {"long enough not to lie inside", 1 << 20, {}}};
  const auto out = troupe::testing::detail::run_encoded(outputs_test::troupe_jobs::first_column,
                                                        {troupe::testing::input(all).records}, {}, {});
  REQUIRE(out.message == "");
  std::vector<std::string> found;
  for (const auto& r : out.records<outputs_test::names_only>()) found.push_back(r.name);
  CHECK(found == std::vector<std::string>{"a", "", "long enough not to lie inside"});
}
