#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <troupe/sdk/memory.hpp>
#include <vector>

namespace troupe::sdk {

/// What a sort moves about: where an entry is, and a number that grows with its key.
struct sort_item {
  std::uint64_t prefix;
  const char* entry;
};

/// The items of a sort: collected, then put in order, stably. Few of them are sorted by comparing. Many are divided by
/// the bits of their prefixes that differ, least significant digit first (Knuth, TAOCP 3, 5.2.5), as far as it takes to
/// tell nearly all of them apart; what still is together is compared.
///
///     prefixes  00..00 1011 0111 0.. ..   bits above are equal in all; the window is divided into one or three digits
///                      └─ window ─┘
///
/// Items are collected in blocks of 2 MiB; a sort of many takes as much again, and puts them there in one piece.
class sort_index {
 public:
  /// Memory for an item while it is being sorted: block, piece, and what std::stable_sort takes for itself.
  static constexpr std::size_t bytes_each = sizeof(sort_item) * 5 / 2;

  sort_index() = default;
  sort_index& operator=(sort_index&& other) noexcept {
    give_back();
    small_ = std::move(other.small_);
    memory_ = std::move(other.memory_);
    blocks_ = std::move(other.blocks_);
    size_ = std::exchange(other.size_, 0);
    capacity_ = std::exchange(other.capacity_, 0);
    ones_ = other.ones_;
    zeros_ = other.zeros_;
    piece_ = std::move(other.piece_);
    sorted_ = std::exchange(other.sorted_, nullptr);
    return *this;
  }
  ~sort_index() { give_back(); }

  void add(sort_item item) {
    if (size_ == capacity_) [[unlikely]]
      grow();
    at(size_++) = item;
    ones_ |= item.prefix;
    zeros_ |= ~item.prefix;
  }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const sort_item& operator[](std::size_t i) const noexcept {
    return sorted_ != nullptr ? sorted_[i] : blocks_[i / block_items][i % block_items];
  }

  /// `whole`: equal prefixes are equal keys. `before(x, y)` compares prefixes, and keys where those are equal.
  template <class Before>
  void sort(bool whole, Before before) {
    if (size_ <= small_items) {
      if (size_ > 1) std::stable_sort(blocks_[0], blocks_[0] + size_, before);
      return;
    }
    if (piece_.size() < size_ * sizeof(sort_item)) {
      piece_ = mapped_memory();
      piece_ = mapped_memory(size_ * sizeof(sort_item));
    }
    sort_item* const to = static_cast<sort_item*>(piece_.data());
    const unsigned shift = divide(to, whole);
    sorted_ = to;
    if (shift == 0 && whole) return;
    const auto group = [&](std::size_t i) { return shift == 64 ? 0 : to[i].prefix >> shift; };
    for (std::size_t begin = 0, end = 1; begin < size_; begin = end++) {
      while (end < size_ && group(end) == group(begin)) ++end;
      if (end - begin > few_items)
        std::stable_sort(to + begin, to + end, before);
      else
        insert_each(to + begin, to + end, before);
    }
  }

  /// Forgets the items and keeps the memory.
  void clear() noexcept {
    size_ = 0;
    ones_ = zeros_ = 0;
    sorted_ = nullptr;
  }

 private:
  static constexpr std::size_t small_items = 4096;
  static constexpr std::size_t few_items = 16;
  static constexpr std::size_t block_items = mapped_memory::huge_page_bytes / sizeof(sort_item);
  static constexpr unsigned digit_bits_max = 11;
  static constexpr unsigned digits_max = 3;

  [[nodiscard]] sort_item& at(std::size_t i) const noexcept { return blocks_[i / block_items][i % block_items]; }

  void grow() {
    if (size_ == 0) {
      small_ = std::make_unique_for_overwrite<sort_item[]>(small_items);
      blocks_.assign(1, small_.get());
      capacity_ = small_items;
      return;
    }
    memory_.push_back(kept_pages::take());
    auto* const block = static_cast<sort_item*>(memory_.back().data());
    if (memory_.size() == 1) {
      std::copy(blocks_[0], blocks_[0] + size_, block);
      blocks_[0] = block;
    } else {
      blocks_.push_back(block);
    }
    capacity_ = memory_.size() * block_items;
  }

  void give_back() noexcept {
    for (auto& block : memory_) kept_pages::give(std::move(block));
    memory_.clear();
  }

  /// Into `to`, ordered by prefix >> the result (64: nothing is).
  unsigned divide(sort_item* to, bool whole) {
    const std::uint64_t differing = ones_ & zeros_;
    const auto top = static_cast<unsigned>(std::bit_width(differing));
    if (top == 0) {
      for (std::size_t i = 0; i < size_; ++i) to[i] = at(i);
      return whole ? 0 : 64;
    }
    // 64 times as many values as there are items leave one in 64 beside another: those are compared.
    const auto wanted = static_cast<int>(std::bit_width(size_)) + 6;
    unsigned window = 1;
    while (window < top && window < digits_max * digit_bits_max && std::popcount(differing >> (top - window)) < wanted)
      ++window;
    const unsigned shift = top - window;
    if (window <= digit_bits_max) {
      std::array<std::vector<std::size_t>, 1> next;
      count(next, shift, window);
      pass(
          next[0], shift, window, [&](std::size_t i) { return at(i); }, [&](std::size_t i) -> auto& { return to[i]; });
      return shift;
    }
    const unsigned bits = (window + 2) / 3;
    std::array<std::vector<std::size_t>, 3> next;
    count(next, shift, bits);
    const auto of_blocks = [&](std::size_t i) -> sort_item& { return at(i); };
    const auto of_piece = [&](std::size_t i) -> sort_item& { return to[i]; };
    pass(next[0], shift, bits, of_blocks, of_piece);
    pass(next[1], shift + bits, bits, of_piece, of_blocks);
    pass(next[2], shift + 2 * bits, bits, of_blocks, of_piece);
    return shift;
  }
  static std::size_t digit(std::uint64_t prefix, unsigned shift, unsigned bits) noexcept {
    return shift >= 64 ? 0 : prefix >> shift & ((std::uint64_t{1} << bits) - 1);
  }
  /// For each digit, where the first item of each of its values goes.
  template <std::size_t Digits>
  void count(std::array<std::vector<std::size_t>, Digits>& next, unsigned shift, unsigned bits) const {
    for (auto& of : next) of.assign(std::size_t{1} << bits, 0);
    for (std::size_t i = 0; i < size_; ++i)
      for (unsigned d = 0; d < Digits; ++d) ++next[d][digit(at(i).prefix, shift + d * bits, bits)];
    for (auto& of : next) {
      std::size_t begin = 0;
      for (auto& place : of) begin += std::exchange(place, begin);
    }
  }
  template <class From, class To>
  void pass(std::vector<std::size_t>& next, unsigned shift, unsigned bits, From from, To to) const {
    for (std::size_t i = 0; i < size_; ++i) {
      const sort_item item = from(i);
      to(next[digit(item.prefix, shift, bits)]++) = item;
    }
  }
  template <class Before>
  static void insert_each(sort_item* begin, sort_item* end, Before before) {
    for (sort_item* i = begin + 1; i < end; ++i) {
      const sort_item moving = *i;
      sort_item* to = i;
      for (; to > begin && before(moving, to[-1]); --to) *to = to[-1];
      *to = moving;
    }
  }

  std::unique_ptr<sort_item[]> small_;
  std::vector<mapped_memory> memory_;
  std::vector<sort_item*> blocks_;  ///< small_, or memory_'s
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::uint64_t ones_ = 0;   ///< bits that are set in some prefix
  std::uint64_t zeros_ = 0;  ///< bits that are not set in some prefix
  mapped_memory piece_;
  const sort_item* sorted_ = nullptr;
};

}  // namespace troupe::sdk
