/// The reference for ranks: `page_rank EDGES [ROUNDS [THREADS]]` reads rows of two little-endian numbers of 32 bits
/// (from, to), and gives every node that is named the rank 0.15 + 0.85 * what those before it pass on. Prints seconds,
/// the ranks' sum, and their sum weighted by the nodes' numbers.
///
/// Edges are put in order of their target (compressed sparse rows), so that each round reads them once in order and
/// writes each rank once; nodes are divided among the threads by their share of edges. Never weakened: it is what
/// troupe is measured against.
#include <algorithm>
#include <barrier>

#include "common.hpp"

namespace {

struct edge {
  std::uint32_t from;
  std::uint32_t to;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: page_rank EDGES [ROUNDS [THREADS]]\n");
    return 2;
  }
  const int rounds = argc > 2 ? std::atoi(argv[2]) : 10;
  const auto threads = static_cast<std::size_t>(argc > 3 ? std::atoi(argv[3]) : 2);
  const auto start = std::chrono::steady_clock::now();
  const reference::mapped_file file(argv[1]);
  const auto* const edges = file.as<edge>();
  const auto count = file.size / sizeof(edge);
  std::vector<std::uint32_t> greatest(threads);
  reference::in_parallel(threads, [&](std::size_t t) {
    std::uint32_t most = 0;
    for (auto i = count * t / threads; i < count * (t + 1) / threads; ++i)
      most = std::max({most, edges[i].from, edges[i].to});
    greatest[t] = most;
  });
  const std::size_t nodes = *std::max_element(greatest.begin(), greatest.end()) + std::size_t{1};

  reference::array<std::uint32_t> begins(nodes + 2), out_degree(nodes), sources(count);
  for (std::size_t i = 0; i < count; ++i) {
    ++begins[edges[i].to + 2];
    ++out_degree[edges[i].from];
  }
  for (std::size_t n = 0; n < nodes; ++n) begins[n + 2] += begins[n + 1];
  for (std::size_t i = 0; i < count; ++i) sources[begins[edges[i].to + 1]++] = edges[i].from;

  reference::array<double> ranks(nodes), shares(nodes);
  std::vector<std::size_t> cuts{0};
  for (std::size_t t = 1; t < threads; ++t)
    cuts.push_back(static_cast<std::size_t>(
        std::lower_bound(begins.begin(), begins.begin() + nodes, count * t / threads) - begins.begin()));
  cuts.push_back(nodes);
  std::barrier all_there(static_cast<std::ptrdiff_t>(threads));
  reference::in_parallel(threads, [&](std::size_t t) {
    const auto from = cuts[t], to = cuts[t + 1];
    for (auto n = from; n < to; ++n) ranks[n] = 1;
    for (int round = 0; round < rounds; ++round) {
      for (auto n = from; n < to; ++n) shares[n] = out_degree[n] == 0 ? 0 : ranks[n] / out_degree[n];
      all_there.arrive_and_wait();
      for (auto n = from; n < to; ++n) {
        double sum = 0;
        for (auto i = begins[n]; i < begins[n + 1]; ++i) sum += shares[sources[i]];
        ranks[n] = 0.15 + 0.85 * sum;
      }
      all_there.arrive_and_wait();
    }
  });
  double sum = 0, weighted = 0;
  std::uint64_t named = 0;
  for (std::size_t n = 0; n < nodes; ++n) {
    if (out_degree[n] == 0 && begins[n] == begins[n + 1]) continue;
    ++named;
    sum += ranks[n];
    weighted += ranks[n] * static_cast<double>(n % 1000);
  }
  const double seconds = reference::seconds_since(start);
  std::printf(
      "{\"seconds\": %.4f, \"million_edges_per_second\": %.1f, \"nodes\": %llu, \"sum\": %.17g, "
      "\"weighted\": %.17g}\n",
      seconds, static_cast<double>(count) * rounds / 1e6 / seconds, static_cast<unsigned long long>(named), sum,
      weighted);
  return 0;
}
