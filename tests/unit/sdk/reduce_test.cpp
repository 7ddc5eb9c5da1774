#include <boost/describe/class.hpp>
#include <map>
#include <support/catch.hpp>
#include <troupe/sdk.hpp>
#include <troupe/sdk/testing.hpp>

/// The general reducer: grouping, order, and its limits.
namespace reduce_test {

using namespace troupe;

/// "key value" lines; several pairs a line.
struct pairs : mapper<std::string_view, std::string_view, std::string_view> {
  void map(std::string_view line, emitter& emit) {
    std::string_view key;
    for (auto word : words(line)) {
      if (key.empty())
        key = word;
      else
        emit(key, word);
    }
  }
};
struct posting {
  std::string word;
  std::vector<std::string> where;
};
BOOST_DESCRIBE_STRUCT(posting, (), (word, where))
struct collect : reducer<std::string_view, std::string_view, posting> {
  void start(const parameters&, context& c) { groups = &c.counter_named("groups"); }
  void reduce(std::string_view key, values<std::string_view>& all, emitter& emit) {
    posting out{std::string(key), {}};
    for (const auto& value : all) out.where.emplace_back(value);
    emit(out);
    ++*groups;
  }
  counter* groups = nullptr;
};
TROUPE_JOB(index, read_lines() | map<pairs>() | reduce<collect>() | write());

/// Numbers as keys, keys and values as output; only the first value is looked at.
struct numbers : mapper<std::string_view, std::int64_t, std::string> {
  void map(std::string_view line, emitter& emit) {
    emit(std::stoll(std::string(line)), std::string(line.substr(line.find(' ') + 1)));
  }
};
struct first_value : reducer<std::int64_t, std::string, std::int64_t, std::string> {
  void reduce(std::int64_t key, values<std::string>& all, emitter& emit) {
    for (const auto& value : all) {
      emit(key, value);
      break;
    }
  }
};
TROUPE_JOB(firsts, read_lines() | map<numbers>() | reduce<first_value>() | write("number", "first"));

struct walks_twice : reducer<std::int64_t, std::string, std::int64_t, std::int64_t> {
  void reduce(std::int64_t key, values<std::string>& all, emitter& emit) {
    for (const auto& value : all) emit(key, static_cast<std::int64_t>(value.size()));
    for (const auto& value : all) emit(key, static_cast<std::int64_t>(value.size()));
  }
};
TROUPE_JOB(twice, read_lines() | map<numbers>() | reduce<walks_twice>() | write());

using troupe::testing::options;

TEST_CASE("reduce: each key once, with its values in the order of the records") {
  std::vector<std::string> lines;
  std::map<std::string, std::vector<std::string>> wanted;
  for (int i = 0; i < 3000; ++i) {
    const auto key = (i % 2 == 0 ? "k" : "a-key-that-is-too-long-to-lie-inside-") + std::to_string(i % 97);
    lines.push_back(key + " v" + std::to_string(i) + " w" + std::to_string(i));
    auto& list = wanted[key];
    list.push_back("v" + std::to_string(i));
    list.push_back("w" + std::to_string(i));
  }
  for (const std::uint32_t tasks : {1, 3}) {
    for (const std::uint64_t memory : {std::uint64_t{1} << 20, std::uint64_t{64} << 20}) {
      options chosen;
      chosen.map_tasks = tasks;
      chosen.partitions = 4;
      chosen.memory_bytes = memory;
      const auto out = troupe::testing::run(reduce_test::troupe_jobs::index, lines, {}, chosen);
      REQUIRE(out.ok());
      std::map<std::string, std::vector<std::string>> got;
      for (auto& p : out.records<posting>()) CHECK(got.emplace(p.word, p.where).second);
      CHECK(got == wanted);
      CHECK(out.counters.at("groups") == 2 * 97);
    }
  }
}

TEST_CASE("reduce: numbers come in their order, and values that are not asked for are passed over") {
  std::vector<std::string> lines;
  for (int i = 0; i < 400; ++i) lines.push_back(std::to_string((i * 37) % 100 - 50) + " v" + std::to_string(i));
  options chosen;
  chosen.partitions = 1;
  const auto out = troupe::testing::run(reduce_test::troupe_jobs::firsts, lines, {}, chosen);
  REQUIRE(out.ok());
  const auto got = out.records<std::pair<std::int64_t, std::string>>();
  REQUIRE(got.size() == 100);
  for (std::int64_t i = 0; i < 100; ++i) {
    CHECK(got[static_cast<std::size_t>(i)].first == i - 50);
    int first = 0;
    while ((first * 37) % 100 - 50 != i - 50) ++first;
    CHECK(got[static_cast<std::size_t>(i)].second == "v" + std::to_string(first));
  }
  CHECK(out.output_schema ==
        troupe::schema{{{"number", troupe::field_type::int64, {}}, {"first", troupe::field_type::string, {}}}});
}

TEST_CASE("reduce: values can be walked once") {
  const auto out = troupe::testing::run(reduce_test::troupe_jobs::twice, {"1 a"});
  CHECK(out.failed);
  CHECK(out.message == "the values of a key can be walked once; keep what you need");
  CHECK_FALSE(out.offset.has_value());
}

TEST_CASE("reduce: a partition that does not fit into memory is sorted in scratch files, with the same outcome") {
  std::vector<std::string> lines;
  for (int i = 0; i < 2000; ++i)
    lines.push_back((i % 4 == 0 ? std::string("rare") + std::to_string(i) : std::string("common")) + " " +
                    std::string(1000, 'v'));
  options chosen;
  chosen.partitions = 1;
  const auto roomy = troupe::testing::run(reduce_test::troupe_jobs::index, lines, {}, chosen);
  REQUIRE(roomy.ok());
  CHECK(roomy.spilled_bytes == 0);
  chosen.memory_bytes = 100 << 10;
  const auto tight = troupe::testing::run(reduce_test::troupe_jobs::index, lines, {}, chosen);
  REQUIRE(tight.ok());
  CHECK(tight.spilled_bytes > 2'000'000);
  CHECK(tight.encoded == roomy.encoded);
}

}  // namespace reduce_test
