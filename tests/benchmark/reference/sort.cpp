/// The reference for sort_records: `sort FILE [THREADS [RUN_MIB FOLDER]]` sorts a file of lines of 100 bytes by their
/// first ten, stably, and prints seconds and a digest of the sorted lines. With RUN_MIB it keeps no more than that in
/// memory: sorted runs go to a file in FOLDER and are merged.
///
/// Keys and line numbers are sorted apart from the lines (16 bytes each): one pass by the first two bytes over all
/// threads, then each bucket by further bytes (most significant first) and, below 32, by insertion; the lines are
/// read in order at the end. Never weakened: it is what troupe is measured against.
#include <algorithm>
#include <atomic>
#include <string>

#include "../jobs/digest.hpp"
#include "common.hpp"

namespace {

constexpr std::size_t line_bytes = 100;

struct item {
  std::uint64_t first;   ///< eight bytes of the key, big-endian
  std::uint64_t second;  ///< two bytes of the key, then the line's number
};
bool before(const item& x, const item& y) { return x.first != y.first ? x.first < y.first : x.second < y.second; }

void sort_small(item* begin, item* end) {
  for (item* i = begin + 1; i < end; ++i) {
    const item moving = *i;
    item* to = i;
    for (; to > begin && before(moving, to[-1]); --to) *to = to[-1];
    *to = moving;
  }
}
/// By the byte at `shift` of `first`, and on.
void sort_bucket(item* begin, item* end, item* room, int shift) {
  const auto count = static_cast<std::size_t>(end - begin);
  if (count <= 32) return sort_small(begin, end);
  if (shift < 0) return std::sort(begin, end, before);
  std::uint32_t places[257] = {};
  for (const item* i = begin; i != end; ++i) ++places[(i->first >> shift & 255) + 1];
  for (int b = 0; b < 256; ++b) places[b + 1] += places[b];
  std::uint32_t next[256];
  std::memcpy(next, places, sizeof next);
  for (const item* i = begin; i != end; ++i) room[next[i->first >> shift & 255]++] = *i;
  std::memcpy(begin, room, count * sizeof(item));
  for (int b = 0; b < 256; ++b)
    if (places[b + 1] - places[b] > 1) sort_bucket(begin + places[b], begin + places[b + 1], room, shift - 8);
}

/// The lines' items in order.
reference::array<item> sort_lines(const char* lines, std::size_t count, std::size_t threads) {
  constexpr std::size_t buckets = 1 << 16;
  reference::array<item> out(count);
  std::vector<std::vector<std::uint32_t>> next(threads, std::vector<std::uint32_t>(buckets));
  const auto of = [&](std::size_t t) { return count * t / threads; };
  const auto read = [&](std::size_t i) {
    std::uint64_t first = 0;
    std::uint16_t rest = 0;
    std::memcpy(&first, lines + i * line_bytes, 8);
    std::memcpy(&rest, lines + i * line_bytes + 8, 2);
    return item{__builtin_bswap64(first), std::uint64_t{__builtin_bswap16(rest)} << 48 | i};
  };
  reference::in_parallel(threads, [&](std::size_t t) {
    for (auto i = of(t); i < of(t + 1); ++i) {
      std::uint16_t first = 0;
      std::memcpy(&first, lines + i * line_bytes, 2);
      ++next[t][__builtin_bswap16(first)];
    }
  });
  std::vector<std::uint32_t> begins(buckets + 1);
  std::uint32_t at = 0, largest = 0;
  for (std::size_t b = 0; b < buckets; ++b) {
    begins[b] = at;
    for (auto& mine : next) at += std::exchange(mine[b], at);
    largest = std::max(largest, at - begins[b]);
  }
  begins[buckets] = at;
  reference::in_parallel(threads, [&](std::size_t t) {
    for (auto i = of(t); i < of(t + 1); ++i) {
      const item one = read(i);
      out[next[t][one.first >> 48]++] = one;
    }
  });
  std::atomic<std::size_t> taken{0};
  reference::in_parallel(threads, [&](std::size_t) {
    reference::array<item> room(largest);
    constexpr std::size_t at_once = 256;
    for (std::size_t from; (from = taken.fetch_add(at_once)) < buckets;)
      for (auto b = from; b < from + at_once; ++b)
        if (begins[b + 1] - begins[b] > 1)
          sort_bucket(out.begin() + begins[b], out.begin() + begins[b + 1], room.begin(), 40);
  });
  return out;
}

/// Calls f(line) for lines in order, with those to come on their way from memory.
template <class F>
void for_each_line(const char* lines, const item* items, std::size_t count, F f) {
  constexpr std::size_t ahead = 16;
  constexpr std::uint64_t number = ~(0xffffULL << 48);
  for (std::size_t i = 0; i < count; ++i) {
    if (i + ahead < count) {
      const char* const soon = lines + (items[i + ahead].second & number) * line_bytes;
      __builtin_prefetch(soon);
      __builtin_prefetch(soon + 64);
    }
    f(lines + (items[i].second & number) * line_bytes);
  }
}

/// Nothing is copied: who reads the sorted lines gets them where they are.
benchmark::row_digest sort_in_memory(const char* lines, std::size_t count, std::size_t threads) {
  const auto items = sort_lines(lines, count, threads);
  std::vector<benchmark::row_digest> sums(threads);
  reference::in_parallel(threads, [&](std::size_t t) {
    const auto from = count * t / threads, to = count * (t + 1) / threads;
    benchmark::row_digest sum;
    for_each_line(lines, items.begin() + from, to - from,
                  [&](const char* line) { sum.add(benchmark::digest_of(line, line_bytes - 1)); });
    sums[t] = sum;
  });
  for (std::size_t t = 1; t < threads; ++t) sums[0].append(sums[t]);
  return sums[0];
}

void write_all(int fd, const char* data, std::size_t size) {
  while (size != 0) {
    const auto written = write(fd, data, size);
    if (written <= 0) {
      std::perror("write");
      std::exit(1);
    }
    data += written;
    size -= static_cast<std::size_t>(written);
  }
}

/// One sorted run on the disk, read piece by piece.
struct run {
  int fd;
  std::size_t at, end;
  std::vector<char> buffer = std::vector<char>((std::size_t{1} << 20) / line_bytes * line_bytes);
  std::size_t used = 0, filled = 0;
  std::uint64_t first = 0;
  std::uint16_t rest = 0;

  bool read_key() {
    if (used == filled) {
      if (at == end) return false;
      const auto got = pread(fd, buffer.data(), std::min(buffer.size(), end - at), static_cast<off_t>(at));
      if (got <= 0 || static_cast<std::size_t>(got) % line_bytes != 0) std::exit(1);
      filled = static_cast<std::size_t>(got);
      used = 0;
      at += filled;
    }
    std::memcpy(&first, buffer.data() + used, 8);
    std::memcpy(&rest, buffer.data() + used + 8, 2);
    first = __builtin_bswap64(first);
    rest = __builtin_bswap16(rest);
    return true;
  }
};

benchmark::row_digest sort_with_files(const char* lines, std::size_t count, std::size_t threads, std::size_t run_lines,
                                      const std::string& folder) {
  const int fd = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) {
    std::perror(folder.c_str());
    std::exit(1);
  }
  std::vector<run> runs;
  const reference::array<char> out(std::min(run_lines, count) * line_bytes);
  for (std::size_t from = 0; from < count; from += run_lines) {
    const auto here = std::min(run_lines, count - from);
    const auto items = sort_lines(lines + from * line_bytes, here, threads);
    reference::in_parallel(threads, [&](std::size_t t) {
      const auto begin = here * t / threads, end = here * (t + 1) / threads;
      char* to = out.begin() + begin * line_bytes;
      for_each_line(lines + from * line_bytes, items.begin() + begin, end - begin, [&](const char* line) {
        std::memcpy(to, line, line_bytes);
        to += line_bytes;
      });
    });
    write_all(fd, out.begin(), here * line_bytes);
    runs.push_back({fd, from * line_bytes, (from + here) * line_bytes});
  }
  benchmark::row_digest sum;
  std::vector<run*> open_runs;
  for (auto& r : runs)
    if (r.read_key()) open_runs.push_back(&r);
  while (!open_runs.empty()) {  // few runs: the least is found by looking at all
    std::size_t least = 0;
    for (std::size_t i = 1; i < open_runs.size(); ++i)
      if (open_runs[i]->first < open_runs[least]->first ||
          (open_runs[i]->first == open_runs[least]->first && open_runs[i]->rest < open_runs[least]->rest))
        least = i;
    auto& from = *open_runs[least];
    sum.add(benchmark::digest_of(from.buffer.data() + from.used, line_bytes - 1));
    from.used += line_bytes;
    if (!from.read_key()) open_runs.erase(open_runs.begin() + static_cast<std::ptrdiff_t>(least));
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3 && argc != 5) {
    std::fprintf(stderr, "usage: sort FILE [THREADS [RUN_MIB FOLDER]]\n");
    return 2;
  }
  const auto threads = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 2);
  const auto start = std::chrono::steady_clock::now();
  const reference::mapped_file file(argv[1]);
  const auto count = file.size / line_bytes;
  const auto sum = argc == 5
                       ? sort_with_files(file.data, count, threads,
                                         (static_cast<std::size_t>(std::atoi(argv[3])) << 20) / line_bytes, argv[4])
                       : sort_in_memory(file.data, count, threads);
  const double seconds = reference::seconds_since(start);
  std::printf("{\"seconds\": %.4f, \"mb_per_second\": %.1f, \"records\": %llu, \"hash\": %llu}\n", seconds,
              static_cast<double>(file.size) / 1e6 / seconds, static_cast<unsigned long long>(sum.records),
              static_cast<unsigned long long>(sum.hash));
  return 0;
}
