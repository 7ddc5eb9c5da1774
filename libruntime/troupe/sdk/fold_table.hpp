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

/// Key → accumulator, for folding on both sides of a shuffle. Open addressing with linear probing; at most half full.
///
///   slots_   | a  b  tag size | accumulator |   one access finds key and accumulator; keys up to 16 bytes are inside,
///   longer ones in keys_ order_   the slots in the order in which their keys came: what is written out follows the
///   input, not the table's size
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
  /// long keys. It must be empty.
  void limit(std::uint64_t memory_bytes) {
    constexpr auto slot_bytes = sizeof(slot) + sizeof(std::uint32_t) / 2;
    const auto slots = std::max<std::uint64_t>(memory_bytes / 2 / (slot_bytes + slot_bytes / 2), slots_min);
    slots_max_ = std::min<std::uint64_t>(std::bit_floor(slots), std::uint64_t{1} << 31);
    key_bytes_max_ = std::max<std::uint64_t>(memory_bytes / 4, std::uint64_t{1} << 16);
    if (capacity_ == 0 || capacity_ > slots_max_) allocate(std::min<std::uint64_t>(slots_max_, slots_at_start));
  }
  [[nodiscard]] std::uint64_t entries_max() const noexcept { return slots_max_ / 2; }
  [[nodiscard]] std::uint64_t size() const noexcept { return order_.size(); }
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
    return find_further(key);
  }
  static bool is_empty(const slot& s) noexcept { return s.key.is_none(); }

  /// Whether one more key fits; if not, write out and clear.
  [[nodiscard]] bool has_room(const packed_key& key) const noexcept {
    if (order_.size() >= slots_max_ / 2) return false;
    return key.is_short() || keys_.used() == 0 || keys_.used() + key.size() <= key_bytes_max_;
  }

  /// Puts a key with its first accumulator into the empty slot that find gave. There must be room.
  slot& insert(slot& empty, const packed_key& key, Accumulator&& first) {
    slot* at = &empty;
    if (order_.size() >= capacity_ / 2) {
      grow();
      at = &find(key);
    }
    at->key = key;
    if (!key.is_short()) at->key.a = reinterpret_cast<std::uint64_t>(keys_.copy(key.view()));
    std::construct_at(&at->accumulator, std::move(first));
    order_.push_back(static_cast<std::uint32_t>(at - slots_));
    return *at;
  }

  /// The entry whose key came as the i-th, from 0.
  [[nodiscard]] const slot& entry(std::size_t i) const noexcept { return slots_[order_[i]]; }

  /// Calls f(slot) for every entry, first come first.
  template <class F>
  void for_each(F&& f) {
    constexpr std::size_t ahead = 12;
    for (std::size_t i = 0; i < order_.size(); ++i) {
      if (i + ahead < order_.size()) __builtin_prefetch(&slots_[order_[i + ahead]]);
      f(slots_[order_[i]]);
    }
  }

  /// Forgets the entries and keeps the memory.
  void clear() noexcept {
    const bool few = order_.size() < capacity_ / 8;
    if (few || !std::is_trivially_destructible_v<Accumulator>) {
      for (const auto i : order_) {
        std::destroy_at(&slots_[i].accumulator);
        std::memset(static_cast<void*>(&slots_[i].key), 0, sizeof(packed_key));
      }
    }
    if (!few) std::memset(static_cast<void*>(slots_), 0, capacity_ * sizeof(slot));
    order_.clear();
    keys_.clear();
  }

 private:
  static constexpr std::uint64_t slots_min = 1024;
  static constexpr std::uint64_t slots_at_start = std::uint64_t{1} << 16;

  [[nodiscard, gnu::noinline]] slot& find_further(const packed_key& key) noexcept {
    for (std::uint64_t i = key.tag() >> shift_;; i = (i + 1) & mask_) {
      slot& s = slots_[i];
      if (s.key.is_none()) return s;
      if (s.key.meta != key.meta || s.key.b != key.b) continue;
      if (s.key.a == key.a || (!key.is_short() && s.key.view() == key.view())) return s;
    }
  }

  void allocate(std::uint64_t capacity) {
    order_.reserve(capacity / 2);
    use(mapped_memory(capacity * sizeof(slot)), capacity);
  }
  void use(mapped_memory memory, std::uint64_t capacity) noexcept {
    memory_ = std::move(memory);
    slots_ = static_cast<slot*>(memory_.data());
    capacity_ = capacity;
    mask_ = capacity - 1;
    shift_ = 32 - static_cast<std::uint32_t>(std::countr_zero(capacity));
  }
  void grow() {
    order_.reserve(capacity_);
    mapped_memory larger(capacity_ * 2 * sizeof(slot));  // what may throw is done; the table is whole until here
    const mapped_memory old = std::move(memory_);
    slot* const from = slots_;
    use(std::move(larger), capacity_ * 2);
    for (auto& i : order_) {
      slot& s = from[i];
      std::uint64_t to = s.key.tag() >> shift_;
      while (!slots_[to].key.is_none()) to = (to + 1) & mask_;
      slots_[to].key = s.key;
      std::construct_at(&slots_[to].accumulator, std::move(s.accumulator));
      std::destroy_at(&s.accumulator);
      i = static_cast<std::uint32_t>(to);
    }
  }

  mapped_memory memory_;
  slot* slots_ = nullptr;
  std::uint64_t capacity_ = 0;
  std::uint64_t mask_ = 0;
  std::uint32_t shift_ = 31;
  std::uint64_t slots_max_ = 0;
  std::uint64_t key_bytes_max_ = 0;
  std::vector<std::uint32_t> order_;
  byte_arena keys_;
};

}  // namespace troupe::sdk
