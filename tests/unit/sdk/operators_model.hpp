#pragma once
#include <boost/describe/class.hpp>
#include <support/random_source.hpp>
#include <troupe/sdk.hpp>
#include <troupe/sdk/testing.hpp>

/// Records and ways of running for the tests that hold operators against plain sequential code.
namespace operators_model {

struct item {
  std::string name;
  std::int64_t number = 0;
  std::optional<double> weight;
  friend bool operator==(const item&, const item&) = default;
  friend auto operator<=>(const item&, const item&) = default;
};
BOOST_DESCRIBE_STRUCT(item, (), (name, number, weight))

inline std::vector<item> items(troupe::test::random_source& random, std::size_t most, std::uint64_t distinct) {
  std::vector<item> out(random.size(most));
  for (auto& i : out) {
    i.name = random.text(distinct);
    i.number = random.number(distinct);
    if (random.chance(0.7)) i.weight = static_cast<double>(random.number(9)) / 4;
  }
  return out;
}

/// Tasks, partitions, blocks, chunks: none of it may change an answer.
inline troupe::testing::options any_options(troupe::test::random_source& random) {
  troupe::testing::options o;
  o.map_tasks = 1 + static_cast<std::uint32_t>(random.below(5));
  o.partitions = 1 + static_cast<std::uint32_t>(random.below(6));
  o.block_records = 1 + random.below(40);
  o.chunk_bytes = random.one_of<std::uint64_t>({16, 1000, 65536});
  o.memory_bytes = random.one_of<std::uint64_t>({8 << 10, 64 << 10, 64 << 20});
  return o;
}

/// The same with a task's memory far below and far above the data. The records must be the same, in the same order.
template <class Run>
troupe::testing::outcome with_any_memory(troupe::testing::options chosen, Run&& run) {
  chosen.memory_bytes = 256 << 20;
  const auto roomy = run(chosen);
  chosen.memory_bytes = 8 << 10;
  const auto tight = run(chosen);
  if (roomy.failed || tight.failed) throw std::runtime_error(roomy.message + tight.message);
  if (roomy.encoded != tight.encoded) throw std::runtime_error("the output depends on the memory");
  if (roomy.spilled_bytes != 0) throw std::runtime_error("something was spilled with 256 MiB of memory");
  return tight;
}

}  // namespace operators_model
