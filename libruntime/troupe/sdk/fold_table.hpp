#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <troupe/sdk/hash.hpp>
#include <troupe/sdk/memory.hpp>
#include <type_traits>
#include <vector>

namespace troupe::sdk {

/// Key → accumulator, for folding on both sides of a shuffle. Open addressing, cache line by cache line; at most half
/// full.
///
///   slots_   | a  b  tag size | accumulator |   one access finds key and accumulator; keys up to 16 bytes are inside,
///   longer ones in keys_
///   parts_   for each partition of the output its slots in the order in which their keys came: what is written out
///   follows the input, not the table's size, and writing it out takes one access to each slot
///
/// How many keys it takes (`entries_max`) depends on the memory of the plan alone, so that two attempts flush at the
/// same record. One thread's.
template <class Accumulator>
class fold_table {
 public:
  struct slot {
    packed_key key;
    union {
      Accumulator accumulator;
    };
    slot() = delete;
    ~slot() = delete;
  };

  fold_table() = default;
  fold_table(const fold_table&) = delete;
  fold_table& operator=(const fold_table&) = delete;
  ~fold_table() { clear(); }

  /// Limits the table: half of `memory_bytes` for slots (while it grows, the old ones are there too), a quarter for
  /// long keys; and says into how many partitions its entries will go. It must be empty.
  void limit(std::uint64_t memory_bytes, std::uint32_t partitions = 1) {
    constexpr auto slot_bytes =
        sizeof(slot) + sizeof(std::uint32_t);  // half as many entries as slots, in vectors that double
    const auto slots = std::max<std::uint64_t>(memory_bytes / 2 / (slot_bytes + slot_bytes / 2), slots_min);
    slots_max_ = std::min<std::uint64_t>(std::bit_floor(slots), std::uint64_t{1} << 31);
    key_bytes_max_ = std::max<std::uint64_t>(memory_bytes / 4, std::uint64_t{1} << 16);
    if (capacity_ == 0 || capacity_ > slots_max_) allocate(std::min<std::uint64_t>(slots_max_, slots_at_start));
    partition_ = partitioner(partitions);
    if (parts_.size() < partition_.partitions()) parts_.resize(partition_.partitions());
  }
  [[nodiscard]] std::uint64_t entries_max() const noexcept { return slots_max_ / 2; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint32_t partitions() const noexcept { return partition_.partitions(); }
  [[nodiscard]] std::uint64_t size(std::uint32_t partition) const noexcept { return parts_[partition].order.size(); }
  /// Of the keys of a partition.
  [[nodiscard]] std::uint64_t key_bytes(std::uint32_t partition) const noexcept { return parts_[partition].key_bytes; }
  [[nodiscard]] std::uint64_t long_key_bytes() const noexcept { return keys_.used(); }

  /// Where slots are and how a tag becomes one of them: slots + (tag >> shift) * slot_bytes. Changes when the table
  /// grows.
  struct place {
    const void* slots;
    std::uint32_t shift;
  };
  [[nodiscard]] place where() const noexcept { return {slots_, shift_}; }
  void prefetch(std::uint32_t tag) const noexcept { __builtin_prefetch(&slots_[tag >> shift_], 1); }

  /// The slot of a key, or the empty one where it belongs.
  [[nodiscard, gnu::always_inline]] slot& find(const packed_key& key) noexcept {
    slot& first = slots_[key.tag() >> shift_];
    if (first.key.a == key.a && first.key.b == key.b && first.key.meta == key.meta) [[likely]]
      return first;  // short keys, mostly
    if (first.key.is_none()) return first;
    return find_further(key);
  }
  static bool is_empty(const slot& s) noexcept { return s.key.is_none(); }

  /// Whether one more key fits; if not, write out and clear.
  [[nodiscard]] bool has_room(const packed_key& key) const noexcept {
    if (size_ >= slots_max_ / 2) return false;
    return key.is_short() || keys_.used() == 0 || keys_.used() + key.size() <= key_bytes_max_;
  }

  /// Puts a key with its first accumulator into the empty slot that find gave. There must be room.
  slot& insert(slot& empty, const packed_key& key, Accumulator&& first) {
    slot* at = &empty;
    if (size_ >= capacity_ / 2) {
      grow();
      at = &find(key);
    }
    part& mine = parts_[partition_(key.tag())];
    if (mine.order.size() == mine.order.capacity())
      mine.order.reserve(std::max<std::size_t>(256, mine.order.size() * 2));
    const char* const kept = key.is_short() ? nullptr : keys_.copy(key.view());
    std::construct_at(&at->accumulator, std::move(first));  // what may throw is done; nothing has changed until here
    at->key = key;
    if (kept != nullptr) at->key.a = reinterpret_cast<std::uint64_t>(kept);
    mine.order.push_back(static_cast<std::uint32_t>(at - slots_));
    mine.key_bytes += key.size();
    ++size_;
    return *at;
  }

  /// Calls f(slot) for every entry of a partition, first come first.
  template <class F>
  void for_each(std::uint32_t partition, F&& f) {
    constexpr std::size_t ahead = 12;
    const auto& order = parts_[partition].order;
    for (std::size_t i = 0; i < order.size(); ++i) {
      if (i + ahead < order.size()) __builtin_prefetch(&slots_[order[i + ahead]]);
      f(slots_[order[i]]);
    }
  }

  /// Forgets the entries and keeps the memory.
  void clear() noexcept {
    const bool few = size_ < capacity_ / 8;
    for (auto& p : parts_) {
      if (few || !std::is_trivially_destructible_v<Accumulator>) {
        for (const auto i : p.order) {
          std::destroy_at(&slots_[i].accumulator);
          std::memset(static_cast<void*>(&slots_[i].key), 0, sizeof(packed_key));
        }
      }
      p.order.clear();
      p.key_bytes = 0;
    }
    if (!few) std::memset(static_cast<void*>(slots_), 0, capacity_ * sizeof(slot));
    size_ = 0;
    keys_.clear();
  }
  /// The same, and gives the memory back.
  void release() noexcept {
    clear();
    memory_ = mapped_memory();
    slots_ = nullptr;
    capacity_ = 0;
    parts_ = std::vector<part>();
    keys_ = byte_arena();
  }

 private:
  static constexpr std::uint64_t slots_min = 1024;
  static constexpr std::uint64_t slots_at_start = std::uint64_t{1} << 16;

  struct part {
    std::vector<std::uint32_t> order;
    std::uint64_t key_bytes = 0;
  };

  [[nodiscard, gnu::noinline]] slot& find_further(const packed_key& key) noexcept {
    for (std::uint64_t i = key.tag() >> shift_, n = 0;; i = following(i, n++)) {
      slot& s = slots_[i];
      if (s.key.is_none()) return s;
      if (s.key.meta != key.meta || s.key.b != key.b) continue;
      if (s.key.a == key.a || (!key.is_short() && s.key.view() == key.view())) return s;
    }
  }
  /// The place to look at after the n-th: first the other one of the same cache line, then line by line.
  [[nodiscard]] std::uint64_t following(std::uint64_t i, std::uint64_t n) const noexcept {
    return n % 2 == 0 ? i ^ 1 : (i + 2) & mask_;
  }

  void allocate(std::uint64_t capacity) { use(mapped_memory(capacity * sizeof(slot)), capacity); }
  void use(mapped_memory memory, std::uint64_t capacity) noexcept {
    memory_ = std::move(memory);
    slots_ = static_cast<slot*>(memory_.data());
    capacity_ = capacity;
    mask_ = capacity - 1;
    shift_ = 32 - static_cast<std::uint32_t>(std::countr_zero(capacity));
  }
  void grow() {
    mapped_memory larger(capacity_ * 2 * sizeof(slot));  // what may throw is done; the table is whole until here
    const mapped_memory old = std::move(memory_);
    slot* const from = slots_;
    use(std::move(larger), capacity_ * 2);
    for (auto& p : parts_) {
      for (auto& i : p.order) {
        slot& s = from[i];
        std::uint64_t to = s.key.tag() >> shift_;
        for (std::uint64_t n = 0; !slots_[to].key.is_none(); ++n) to = following(to, n);
        slots_[to].key = s.key;
        std::construct_at(&slots_[to].accumulator, std::move(s.accumulator));
        std::destroy_at(&s.accumulator);
        i = static_cast<std::uint32_t>(to);
      }
    }
  }

  mapped_memory memory_;
  slot* slots_ = nullptr;
  std::uint64_t capacity_ = 0;
  std::uint64_t mask_ = 0;
  std::uint32_t shift_ = 31;
  std::uint64_t slots_max_ = 0;
  std::uint64_t key_bytes_max_ = 0;
  std::uint64_t size_ = 0;
  partitioner partition_{1};
  std::vector<part> parts_;
  byte_arena keys_;
};

}  // namespace troupe::sdk
