#pragma once
#include <bit>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <troupe/sdk/hash.hpp>

namespace troupe {

namespace sdk {

/// Bit i: byte i is a separator (<= 0x20). Of 64 bytes that may all be read.
inline std::uint64_t separators_of_64(const char* data) noexcept {
#if defined(__SSE2__)
  asm("" : "+r"(data));
  const auto space = _mm_set1_epi8(0x20);
  const auto of_16 = [&](int i) {
    const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i);
    return static_cast<std::uint64_t>(
        static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, space), bytes))));
  };
  return of_16(0) | of_16(1) << 16 | of_16(2) << 32 | of_16(3) << 48;
#else
  std::uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) mask |= static_cast<std::uint64_t>(static_cast<unsigned char>(data[i]) <= 0x20) << i;
  return mask;
#endif
}

/// The same of `size` < 64 bytes; what lies behind them counts as separators.
inline std::uint64_t separators_of_rest(const char* data, std::size_t size) noexcept {
  const auto behind = ~std::uint64_t{0} << size;
  if (readable_ahead(data, 64)) return separators_of_64(data) | behind;
  char padded[64] = {};
  if (size != 0) std::memcpy(padded, data, size);
  return separators_of_64(padded) | behind;
}

/// Bit i: byte i is '\n'. Of 64 bytes that may all be read.
inline std::uint64_t newlines_of_64(const char* data) noexcept {
#if defined(__SSE2__)
  asm("" : "+r"(data));
  const auto newline = _mm_set1_epi8('\n');
  const auto of_16 = [&](int i) {
    const auto bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data) + i);
    return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, newline))));
  };
  return of_16(0) | of_16(1) << 16 | of_16(2) << 32 | of_16(3) << 48;
#else
  std::uint64_t mask = 0;
  for (int i = 0; i < 64; ++i) mask |= static_cast<std::uint64_t>(data[i] == '\n') << i;
  return mask;
#endif
}

/// Where the lines of a text end, 64 bytes at once: a call of memchr for each line costs more than the line.
class line_ends {
 public:
  line_ends(const char* begin, const char* end) noexcept : window_(begin), end_(end) {
    if (begin != end) mask_ = load();
  }
  /// The next '\n', or the end of the text when there is none.
  [[gnu::always_inline]] const char* next() noexcept {
    while (mask_ == 0) {
      if (end_ - window_ <= 64) return end_;
      window_ += 64;
      mask_ = load();
    }
    const char* const found = window_ + std::countr_zero(mask_);
    mask_ &= mask_ - 1;
    return found;
  }

 private:
  [[nodiscard]] std::uint64_t load() const noexcept {
    const auto left = static_cast<std::size_t>(end_ - window_);
    if (left >= 64) return newlines_of_64(window_);
    const auto inside = ~(~std::uint64_t{0} << left);
    if (readable_ahead(window_, 64)) return newlines_of_64(window_) & inside;
    char padded[64] = {};
    std::memcpy(padded, window_, left);
    return newlines_of_64(padded);
  }
  const char* window_;
  const char* end_;
  std::uint64_t mask_ = 0;
};

}  // namespace sdk

/// The words of a text: what stands between bytes <= 0x20. `for (auto word : troupe::words(line))`. The views are into
/// the text.
///
/// It looks at 64 bytes at once: their separators become a bit mask, and its edges (where a bit differs from the one
/// before) are the beginnings and ends of words.
class words {
 public:
  explicit words(std::string_view text) noexcept : text_(text) {}

  class iterator {
   public:
    using value_type = std::string_view;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using pointer = const std::string_view*;
    using reference = std::string_view;

    iterator() = default;
    explicit iterator(std::string_view text) noexcept : window_(text.data()), end_(text.data() + text.size()) {
      load();
      ++*this;
    }
    std::string_view operator*() const noexcept { return {word_, static_cast<std::size_t>(word_end_ - word_)}; }
    iterator& operator++() noexcept {
      while (edges_ == 0) [[unlikely]] {
          if (end_ - window_ <= 64) {
            word_ = nullptr;
            return *this;
          }
          advance();
        }
      word_ = window_ + std::countr_zero(edges_);
      edges_ &= edges_ - 1;
      while (edges_ == 0) [[unlikely]] {
          if (end_ - window_ <= 64) {
            word_end_ = end_;
            return *this;
          }
          advance();
        }
      word_end_ = window_ + std::countr_zero(edges_);
      edges_ &= edges_ - 1;
      return *this;
    }
    void operator++(int) noexcept { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept { return it.word_ == nullptr; }

   private:
    void advance() noexcept {
      window_ += 64;
      load();
    }
    void load() noexcept {
      const auto left = end_ - window_;
      const auto mask = left >= 64 ? sdk::separators_of_64(window_)
                                   : sdk::separators_of_rest(window_, static_cast<std::size_t>(left));
      edges_ = mask ^ (mask << 1 | before_);
      before_ = mask >> 63;
    }

    const char* window_ = nullptr;
    const char* end_ = nullptr;
    std::uint64_t edges_ = 0;
    std::uint64_t before_ = 1;  ///< 1: the byte before the window is a separator
    const char* word_ = nullptr;
    const char* word_end_ = nullptr;
  };

  [[nodiscard]] iterator begin() const noexcept { return text_.empty() ? iterator() : iterator(text_); }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  std::string_view text_;
};

}  // namespace troupe
