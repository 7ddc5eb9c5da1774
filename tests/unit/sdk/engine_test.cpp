#include <set>
#include <support/catch.hpp>
#include <troupe/sdk.hpp>
#include <troupe/sdk/testing.hpp>

/// What the engine promises about bytes, memory and stopping, whatever the user's code.
namespace engine_test {

using namespace troupe;

struct split : mapper<std::string_view, std::string_view, std::uint64_t> {
  void map(std::string_view line, emitter& emit) {
    for (auto word : words(line)) emit(word, word.size());
  }
};
TROUPE_JOB(sizes, read_lines() | map<split>() | fold_by_key<sum>() | write());
TROUPE_JOB(counted, read_lines() | map<split>() | fold_by_key<count>() | write());
TROUPE_JOB(least, read_lines() | map<split>() | fold_by_key<minimum>() | write());
TROUPE_JOB(most, read_lines() | map<split>() | fold_by_key<maximum>() | write());
TROUPE_JOB(pairs, read_lines() | map<split>() | write());

struct bytes_mapper : mapper<std::string_view, std::uint32_t, double> {
  void map(std::string_view record, emitter& emit) { emit(static_cast<std::uint32_t>(record.size()), 0.5); }
};
TROUPE_JOB(by_size, read_bytes() | map<bytes_mapper>() | fold_by_key<sum>() | write());

/// Swallows everything, even what is thrown through it.
struct swallower : mapper<std::string_view, std::string_view, std::uint64_t> {
  void map(std::string_view line, emitter& emit) {
    for (int i = 0; i < 100'000; ++i) {
      try {
        emit(std::string(line) + std::to_string(i), 1);
      } catch (...) {
      }
    }
  }
};
TROUPE_JOB(swallowing, read_lines() | map<swallower>() | fold_by_key<sum>() | write());

std::vector<std::string> text(int lines) {
  std::vector<std::string> out;
  std::uint64_t state = 7;
  const auto random = [&] { return (state = state * 6364136223846793005 + 1442695040888963407) >> 33; };
  for (int i = 0; i < lines; ++i) {
    std::string line;
    for (auto left = random() % 12; left > 0; --left) {
      const auto rank = random() % (1 + random() % 20'000);
      line += (rank % 5 == 0 ? "a-long-word-of-more-than-sixteen-" : "w") + std::to_string(rank) + " ";
    }
    out.push_back(line);
  }
  return out;
}

using troupe::testing::options;

TEST_CASE("engine: the same task writes the same bytes again, however warm the process") {
  const auto lines = text(20'000);
  options chosen;
  chosen.map_tasks = 3;
  const auto first = troupe::testing::run(engine_test::troupe_jobs::sizes, lines, {}, chosen);
  options large = chosen;
  large.memory_bytes = std::uint64_t{1} << 30;
  const auto warm = troupe::testing::run(engine_test::troupe_jobs::sizes, text(60'000), {}, large);
  const auto again = troupe::testing::run(engine_test::troupe_jobs::sizes, lines, {}, chosen);
  REQUIRE(first.ok());
  REQUIRE(warm.ok());
  CHECK(first.blocks == again.blocks);
  // Blocks are cut otherwise, the bytes are the same.
  chosen.block_records = 1;
  CHECK(troupe::testing::run(engine_test::troupe_jobs::sizes, lines, {}, chosen).blocks == first.blocks);
}

TEST_CASE("engine: a combiner's table that is full is written out, and the answer is the same") {
  const auto lines = text(20'000);
  options little;
  little.memory_bytes = 1 << 20;  // 4,096 keys in the table; each of 8 partitions has fewer
  little.partitions = 8;
  const auto small = troupe::testing::run(engine_test::troupe_jobs::sizes, lines, {}, little);
  const auto large = troupe::testing::run(engine_test::troupe_jobs::sizes, lines);
  REQUIRE(small.message == "");
  REQUIRE(large.ok());
  using counts = std::map<std::string, std::uint64_t>;
  CHECK(small.map<std::string, std::uint64_t>() == large.map<std::string, std::uint64_t>());
  CHECK(small.map<std::string, std::uint64_t>().size() > 8192);  // so each map task had to write out
  CHECK(small.blocks == troupe::testing::run(engine_test::troupe_jobs::sizes, lines, {}, little).blocks);
  little.partitions = 1;
  // More keys than its table takes: they wait in a scratch file, and come out in the same order.
  const auto spilled = troupe::testing::run(engine_test::troupe_jobs::sizes, lines, {}, little);
  REQUIRE(spilled.message == "");
  CHECK(spilled.spilled_bytes > 0);
  options roomy;
  roomy.partitions = 1;
  CHECK(spilled.encoded == troupe::testing::run(engine_test::troupe_jobs::sizes, lines, {}, roomy).encoded);
  counts simple;
  for (const auto& line : lines)
    for (auto word : troupe::words(line)) simple[std::string(word)] += word.size();
  CHECK(large.map<std::string, std::uint64_t>() == simple);
}

TEST_CASE("engine: the folders that come with it") {
  const std::vector<std::string> lines{"a bb a", "bb bb ccc"};
  using result = std::map<std::string, std::uint64_t>;
  const auto run = [&](const troupe::job& j) {
    return troupe::testing::run(j, lines).map<std::string, std::uint64_t>();
  };
  CHECK(run(engine_test::troupe_jobs::sizes) == result{{"a", 2}, {"bb", 6}, {"ccc", 3}});
  CHECK(run(engine_test::troupe_jobs::counted) == result{{"a", 2}, {"bb", 3}, {"ccc", 1}});
  CHECK(run(engine_test::troupe_jobs::least) == result{{"a", 1}, {"bb", 2}, {"ccc", 3}});
  CHECK(run(engine_test::troupe_jobs::most) == result{{"a", 1}, {"bb", 2}, {"ccc", 3}});
  CHECK(troupe::testing::run(engine_test::troupe_jobs::pairs, lines).encoded.size() == 6);
  const auto by_size = troupe::testing::run(engine_test::troupe_jobs::by_size,
                                            {"", std::string("\0\n", 2), std::string(1000, 'x'), "yy"});
  CHECK(by_size.map<std::uint32_t, double>() == std::map<std::uint32_t, double>{{0, 0.5}, {2, 1.0}, {1000, 0.5}});
}

TEST_CASE("engine: records longer than a chunk get one of their own") {
  const std::string huge(3 << 20, 'h');
  options chosen;
  chosen.chunk_bytes = 16;
  const auto out =
      troupe::testing::run(engine_test::troupe_jobs::sizes, {"small " + huge + " small", huge}, {}, chosen);
  REQUIRE(out.ok());
  CHECK(out.map<std::string, std::uint64_t>() ==
        std::map<std::string, std::uint64_t>{{"small", 10}, {huge, 2 * huge.size()}});
  const auto too_long = troupe::testing::run(engine_test::troupe_jobs::pairs, {std::string(64 << 20, 'x')});
  REQUIRE(too_long.failed);
  CHECK(too_long.message.find("is above the limit of 64 MiB") != std::string::npos);
}

TEST_CASE("engine: a stop ends the task quietly, even when the user's code swallows it") {
  options chosen;
  chosen.map_tasks = 1;
  chosen.block_records = 1;
  for (const std::uint64_t blocks : {0, 1, 2}) {
    chosen.blocks_until_stop = blocks;
    const auto out = troupe::testing::run(engine_test::troupe_jobs::sizes, text(5), {}, chosen);
    CHECK(out.ok());
    CHECK(out.blocks.empty());
  }
  // The table is full in the middle of the only block: the sink wants a chunk and is told to stop.
  chosen.blocks_until_stop = 1;
  chosen.memory_bytes = 1 << 20;
  const auto out = troupe::testing::run(engine_test::troupe_jobs::swallowing, {"x"}, {}, chosen);
  CHECK(out.ok());
  CHECK(out.blocks.empty());
  const auto after = troupe::testing::run(engine_test::troupe_jobs::sizes, {"fine"});
  CHECK(after.encoded.size() == 1);
}

TEST_CASE("engine: a block that is not what it says is refused") {
  struct damaged {
    static int next(void* self, troupe_block* out) {
      auto& left = *static_cast<int*>(self);
      if (left-- == 0) return 0;
      static const char bytes[] = "\x7fshort";
      *out = {bytes, 6, 1, 40, 0, TROUPE_BYTES, 0};
      return 1;
    }
  };
  int blocks = 1;
  std::uint64_t offset = 0;
  troupe_host host{};
  host.size = sizeof host;
  host.self = &blocks;
  host.next_block = damaged::next;
  host.current_offset = &offset;
  troupe_task task{sizeof(troupe_task), 0, 0, 1, 1, 0, nullptr, 0, 0, 1 << 20, 0, 0, nullptr, 0};
  troupe_failure failed{};
  const auto& stages = engine_test::troupe_jobs::by_size.table().stages;
  CHECK(stages[0].run(&task, &host, &failed) == 1);
  CHECK(std::string(failed.message) == "the input does not decode: a record's length is wrong");
  CHECK(failed.has_offset == 1);
  CHECK(failed.offset == 40);
  blocks = 1;
  CHECK(stages[1].run(&task, &host, &failed) == 1);
  CHECK(std::string(failed.message) == "the reduce stage was given a block that is not of the stage before");
  host.size = 8;
  CHECK(stages[0].run(&task, &host, &failed) == 1);
  CHECK(std::string(failed.message) == "the worker's table is older than the module's: build the module again");
}

}  // namespace engine_test
