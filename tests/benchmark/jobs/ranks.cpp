#include <boost/describe/class.hpp>
#include <troupe/sdk.hpp>
#include <vector>

/// PageRank as examples/page_rank writes it, over numbers: ten rounds, then the ranks' sum, and their sum weighted by
/// the nodes' numbers.
namespace benchmark {

struct edge {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
};
BOOST_DESCRIBE_STRUCT(edge, (), (from, to))

using rank = std::pair<std::uint32_t, double>;

struct gather : troupe::reducer<std::uint32_t, std::uint32_t, std::uint32_t, std::vector<std::uint32_t>> {
  void reduce(std::uint32_t node, troupe::values<std::uint32_t>& values, emitter& emit) {
    all.clear();
    for (const auto value : values) all.push_back(value);
    emit(node, all);
  }
  std::vector<std::uint32_t> all;
};

struct rank_sums {
  std::uint64_t nodes = 0;
  double sum = 0;
  double weighted = 0;
};
BOOST_DESCRIBE_STRUCT(rank_sums, (), (nodes, sum, weighted))

struct sum_up : troupe::folder<rank_sums, rank> {
  rank_sums init() const { return {}; }
  void fold(rank_sums& into, const rank& r) const {
    ++into.nodes;
    into.sum += r.second;
    into.weighted += r.second * (r.first % 1000);
  }
  void merge(rank_sums& into, const rank_sums& other) const {
    into.nodes += other.nodes;
    into.sum += other.sum;
    into.weighted += other.weighted;
  }
};

constexpr auto edges =
    troupe::read_records<edge>() | troupe::map([](const edge& e) { return std::pair(e.from, e.to); });
constexpr auto lists = edges | troupe::reduce<gather>() | troupe::keep();
constexpr auto nodes = edges | troupe::flat_map<std::uint32_t>([](const auto& e, auto& emit) {
                         emit(e.first);
                         emit(e.second);
                       }) |
                       troupe::distinct() | troupe::map([](std::uint32_t node) { return rank(node, 0.0); }) |
                       troupe::keep();

TROUPE_JOB(ranks, nodes | troupe::map([](const rank& r) { return rank(r.first, 1.0); }) |
                      troupe::iterate<10>([](auto ranks) {
                        return ranks | troupe::join(lists) | troupe::flat_map<rank>([](const auto& joined, auto& emit) {
                                 const auto& [rank, targets] = joined.second;
                                 const double share = rank / static_cast<double>(targets.size());
                                 for (const auto target : targets) emit({target, share});
                               }) |
                               troupe::union_with(nodes) | troupe::fold_by_key<troupe::sum>() |
                               troupe::map([](const rank& r) { return rank(r.first, 0.15 + 0.85 * r.second); });
                      }) |
                      troupe::fold<sum_up>() | troupe::write());

}  // namespace benchmark
