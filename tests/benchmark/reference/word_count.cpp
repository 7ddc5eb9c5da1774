/// The reference for word_count: what a good engineer writes for this one purpose. `word_count FILE [THREADS] [OUTPUT]`
/// counts the words (what stands between bytes <= 0x20) of a file and prints seconds and MB/s on standard error; with
/// OUTPUT it writes `word<TAB>count` lines there, unsorted.
///
/// mmap, one piece of the file for each thread, cut at a separator; 64 bytes at once become a bit mask of separators;
/// words up to 16 bytes are compared and hashed as two numbers; open addressing with 32-byte slots on huge pages; a
/// queue of 16 words whose slots are being fetched. Never weakened: it is what troupe is measured against.
#include <emmintrin.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

__extension__ typedef unsigned __int128 uint128;

struct word {
  std::uint64_t a, b;  // up to 16 bytes, padded with zeros; longer: pointer, hash
  std::uint32_t hash;
  std::uint32_t size;  // 0: empty slot
};
struct slot {
  word key;
  std::uint64_t count;
};

std::uint64_t mix(std::uint64_t x, std::uint64_t y) {
  const auto product = static_cast<uint128>(x) * y;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

class table {
 public:
  table() { allocate(std::size_t{1} << 18); }
  void prefetch(std::uint32_t hash) const { __builtin_prefetch(&slots_[hash >> shift_], 1); }
  void add(const word& key, std::uint64_t count) {
    for (std::size_t i = key.hash >> shift_;; i = (i + 1) & mask_) {
      slot& s = slots_[i];
      if (s.key.a == key.a && s.key.b == key.b && s.key.hash == key.hash && s.key.size == key.size) {
        s.count += count;
        return;
      }
      if (s.key.size == 0) {
        if (used_ * 2 >= mask_) {
          grow();
          return add(key, count);
        }
        ++used_;
        s.key = key;
        s.count = count;
        return;
      }
      if (key.size > 16 && s.key.b == key.b && s.key.size == key.size &&
          std::memcmp(reinterpret_cast<const void*>(s.key.a), reinterpret_cast<const void*>(key.a), key.size) == 0) {
        s.count += count;
        return;
      }
    }
  }
  template <class F>
  void each(F f) const {
    for (std::size_t i = 0; i <= mask_; ++i)
      if (slots_[i].key.size != 0) f(slots_[i]);
  }

 private:
  void allocate(std::size_t slots) {
    void* memory = mmap(nullptr, slots * sizeof(slot), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    madvise(memory, slots * sizeof(slot), MADV_HUGEPAGE);
    slots_ = static_cast<slot*>(memory);
    mask_ = slots - 1;
    shift_ = 32 - std::countr_zero(slots);
  }
  void grow() {
    slot* const old = slots_;
    const auto old_mask = mask_;
    allocate((mask_ + 1) * 2);
    for (std::size_t i = 0; i <= old_mask; ++i) {
      if (old[i].key.size == 0) continue;
      std::size_t to = old[i].key.hash >> shift_;
      while (slots_[to].key.size != 0) to = (to + 1) & mask_;
      slots_[to] = old[i];
    }
    munmap(old, (old_mask + 1) * sizeof(slot));
  }
  slot* slots_ = nullptr;
  std::size_t mask_ = 0, used_ = 0;
  int shift_ = 0;
};

alignas(64) constexpr unsigned char keep[32] = {255, 255, 255, 255, 255, 255, 255, 255,
                                                255, 255, 255, 255, 255, 255, 255, 255};

/// One thread's piece. The 64 bytes behind it may be read.
class counter {
 public:
  table counts;

  void run(const char* at, const char* end) {
    const char* word_begin = nullptr;
    std::uint64_t before = 1;
    for (; at < end; at += 64) {
      std::uint64_t separators = mask_of(at);
      if (end - at < 64) separators |= ~std::uint64_t{0} << (end - at);
      std::uint64_t edges = separators ^ (separators << 1 | before);
      before = separators >> 63;
      if (word_begin != nullptr) {
        if (edges == 0) continue;
        found(word_begin, at + std::countr_zero(edges));
        edges &= edges - 1;
        word_begin = nullptr;
      }
      while (edges != 0) {
        const char* const begin = at + std::countr_zero(edges);
        edges &= edges - 1;
        if (edges == 0) {
          word_begin = begin;
          break;
        }
        found(begin, at + std::countr_zero(edges));
        edges &= edges - 1;
      }
    }
    if (word_begin != nullptr) found(word_begin, end);
    for (unsigned i = 0; i < 16; ++i) {
      word& oldest = queue_[next_++ & 15];
      if (oldest.size != 0) counts.add(oldest, 1);
      oldest.size = 0;
    }
  }

 private:
  static std::uint64_t mask_of(const char* at) {
    const auto space = _mm_set1_epi8(0x20);
    const auto of_16 = [&](int i) {
      const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at) + i);
      return static_cast<std::uint64_t>(
          static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, space), bytes))));
    };
    return of_16(0) | of_16(1) << 16 | of_16(2) << 32 | of_16(3) << 48;
  }
  void found(const char* begin, const char* end) {
    const auto size = static_cast<std::size_t>(end - begin);
    word& w = queue_[next_++ & 15];
    if (w.size != 0) counts.add(w, 1);
    std::uint64_t hash = 0;
    if (size <= 16) {
      const auto bytes = _mm_and_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(begin)),
                                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(keep + 16 - size)));
      w.a = static_cast<std::uint64_t>(_mm_cvtsi128_si64(bytes));
      w.b = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(bytes, bytes)));
      hash = mix(w.a ^ 0xe7037ed1a0b428db, w.b ^ 0x8ebc6af09c88c6e3);
      hash = hash * 0x9e3779b97f4a7c15;
    } else {
      hash = size;
      std::size_t i = 0;
      std::uint64_t piece = 0;
      for (; i + 8 <= size; i += 8) {
        std::memcpy(&piece, begin + i, 8);
        hash = mix(hash ^ piece, 0xe7037ed1a0b428db);
      }
      std::memcpy(&piece, end - 8, 8);
      hash = mix(hash ^ piece, 0x8ebc6af09c88c6e3);
      w.a = reinterpret_cast<std::uint64_t>(begin);
      w.b = hash;
    }
    w.hash = static_cast<std::uint32_t>(hash >> 32);
    w.size = static_cast<std::uint32_t>(size);
    counts.prefetch(w.hash);
  }
  word queue_[16] = {};
  unsigned next_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: word_count FILE [THREADS] [OUTPUT]\n");
    return 2;
  }
  const auto threads = static_cast<std::size_t>(argc > 2 ? std::atoi(argv[2]) : 2);
  const auto start = std::chrono::steady_clock::now();
  const int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0) {
    std::perror(argv[1]);
    return 1;
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  // Reserve a page more than the file, so that its end may be read past.
  auto* const reserved = static_cast<char*>(mmap(nullptr, size + 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  if (reserved == MAP_FAILED ||
      (size != 0 && mmap(reserved, size, PROT_READ, MAP_PRIVATE | MAP_FIXED | MAP_POPULATE, fd, 0) == MAP_FAILED)) {
    std::perror("mmap");
    return 1;
  }
  const char* const text = reserved;
  std::vector<std::size_t> cuts{0};
  for (std::size_t t = 1; t < threads; ++t) {
    auto cut = size * t / threads;
    while (cut<size&& static_cast<unsigned char>(text[cut])> 0x20) ++cut;
    cuts.push_back(cut);
  }
  cuts.push_back(size);
  std::vector<counter> counters(threads);
  std::vector<std::thread> running;
  for (std::size_t t = 1; t < threads; ++t)
    running.emplace_back([&, t] { counters[t].run(text + cuts[t], text + cuts[t + 1]); });
  counters[0].run(text + cuts[0], text + cuts[1]);
  for (auto& thread : running) thread.join();
  for (std::size_t t = 1; t < threads; ++t)
    counters[t].counts.each([&](const slot& s) { counters[0].counts.add(s.key, s.count); });

  std::uint64_t words = 0, different = 0;
  std::string out;
  FILE* const file = argc > 3 ? std::fopen(argv[3], "w") : nullptr;
  counters[0].counts.each([&](const slot& s) {
    words += s.count;
    ++different;
    if (file == nullptr) return;
    out.append(s.key.size <= 16 ? reinterpret_cast<const char*>(&s.key) : reinterpret_cast<const char*>(s.key.a),
               s.key.size);
    out += '\t';
    out += std::to_string(s.count);
    out += '\n';
    if (out.size() < (1 << 20)) return;
    std::fwrite(out.data(), 1, out.size(), file);
    out.clear();
  });
  if (file != nullptr) {
    std::fwrite(out.data(), 1, out.size(), file);
    std::fclose(file);
  }
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::fprintf(stderr,
               "{\"seconds\": %.4f, \"mb_per_second\": %.1f, \"words\": %llu, \"different\": %llu, \"threads\": %zu}\n",
               seconds, static_cast<double>(size) / 1e6 / seconds, static_cast<unsigned long long>(words),
               static_cast<unsigned long long>(different), threads);
  return 0;
}
