#include <boost/describe/class.hpp>
#include <map>
#include <support/catch.hpp>
#include <troupe/sdk.hpp>
#include <troupe/sdk/testing.hpp>

namespace pipeline_test {

using namespace troupe;

struct split_words : mapper<std::string_view, std::string_view, std::uint64_t> {
  void map(std::string_view line, emitter& emit) {
    for (auto word : words(line)) emit(word, 1);
  }
};
TROUPE_JOB(word_count, read_lines() | map<split_words>() | fold_by_key<sum>() | write("word", "count"));

/// An average: the accumulator is a struct, the result a number.
struct total {
  double sum = 0;
  std::uint64_t count = 0;
};
BOOST_DESCRIBE_STRUCT(total, (), (sum, count))
struct average : folder<total, double> {
  total init() { return {}; }
  void fold(total& a, const double& value) {
    a.sum += value;
    ++a.count;
  }
  void merge(total& a, const total& other) {
    a.sum += other.sum;
    a.count += other.count;
  }
  double result(const total& a) { return a.sum / static_cast<double>(a.count); }
};
struct reading {
  std::string station;
  std::optional<double> degrees;
  std::int32_t day = 0;
};
BOOST_DESCRIBE_STRUCT(reading, (), (station, degrees, day))
struct by_day : mapper<reading, std::int32_t, double> {
  void start(const parameters& given, context& c) {
    station = given.text("station");
    missing = &c.counter_named("missing");
  }
  void map(const reading& r, emitter& emit) {
    if (r.station != station) return;
    if (r.degrees)
      emit(r.day, *r.degrees);
    else
      ++*missing;
  }
  std::string station;
  counter* missing = nullptr;
};
TROUPE_JOB(averages, read_records<reading>() | map<by_day>() | fold_by_key<average>() | write("day", "degrees"),
           parameter("station", "whose readings"));

/// The longest value: values are views, keys come from a buffer of the mapper's own that changes at once.
struct by_first_letter : mapper<std::string_view, std::string_view, std::string_view> {
  void map(std::string_view line, emitter& emit) {
    for (auto word : words(line)) {
      std::string key(word.substr(0, 1));
      std::string value(word);
      if (word.size() > 3) key = "words that begin with the letter " + key;
      emit(key, value);
      std::fill(key.begin(), key.end(), '#');
      std::fill(value.begin(), value.end(), '#');
    }
  }
};
struct longest : folder<std::string, std::string_view> {
  std::string init() { return {}; }
  void fold(std::string& a, const std::string_view& value) {
    if (value.size() > a.size()) a = value;
  }
  void merge(std::string& a, const std::string& other) { fold(a, other); }
};
TROUPE_JOB(longest_words, read_lines() | map<by_first_letter>() | fold_by_key<longest>() | write());

/// Map only, with whole records, a filter, start and finish.
struct numbered {
  std::uint64_t number = 0;
  std::string_view line;
};
BOOST_DESCRIBE_STRUCT(numbered, (), (number, line))
struct keep_matching : mapper<std::string_view, numbered> {
  void start(const parameters& given, context& c) {
    wanted = given.text("contains", "");
    twice = given.flag("twice");
    where = &c;
    c.log("looking for " + wanted);
  }
  void map(std::string_view line, emitter& emit) {
    if (line.find(wanted) == line.npos) return where->count("dropped");
    for (int i = 0; i <= static_cast<int>(twice); ++i) emit({where->offset(), line});
    where->count("kept");
  }
  void finish(emitter& emit) { emit({UINT64_MAX, "end"}); }
  std::string wanted;
  bool twice = false;
  context* where = nullptr;
};
TROUPE_JOB(matching, read_lines() | map<keep_matching>() | write(), parameter("contains", "only lines with it"),
           parameter("twice", "each line twice"));

struct throw_at : mapper<std::string_view, std::string_view, std::uint64_t> {
  void start(const parameters& given, context& c) {
    at = given.integer("at");
    how = given.text("how", "exception");
    where = &c;
  }
  void map(std::string_view line, emitter& emit) {
    if (static_cast<std::int64_t>(where->offset()) == at) {
      if (how == "exception") throw std::runtime_error("cannot bear \"" + std::string(line) + "\"");
      if (how == "failure") throw failure("no good");
      if (how == "number") throw 42;
    }
    emit(line, 1);
  }
  std::int64_t at = 0;
  std::string how;
  context* where = nullptr;
};
TROUPE_JOB(thrower, read_lines() | map<throw_at>() | fold_by_key<count>() | write(),
           parameter("at", "which record throws"), parameter("how", "what it throws"));

using troupe::testing::options;
using counts = std::map<std::string, std::uint64_t>;

TEST_CASE("pipeline: word count, with any number of tasks, partitions and blocks") {
  const std::vector<std::string> lines{"to be or not to be", "", "that is  the question", "\tto\r",
                                       "a word of more than sixteen bytes: antidisestablishmentarianism"};
  const counts wanted{{"to", 3},   {"be", 2},      {"or", 1},     {"not", 1},
                      {"that", 1}, {"is", 1},      {"the", 1},    {"question", 1},
                      {"a", 1},    {"word", 1},    {"of", 1},     {"more", 1},
                      {"than", 1}, {"sixteen", 1}, {"bytes:", 1}, {"antidisestablishmentarianism", 1}};
  for (const std::uint32_t tasks : {1, 2, 7})
    for (const std::uint32_t partitions : {1, 2, 5})
      for (const std::uint64_t chunk : {8, 65536}) {
        options chosen;
        chosen.map_tasks = tasks;
        chosen.partitions = partitions;
        chosen.block_records = tasks;
        chosen.chunk_bytes = chunk;
        const auto out = troupe::testing::run(troupe_jobs::word_count, lines, {}, chosen);
        REQUIRE(out.ok());
        CHECK(out.map<std::string, std::uint64_t>() == wanted);
        CHECK(out.encoded.size() == wanted.size());  // no key twice
      }
  const auto none = troupe::testing::run(troupe_jobs::word_count, {});
  CHECK(none.ok());
  CHECK(none.blocks.empty());
  CHECK(none.output_schema ==
        troupe::schema{{{"word", troupe::field_type::string, {}}, {"count", troupe::field_type::uint64, {}}}});
}

TEST_CASE("pipeline: typed records, a parameter, a counter, a folder with a result") {
  const std::vector<reading> days{
      {"oslo", -3.0, 1}, {"rome", 20.0, 1}, {"oslo", -1.0, 1}, {"oslo", {}, 1}, {"oslo", 5.0, -2}};
  const auto out = troupe::testing::run(troupe_jobs::averages, days, {{"station", "oslo"}});
  REQUIRE(out.ok());
  CHECK(out.map<std::int32_t, double>() == std::map<std::int32_t, double>{{-2, 5.0}, {1, -2.0}});
  CHECK(out.counters == std::map<std::string, std::int64_t>{{"missing", 1}});
  CHECK(out.output_schema ==
        troupe::schema{{{"day", troupe::field_type::int32, {}}, {"degrees", troupe::field_type::float64, {}}}});
  const auto without = troupe::testing::run(troupe_jobs::averages, days);
  CHECK(without.failed);
  CHECK(without.message == "the job needs a parameter: run it with station=…");
}

TEST_CASE("pipeline: keys and values may be gone as soon as emit returns") {
  std::vector<std::string> lines;
  std::map<std::string, std::string> wanted;
  for (int i = 0; i < 500; ++i) {
    const std::string word =
        std::string(1, static_cast<char>('a' + i % 7)) + std::string(static_cast<std::size_t>(i % 41), 'x');
    lines.push_back(word);
    auto& best = wanted[word.size() > 3 ? "words that begin with the letter " + word.substr(0, 1) : word.substr(0, 1)];
    if (word.size() > best.size()) best = word;
  }
  lines.push_back("zz" + std::string(200'000, 'y'));  // larger than the queue's own memory
  wanted["words that begin with the letter z"] = lines.back();
  const auto out = troupe::testing::run(troupe_jobs::longest_words, lines);
  REQUIRE(out.ok());
  CHECK(out.map<std::string, std::string>() == wanted);
}

TEST_CASE("pipeline: a map-only job filters, repeats, logs and finishes; offsets count through") {
  options one;
  one.map_tasks = 2;
  one.block_records = 1;
  const auto out =
      troupe::testing::run(troupe_jobs::matching, {"ab", "x", "b", "abc"}, {{"contains", "b"}, {"twice", "yes"}}, one);
  REQUIRE(out.ok());
  std::vector<std::pair<std::uint64_t, std::string>> got;
  for (const auto& r : out.records<numbered>()) got.emplace_back(r.number, r.line);
  const auto end = std::pair<std::uint64_t, std::string>{UINT64_MAX, "end"};
  CHECK(got == decltype(got){{0, "ab"}, {0, "ab"}, end, {2, "b"}, {2, "b"}, {3, "abc"}, {3, "abc"}, end});
  CHECK(out.counters == std::map<std::string, std::int64_t>{{"dropped", 1}, {"kept", 3}});
  CHECK(out.log == std::vector<std::string>{"looking for b", "looking for b"});
  CHECK(out.output_schema.fields.at(1).name == "line");
}

TEST_CASE("pipeline: what user code throws is told with the record's offset") {
  std::vector<std::string> lines(100, "line");
  lines[77] = "the bad one";
  auto out = troupe::testing::run(troupe_jobs::thrower, lines, {{"at", "77"}});
  CHECK(out.failed);
  CHECK(out.message == "cannot bear \"the bad one\"");
  CHECK(out.offset == 77u);
  out = troupe::testing::run(troupe_jobs::thrower, lines, {{"at", "3"}, {"how", "failure"}});
  CHECK(out.message == "no good");
  CHECK(out.offset == 3u);
  out = troupe::testing::run(troupe_jobs::thrower, lines, {{"at", "0"}, {"how", "number"}});
  CHECK(out.message == "something that is no std::exception was thrown");
  out = troupe::testing::run(troupe_jobs::thrower, lines, {{"at", "many"}});
  CHECK(out.message == "parameter at=many is not an integer");
  // A failed task leaves nothing behind for the next one in the same process.
  out = troupe::testing::run(troupe_jobs::thrower, lines, {{"at", "-1"}});
  REQUIRE(out.ok());
  CHECK(out.map<std::string, std::uint64_t>() == counts{{"line", 99}, {"the bad one", 1}});
}

TEST_CASE("pipeline: jobs of a module stand in its table") {
  const auto* table = troupe_module_table();
  CHECK(table->abi_version == TROUPE_ABI_VERSION);
  CHECK(std::string(table->abi_tag) == troupe::sdk::abi_tag);
  bool found = false;
  for (std::uint32_t i = 0; i < table->job_count; ++i)
    found = found || table->jobs[i] == &pipeline_test::troupe_jobs::word_count.table();
  CHECK(found);
  CHECK(pipeline_test::troupe_jobs::matching.table().stage_count == 1);
  CHECK(pipeline_test::troupe_jobs::word_count.table().stage_count == 2);
}

}  // namespace pipeline_test
