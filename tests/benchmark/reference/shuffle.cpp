/// The reference for shuffle_records: `shuffle FILE [THREADS [PARTITIONS]]` spreads the lines of a file over partitions
/// in turn, exchanges them between threads through memory, and sums up what arrived.
///
/// In rounds, so that the memory stays warm: each thread cuts the next 16 MiB of its part of the file into lines and
/// copies each, with its length, to where its partition is written; then each thread walks what came for its own
/// partitions. Never weakened: it is what troupe is measured against.
#include <algorithm>
#include <barrier>
#include <memory>

#include "../jobs/digest.hpp"
#include "common.hpp"

namespace {

constexpr std::size_t round_bytes = std::size_t{16} << 20;

/// What one thread has written to one partition in this round.
struct outbox {
  std::unique_ptr<char[]> data;
  std::size_t used = 0;
  std::size_t capacity = 0;

  void put(const char* line, std::uint32_t size) {
    if (used + sizeof size + size > capacity) {
      capacity = std::max(capacity * 2, used + sizeof size + size);
      auto larger = std::make_unique_for_overwrite<char[]>(capacity);
      std::memcpy(larger.get(), data.get(), used);
      data = std::move(larger);
    }
    std::memcpy(data.get() + used, &size, sizeof size);
    std::memcpy(data.get() + used + sizeof size, line, size);
    used += sizeof size + size;
  }
};

/// Lines that begin before `stop`; returns where it ended.
const char* spread(const char* at, const char* stop, const char* end, std::vector<outbox>& parts, std::size_t& p) {
  while (at < stop) {
    const auto* line_end = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
    if (line_end == nullptr) line_end = end;
    parts[p].put(at, static_cast<std::uint32_t>(line_end - at));
    if (++p == parts.size()) p = 0;
    at = line_end == end ? end : line_end + 1;
  }
  return at;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: shuffle FILE [THREADS [PARTITIONS]]\n");
    return 2;
  }
  const auto threads = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 2);
  const auto partitions = static_cast<std::size_t>(argc > 3 ? std::atoi(argv[3]) : 16);
  const auto start = std::chrono::steady_clock::now();
  const reference::mapped_file file(argv[1]);
  std::vector<std::size_t> cuts{0};
  for (std::size_t t = 1; t < threads; ++t) {
    auto cut = file.size * t / threads;
    while (cut < file.size && file.data[cut] != '\n') ++cut;
    cuts.push_back(std::min(cut + 1, file.size));
  }
  cuts.push_back(file.size);
  std::size_t longest = 0;
  for (std::size_t t = 0; t < threads; ++t) longest = std::max(longest, cuts[t + 1] - cuts[t]);
  const auto rounds = (longest + round_bytes - 1) / round_bytes;
  std::vector<std::vector<outbox>> out(threads);
  for (auto& mine : out) {
    mine.resize(partitions);
    for (auto& box : mine) {
      box.capacity = round_bytes / partitions * 9 / 8 + 4096;
      box.data = std::make_unique_for_overwrite<char[]>(box.capacity);
    }
  }
  std::vector<benchmark::set_digest> sums(threads);
  std::barrier all_there(static_cast<std::ptrdiff_t>(threads));
  reference::in_parallel(threads, [&](std::size_t t) {
    const char* at = file.data + cuts[t];
    const char* const end = file.data + cuts[t + 1];
    benchmark::set_digest sum;
    std::size_t next = 0;
    for (std::size_t round = 0; round < rounds; ++round) {
      at = spread(at, std::min(end, at + round_bytes), end, out[t], next);
      if (round + 1 == rounds) spread(at, end, end, out[t], next);
      all_there.arrive_and_wait();
      for (auto p = t; p < partitions; p += threads) {
        for (auto& from : out) {
          auto& box = from[p];
          std::uint32_t size = 0;
          for (std::size_t i = 0; i != box.used; i += sizeof size + size) {
            std::memcpy(&size, box.data.get() + i, sizeof size);
            sum.add(benchmark::digest_of(box.data.get() + i + sizeof size, size));
          }
          box.used = 0;
        }
      }
      all_there.arrive_and_wait();
    }
    sums[t] = sum;
  });
  for (std::size_t t = 1; t < threads; ++t) sums[0].append(sums[t]);
  const double seconds = reference::seconds_since(start);
  std::printf("{\"seconds\": %.4f, \"mb_per_second\": %.1f, \"records\": %llu, \"hash\": %llu}\n", seconds,
              static_cast<double>(file.size) / 1e6 / seconds, static_cast<unsigned long long>(sums[0].records),
              static_cast<unsigned long long>(sums[0].hash));
  return 0;
}
