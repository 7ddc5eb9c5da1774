#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <memory>
#include <troupe/sdk/hash.hpp>
#include <troupe/sdk/memory.hpp>
#include <troupe/sdk/record.hpp>
#include <type_traits>
#include <vector>

namespace troupe::sdk {

/// Keys that are one number of at most 64 bits, whose bits tell them apart.
template <class Key>
concept number_key = std::is_integral_v<Key>;

/// The bits of a number so that small ones, negative ones too, have few. Different numbers have different bits.
template <class Number>
[[gnu::always_inline]] inline std::uint64_t bits_of(const Number& number) noexcept {
  static_assert(std::is_arithmetic_v<Number>);
  if constexpr (std::is_floating_point_v<Number>)
    return std::bit_cast<std::conditional_t<sizeof(Number) == 4, std::uint32_t, std::uint64_t>>(number);
  else if constexpr (std::is_signed_v<Number>)
    return zigzag(number);
  else
    return static_cast<std::uint64_t>(number);
}
/// The other way round. False: no number of this type has these bits.
template <class Number>
[[gnu::always_inline]] inline bool from_bits(std::uint64_t bits, Number& out) noexcept {
  if constexpr (std::is_floating_point_v<Number>) {
    using raw = std::conditional_t<sizeof(Number) == 4, std::uint32_t, std::uint64_t>;
    out = std::bit_cast<Number>(static_cast<raw>(bits));
    return static_cast<raw>(bits) == bits;
  } else if constexpr (std::is_signed_v<Number>) {
    const auto wide = static_cast<std::int64_t>(bits >> 1) ^ -static_cast<std::int64_t>(bits & 1);
    out = static_cast<Number>(wide);
    return out == wide;
  } else {
    out = static_cast<Number>(bits);
    return static_cast<std::uint64_t>(out) == bits;
  }
}

/// A number → what belongs to it, for folds and joins by numbers: slots are a third smaller than those of fold_table,
/// and nothing is packed. Open addressing, slot by slot; at most half full. One thread's.
///
///   slots_   | number | entry |   number 0 with an empty slot's bytes has a slot of its own behind the others
///   order_   the slots in the order in which their numbers came
///
/// How many it takes depends on the memory of the plan alone.
template <class Entry>
class number_table {
 public:
  struct slot {
    std::uint64_t number;
    union {
      Entry entry;
    };
    slot() = delete;
    ~slot() = delete;
  };

  number_table() = default;
  number_table(const number_table&) = delete;
  number_table& operator=(const number_table&) = delete;
  ~number_table() { clear(); }

  /// Limits the table to three quarters of `memory_bytes`, those slots included that are there while it grows. It must
  /// be empty.
  void limit(std::uint64_t memory_bytes) {
    constexpr auto slot_bytes = sizeof(slot) + sizeof(std::uint32_t);
    const auto slots = std::max<std::uint64_t>(memory_bytes / 4 * 3 / (slot_bytes + slot_bytes / 2), slots_min);
    slots_max_ = std::min<std::uint64_t>(std::bit_floor(slots), std::uint64_t{1} << 31);
    if (capacity_ == 0 || capacity_ > slots_max_) {
      memory_ = mapped_memory();  // not both at once
      use(mapped_memory(bytes_for(std::min(slots_max_, slots_at_start))), std::min(slots_max_, slots_at_start));
      order_ = std::vector<std::uint32_t>();
    }
  }
  [[nodiscard]] std::uint64_t size() const noexcept { return order_.size(); }
  [[nodiscard]] bool has_room() const noexcept { return order_.size() < slots_max_ / 2; }

  [[gnu::always_inline]] void prefetch(std::uint64_t number) const noexcept {
    __builtin_prefetch(&slots_[place_of(number)], 1);
  }
  /// The number's slot, or null.
  [[nodiscard, gnu::always_inline]] slot* find(std::uint64_t number) const noexcept {
    if (number == 0) [[unlikely]]
      return has_zero_ ? &slots_[capacity_] : nullptr;
    for (auto i = place_of(number);; i = (i + 1) & mask_) {
      slot& s = slots_[i];
      if (s.number == number) [[likely]]
        return &s;
      if (s.number == 0) return nullptr;
    }
  }
  /// Puts in a number that is not there. There must be room.
  slot& insert(std::uint64_t number, Entry&& first) {
    if (order_.size() >= capacity_ / 2) grow();
    if (order_.size() == order_.capacity()) order_.reserve(std::max<std::size_t>(256, order_.size() * 2));
    auto at = capacity_;
    if (number != 0) at = free_place(number);
    slot& s = slots_[at];
    std::construct_at(&s.entry, std::move(first));  // what may throw is done; nothing has changed until here
    s.number = number;
    has_zero_ = has_zero_ || number == 0;
    order_.push_back(static_cast<std::uint32_t>(at));
    return s;
  }
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
    if (few || !std::is_trivially_destructible_v<Entry>) {
      for (const auto i : order_) {
        std::destroy_at(&slots_[i].entry);
        slots_[i].number = 0;
      }
    }
    if (!few) std::memset(static_cast<void*>(slots_), 0, bytes_for(capacity_));
    order_.clear();
    has_zero_ = false;
  }
  /// The same, and gives the memory back.
  void release() noexcept {
    clear();
    memory_ = mapped_memory();
    slots_ = nullptr;
    capacity_ = 0;
    order_ = std::vector<std::uint32_t>();
  }

 private:
  static constexpr std::uint64_t slots_min = 1024;
  static constexpr std::uint64_t slots_at_start = std::uint64_t{1} << 16;
  static constexpr std::uint64_t bytes_for(std::uint64_t capacity) noexcept { return (capacity + 1) * sizeof(slot); }

  /// Not the hash that chooses partitions: numbers of one partition still spread.
  [[nodiscard, gnu::always_inline]] std::uint64_t place_of(std::uint64_t number) const noexcept {
    return hash_fold(number ^ hash_k1, hash_k2) >> shift_;
  }
  [[nodiscard]] std::uint64_t free_place(std::uint64_t number) const noexcept {
    auto i = place_of(number);
    while (slots_[i].number != 0) i = (i + 1) & mask_;
    return i;
  }
  void use(mapped_memory memory, std::uint64_t capacity) noexcept {
    memory_ = std::move(memory);
    slots_ = static_cast<slot*>(memory_.data());
    capacity_ = capacity;
    mask_ = capacity - 1;
    shift_ = 64 - static_cast<std::uint32_t>(std::countr_zero(capacity));
  }
  void grow() {
    mapped_memory larger(bytes_for(capacity_ * 2));  // what may throw is done; the table is whole until here
    const mapped_memory old = std::move(memory_);
    slot* const from = slots_;
    use(std::move(larger), capacity_ * 2);
    for (auto& i : order_) {
      slot& s = from[i];
      const auto to = s.number == 0 ? capacity_ : free_place(s.number);
      slots_[to].number = s.number;
      std::construct_at(&slots_[to].entry, std::move(s.entry));
      std::destroy_at(&s.entry);
      i = static_cast<std::uint32_t>(to);
    }
  }

  mapped_memory memory_;
  slot* slots_ = nullptr;
  std::uint64_t capacity_ = 0;
  std::uint64_t mask_ = 0;
  std::uint32_t shift_ = 63;
  std::uint64_t slots_max_ = 0;
  bool has_zero_ = false;
  std::vector<std::uint32_t> order_;
};

}  // namespace troupe::sdk
