/// The references for group_by and join: `pairs group PAIRS [THREADS]` adds up the values of each key,
/// `pairs join PAIRS KEYS [THREADS]` joins PAIRS with KEYS, where each key is once. Files are rows of two little-endian
/// numbers of 64 bits. Prints seconds and a digest of what came out.
///
/// Open addressing, 16 bytes a slot, on huge pages; slots are fetched 16 pairs ahead. A group has a table for each
/// thread, merged by halves; a join has one table that all threads read. Never weakened: it is what troupe is measured
/// against.
#include <bit>
#include <string_view>

#include "../jobs/digest.hpp"
#include "common.hpp"

namespace {

struct pair {
  std::uint64_t key;
  std::uint64_t value;
};
constexpr std::uint64_t none = ~std::uint64_t{0};
constexpr std::size_t ahead = 16;

std::uint64_t hash_of(std::uint64_t key) { return key * 0x9e3779b97f4a7c15; }

/// Key to number. Half full at most.
class table {
 public:
  explicit table(std::size_t slots) : slots_(slots), shift_(64 - std::countr_zero(slots)) {
    for (auto& s : slots_) s.key = none;
  }
  void prefetch(std::uint64_t key) const { __builtin_prefetch(&slots_[hash_of(key) >> shift_], 1); }
  void add(const pair& p) {
    for (auto i = hash_of(p.key) >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
      pair& s = slots_[i];
      if (s.key == p.key) {
        s.value += p.value;
        return;
      }
      if (s.key == none) {
        if (used_ * 2 >= slots_.size()) {
          grow();
          return add(p);
        }
        ++used_;
        s = p;
        return;
      }
    }
  }
  [[nodiscard]] const pair* find(std::uint64_t key) const {
    for (auto i = hash_of(key) >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].key == key) return &slots_[i];
      if (slots_[i].key == none) return nullptr;
    }
  }
  [[nodiscard]] const reference::array<pair>& slots() const { return slots_; }

 private:
  void grow() {
    table larger(slots_.size() * 2);
    for (const auto& s : slots_)
      if (s.key != none) larger.add(s);
    std::swap(slots_, larger.slots_);
    shift_ = larger.shift_;
  }
  reference::array<pair> slots_;
  int shift_;
  std::size_t used_ = 0;
};

benchmark::set_digest group(const pair* pairs, std::size_t count, std::size_t threads) {
  std::vector<table> tables;
  for (std::size_t t = 0; t < threads; ++t) tables.emplace_back(1 << 16);
  reference::in_parallel(threads, [&](std::size_t t) {
    auto& mine = tables[t];
    const auto end = count * (t + 1) / threads;
    for (auto i = count * t / threads; i < end; ++i) {
      if (i + ahead < end) mine.prefetch(pairs[i + ahead].key);
      mine.add(pairs[i]);
    }
  });
  std::vector<benchmark::set_digest> sums(threads);
  reference::in_parallel(threads, [&](std::size_t t) {  // the t-th part of the hashes, from every table
    // As large as the largest: what comes in the order of a hash crowds the beginning of a smaller table.
    std::size_t slots_max = 0;
    for (const auto& from : tables) slots_max = std::max(slots_max, from.slots().size());
    table merged(slots_max);
    for (const auto& from : tables) {
      const auto& slots = from.slots();
      for (std::size_t i = 0; i < slots.size(); ++i) {
        if (i + ahead < slots.size() && slots[i + ahead].key != none) merged.prefetch(slots[i + ahead].key);
        if (slots[i].key != none && (hash_of(slots[i].key) >> 16) % threads == t) merged.add(slots[i]);
      }
    }
    for (const auto& s : merged.slots())
      if (s.key != none) sums[t].add(benchmark::digest_of(s.key, s.value));
  });
  for (std::size_t t = 1; t < threads; ++t) sums[0].append(sums[t]);
  return sums[0];
}

benchmark::set_digest join(const pair* pairs, std::size_t count, const pair* keys, std::size_t key_count,
                           std::size_t threads) {
  table side(std::bit_ceil(key_count * 2 + 2));
  for (std::size_t i = 0; i < key_count; ++i) {
    if (i + ahead < key_count) side.prefetch(keys[i + ahead].key);
    side.add(keys[i]);
  }
  std::vector<benchmark::set_digest> sums(threads);
  reference::in_parallel(threads, [&](std::size_t t) {
    benchmark::set_digest sum;
    const auto end = count * (t + 1) / threads;
    for (auto i = count * t / threads; i < end; ++i) {
      if (i + ahead < end) side.prefetch(pairs[i + ahead].key);
      if (const auto* other = side.find(pairs[i].key))
        sum.add(benchmark::digest_of(pairs[i].key, pairs[i].value, other->value));
    }
    sums[t] = sum;
  });
  for (std::size_t t = 1; t < threads; ++t) sums[0].append(sums[t]);
  return sums[0];
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 2 ? argv[1] : "";
  const bool joins = what == "join";
  if ((!joins && what != "group") || argc < (joins ? 4 : 3)) {
    std::fprintf(stderr, "usage: pairs group PAIRS [THREADS] | pairs join PAIRS KEYS [THREADS]\n");
    return 2;
  }
  const int threads_at = joins ? 4 : 3;
  const auto threads = static_cast<std::size_t>(argc > threads_at ? std::atoi(argv[threads_at]) : 2);
  const auto start = std::chrono::steady_clock::now();
  const reference::mapped_file file(argv[2]);
  const auto count = file.size / sizeof(pair);
  benchmark::set_digest sum;
  if (joins) {
    const reference::mapped_file keys(argv[3]);
    sum = join(file.as<pair>(), count, keys.as<pair>(), keys.size / sizeof(pair), threads);
  } else {
    sum = group(file.as<pair>(), count, threads);
  }
  const double seconds = reference::seconds_since(start);
  std::printf("{\"seconds\": %.4f, \"million_pairs_per_second\": %.1f, \"records\": %llu, \"hash\": %llu}\n", seconds,
              static_cast<double>(count) / 1e6 / seconds, static_cast<unsigned long long>(sum.records),
              static_cast<unsigned long long>(sum.hash));
  return 0;
}
