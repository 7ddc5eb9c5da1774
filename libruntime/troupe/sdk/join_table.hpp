#pragma once
#include <optional>
#include <stdexcept>
#include <string>
#include <troupe/sdk/fold_table.hpp>
#include <troupe/sdk/key.hpp>
#include <troupe/sdk/number_table.hpp>
#include <type_traits>
#include <vector>

namespace troupe::sdk {

enum class join_kind : std::uint8_t { inner, left, semi, anti };

template <class Value>
void decode_value(bytes_view bytes, Value& out) {
  const char* const end = bytes.data() + bytes.size();
  if (decode_field(bytes.data(), end, out) != end) throw std::runtime_error("a value of a join does not decode");
}

/// The right side of a hash join: for each key its values, in the order in which they came. A small value that holds no
/// views lies in its key's slot, if it is the key's first; others are in a list. One thread's.
template <class Key, class W>
class join_table {
 public:
  /// A key as the table is asked for it: a number, or packed (a long one points to the caller's bytes).
  using key_type = std::conditional_t<number_key<Key>, std::uint64_t, packed_key>;

  static key_type key_from(const typename key_bytes<Key>::view& key, std::string& scratch) {
    if constexpr (number_key<Key>) {
      return bits_of(key);
    } else {
      key_type out;
      key_bytes<Key>::pack(key, scratch, out);
      return out;
    }
  }
  /// Of a key's bytes.
  static key_type key_from(bytes_view bytes) {
    if constexpr (number_key<Key>) {
      Key key{};
      if (!key_bytes<Key>::decode(bytes, key)) throw std::runtime_error("a key of a join does not decode");
      return bits_of(key);
    } else {
      key_type out;
      pack_key(bytes, out);
      return out;
    }
  }

  /// Half of the memory for slots and long keys, a quarter for values. It must be empty.
  void limit(std::uint64_t memory_bytes) {
    slots_.limit(memory_bytes / 3 * 2);
    values_bytes_max_ = memory_bytes / 4;
  }
  /// False: it does not fit.
  [[nodiscard]] bool add(const key_type& key, const W& value) {
    return put(key, inside ? 0 : encoded_size(value), value, [&](char* at) { encode_field(at, value); });
  }
  /// The same for a value as it is encoded.
  [[nodiscard]] bool add_encoded(const key_type& key, bytes_view value) {
    W decoded{};
    if constexpr (inside) decode_value(value, decoded);
    return put(key, value.size(), decoded, [&](char* at) {
      if (!value.empty()) std::memcpy(at, value.data(), value.size());
    });
  }
  [[gnu::always_inline]] void prefetch(const key_type& key) const noexcept {
    if constexpr (number_key<Key>)
      slots_.prefetch(key);
    else
      slots_.prefetch(key.tag());
  }
  /// Calls with_value(value) for each of a key's values; false: the key is not there. `out` is where values are
  /// decoded.
  template <class F>
  [[gnu::always_inline]] bool for_each_of(const key_type& key, W& out, F&& with_value) {
    const chain* of = find(key);
    if (of == nullptr) return false;
    if constexpr (inside) {
      out = of->value;
      with_value();
    }
    for (auto i = of->first; i != 0; i = values_[i - 1].next) {
      decode_value(values_[i - 1].bytes, out);
      with_value();
    }
    return true;
  }
  [[nodiscard, gnu::always_inline]] bool has(const key_type& key) { return find(key) != nullptr; }

  /// Calls f(the key's bytes, the value's bytes) for everything: keys in the order in which they came, and so the
  /// values of each.
  template <class F>
  void for_each(F&& f) {
    std::string key, inline_value;
    const auto give = [&](bytes_view key_as_bytes, const chain& of) {
      if constexpr (inside) {
        inline_value.resize(encoded_size(of.value));
        encode_field(inline_value.data(), of.value);
        f(key_as_bytes, bytes_view(inline_value));
      }
      for (auto i = of.first; i != 0; i = values_[i - 1].next) f(key_as_bytes, values_[i - 1].bytes);
    };
    if constexpr (number_key<Key>) {
      slots_.for_each([&](const auto& s) {
        Key number{};
        from_bits(s.number, number);
        give(key_bytes<Key>::of(number, key), s.entry);
      });
    } else {
      slots_.for_each(0, [&](const auto& s) { give(s.key.view(), s.accumulator); });
    }
  }
  [[nodiscard]] std::uint64_t records() const noexcept { return records_; }
  void clear() noexcept {
    slots_.clear();
    bytes_.clear();
    values_.clear();
    records_ = 0;
  }
  /// The same, and gives the memory back.
  void release() noexcept {
    clear();
    slots_.release();
    bytes_ = byte_arena();
    values_ = std::vector<value>();
  }

 private:
  static constexpr bool inside = std::is_trivially_copyable_v<W> && is_owned<W>() && sizeof(W) <= 16;
  struct nothing {};
  /// Of the values of a key, numbers of the first and the last one in values_, plus 1; 0: none.
  struct chain {
    std::uint32_t first;
    std::uint32_t last;
    [[no_unique_address]] std::conditional_t<inside, W, nothing> value;
  };
  struct value {
    bytes_view bytes;
    std::uint32_t next;  ///< of the same key, plus 1; 0: none
  };
  using slots_type = std::conditional_t<number_key<Key>, number_table<chain>, fold_table<chain>>;

  [[gnu::always_inline]] chain* find(const key_type& key) {
    if constexpr (number_key<Key>) {
      auto* const s = slots_.find(key);
      return s == nullptr ? nullptr : &s->entry;
    } else {
      auto& s = slots_.find(key);
      return slots_type::is_empty(s) ? nullptr : &s.accumulator;
    }
  }
  template <class Encode>
  bool put(const key_type& key, std::size_t size, const W& w, Encode&& encode) {
    chain* of = find(key);
    if (of == nullptr) {
      if constexpr (number_key<Key>) {
        if (!slots_.has_room()) return false;
        of = &slots_.insert(key, chain{}).entry;
      } else {
        if (!slots_.has_room(key)) return false;
        of = &slots_.insert(slots_.find(key), key, chain{}).accumulator;
      }
      if constexpr (inside) {
        of->value = w;
        ++records_;
        return true;
      }
    }
    if constexpr (inside) size = encoded_size(w);
    // Vectors double, and the old one is there meanwhile.
    if (bytes_.used() + size + (values_.size() + 1) * 3 * sizeof(value) > values_bytes_max_) return false;
    char* const at = bytes_.allocate(size);
    if constexpr (inside)
      encode_field(at, w);
    else
      encode(at);
    values_.push_back({{at, size}, 0});
    const auto number = static_cast<std::uint32_t>(values_.size());
    if (of->last == 0)
      of->first = number;
    else
      values_[of->last - 1].next = number;
    of->last = number;
    ++records_;
    return true;
  }

  slots_type slots_;
  byte_arena bytes_;
  std::vector<value> values_;
  std::uint64_t values_bytes_max_ = 0;
  std::uint64_t records_ = 0;
};

}  // namespace troupe::sdk
