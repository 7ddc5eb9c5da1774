#pragma once
#include <algorithm>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/sdk/key.hpp>
#include <troupe/sdk/memory.hpp>
#include <troupe/sdk/scratch.hpp>
#include <troupe/sdk/sort_index.hpp>
#include <vector>

namespace troupe::sdk {

/// How memory is divided: by `memory_bytes` alone, so that what is written to scratch files follows from the plan. What
/// comes out does not depend on it at all.
struct sort_budget {
  explicit sort_budget(std::uint64_t memory_bytes) noexcept
      : collect_bytes(std::max<std::uint64_t>(memory_bytes / 2, 16 << 10)),
        frame_bytes(std::clamp<std::uint64_t>(memory_bytes / 128, 1 << 10, scratch_frame_bytes)),
        fan_in(std::clamp<std::uint64_t>(memory_bytes / 4 / frame_bytes, 4, 64)) {}
  std::uint64_t collect_bytes;  ///< entries and their index in memory
  std::uint64_t frame_bytes;    ///< of a run that is read or written
  std::uint64_t fan_in;         ///< runs merged at once
};

/// Entries of a key and a value by `Order`; equal keys keep the order in which they came. What is more than memory
/// holds goes to scratch files as sorted runs, which are merged, a bounded number at once (Knuth, TAOCP 3, 5.4). One
/// thread's.
///
///     in memory   arena of entries, index of {prefix, where}
///     a run       a range of the scratch file
///     an entry    varint size of key | varint size of value | key | value
template <class Order>
class external_sort {
 public:
  struct entry {
    bytes_view key;
    bytes_view value;
  };

  external_sort(host_port& port, std::uint64_t memory_bytes) noexcept : port_(port), budget_(memory_bytes) {}

  void add(bytes_view key, bytes_view value) {
    const auto size = varint_size(key.size()) + varint_size(value.size()) + key.size() + value.size();
    if (index_.size() != 0 &&
        bytes_.used() + size + (index_.size() + 1) * sort_index::bytes_each > budget_.collect_bytes) [[unlikely]]
      write_run();
    char* const at = bytes_.allocate(size);
    char* const key_at = store_varint(store_varint(at, key.size()), value.size());
    if (!key.empty()) std::memcpy(key_at, key.data(), key.size());
    if (!value.empty()) std::memcpy(key_at + key.size(), value.data(), value.size());
    const auto prefix = Order::prefix(key);
    if (index_.size() == 0) {
      key_size_ = key.size();
      in_order_ = same_sizes_ = true;
    } else {
      same_sizes_ = same_sizes_ && key.size() == key_size_;
      in_order_ = in_order_ && !before(prefix, key, last_prefix_, last_key_);
    }
    last_prefix_ = prefix;
    last_key_ = {key_at, key.size()};
    index_.add({prefix, at});
  }

  /// No more is added; from here on `next` gives the entries.
  void finish() {
    if (!runs_.empty()) {
      write_run();
      bytes_ = byte_arena();
      index_ = sort_index();
      while (runs_.size() > budget_.fan_in) merge_pass();
      open_merge(0, runs_.size());
    } else {
      sort();
    }
  }

  /// False at the end. The views are valid until the next call.
  bool next(entry& out) {
    if (runs_.empty()) {
      constexpr std::size_t ahead = 16;
      if (at_ == index_.size()) return false;
      if (at_ + ahead < index_.size()) __builtin_prefetch(index_[at_ + ahead].entry);
      out = entry_at(index_[at_++].entry);
      return true;
    }
    return next_merged(out);
  }

 private:
  static entry entry_at(const char* at) noexcept {
    std::uint64_t key_size = 0, value_size = 0;
    const char* const end = at + 2 * varint_size_max;  // what was written here is whole
    at = load_number(load_number(at, end, key_size), end, value_size);
    return {{at, static_cast<std::size_t>(key_size)}, {at + key_size, static_cast<std::size_t>(value_size)}};
  }
  struct run {
    std::uint64_t begin;
    std::uint64_t end;
  };
  /// A run that is being merged: its first entry that was not given yet.
  struct source {
    scratch_reader in;
    bytes_view rest;
    entry first;
    std::uint64_t prefix = 0;
    std::size_t number = 0;  ///< runs are in the order in which their entries came

    bool advance() {
      while (rest.empty())
        if (!in.next(rest)) return false;
      const char* at = rest.data();
      const char* const end = at + rest.size();
      std::uint64_t key_size = 0, value_size = 0;
      at = load_number(at, end, key_size);
      if (at != nullptr) at = load_number(at, end, value_size);
      if (at == nullptr || key_size > static_cast<std::uint64_t>(end - at) ||
          value_size > static_cast<std::uint64_t>(end - at) - key_size)
        throw std::runtime_error("a sorted run does not decode");
      first = {{at, static_cast<std::size_t>(key_size)}, {at + key_size, static_cast<std::size_t>(value_size)}};
      at += key_size + value_size;
      rest = {at, static_cast<std::size_t>(end - at)};
      prefix = Order::prefix(first.key);
      return true;
    }
  };

  static bool before(std::uint64_t x_prefix, bytes_view x, std::uint64_t y_prefix, bytes_view y) {
    return x_prefix != y_prefix ? x_prefix < y_prefix : Order::less(x, y);
  }
  /// For heaps, whose front is the greatest: the source whose entry goes first.
  static bool goes_later(const std::unique_ptr<source>& x, const std::unique_ptr<source>& y) {
    if (before(x->prefix, x->first.key, y->prefix, y->first.key)) return false;
    if (before(y->prefix, y->first.key, x->prefix, x->first.key)) return true;
    return x->number > y->number;
  }

  void sort() {
    if (in_order_) return;
    const bool whole = Order::prefix_is_whole || (same_sizes_ && Order::prefix_orders_bytes && key_size_ <= 8);
    index_.sort(whole, [whole](const sort_item& x, const sort_item& y) {
      if (x.prefix != y.prefix || whole) return x.prefix < y.prefix;
      return Order::less(entry_at(x.entry).key, entry_at(y.entry).key);
    });
  }
  static void put(scratch_writer& out, bytes_view key, bytes_view value) {
    char* at = out.reserve(2 * varint_size_max + key.size() + value.size());
    at = store_varint(store_varint(at, key.size()), value.size());
    if (!key.empty()) std::memcpy(at, key.data(), key.size());
    if (!value.empty()) std::memcpy(at + key.size(), value.data(), value.size());
    out.commit(at + key.size() + value.size());
  }
  void write_run() {
    sort();
    if (!file_) file_.emplace(port_);
    const auto begin = file_->size();
    scratch_writer out(*file_, budget_.frame_bytes);
    for (std::size_t i = 0; i < index_.size(); ++i) {
      constexpr std::size_t ahead = 16;
      if (i + ahead < index_.size()) __builtin_prefetch(index_[i + ahead].entry);
      const auto e = entry_at(index_[i].entry);
      const auto size = static_cast<std::size_t>(e.value.data() + e.value.size() - index_[i].entry);
      char* const at = out.reserve(size);
      std::memcpy(at, index_[i].entry, size);
      out.commit(at + size);
    }
    out.flush();
    runs_.push_back({begin, file_->size()});
    index_.clear();
    bytes_.clear();
  }
  void open_merge(std::size_t from, std::size_t count) {
    merged_.clear();
    for (std::size_t i = from; i < from + count; ++i) {
      auto s = std::make_unique<source>(source{scratch_reader(*file_, runs_[i].begin, runs_[i].end), {}, {}, 0, i});
      if (s->advance()) merged_.push_back(std::move(s));
    }
    std::make_heap(merged_.begin(), merged_.end(), goes_later);
    given_ = false;
  }
  bool next_merged(entry& out) {
    if (given_) {  // what was given last is not needed any more: its source goes on
      std::pop_heap(merged_.begin(), merged_.end(), goes_later);
      if (merged_.back()->advance())
        std::push_heap(merged_.begin(), merged_.end(), goes_later);
      else
        merged_.pop_back();
    }
    given_ = !merged_.empty();
    if (given_) out = merged_.front()->first;
    return given_;
  }
  /// Neighbouring runs become one, so that their order stays that in which entries came.
  void merge_pass() {
    scratch_file into(port_);
    std::vector<run> longer;
    for (std::size_t from = 0; from < runs_.size(); from += budget_.fan_in) {
      const auto begin = into.size();
      open_merge(from, std::min<std::size_t>(budget_.fan_in, runs_.size() - from));
      scratch_writer out(into, budget_.frame_bytes);
      for (entry e; next_merged(e);) put(out, e.key, e.value);
      out.flush();
      longer.push_back({begin, into.size()});
    }
    merged_.clear();
    file_.emplace(std::move(into));
    runs_ = std::move(longer);
  }

  host_port& port_;
  const sort_budget budget_;
  byte_arena bytes_;
  sort_index index_;
  bool in_order_ = true;    ///< entries have come in order so far
  bool same_sizes_ = true;  ///< all keys have key_size_ bytes
  std::size_t key_size_ = 0;
  std::uint64_t last_prefix_ = 0;
  bytes_view last_key_;
  std::size_t at_ = 0;
  std::optional<scratch_file> file_;
  std::vector<run> runs_;
  std::vector<std::unique_ptr<source>> merged_;  ///< a heap
  bool given_ = false;
};

/// Walks sorted entries group by group. The keys' order must put equal bytes together.
template <class Order>
class sorted_groups {
 public:
  explicit sorted_groups(external_sort<Order>& entries) : entries_(entries) { has_ = entries_.next(current_); }
  [[nodiscard]] bool at_end() const noexcept { return !has_; }
  /// Of the entry that comes next.
  [[nodiscard]] bytes_view key() const noexcept { return current_.key; }
  /// Begins the group of the entry that comes next; its key stays until the next call.
  bytes_view begin() {
    group_.assign(current_.key);
    first_ = true;
    return group_;
  }
  /// The next value of the group; false at its end. Valid until the next call.
  bool next(bytes_view& value) {
    if (!first_) step();
    first_ = false;
    if (!has_ || current_.key != bytes_view(group_)) {
      first_ = true;  // the entry belongs to the next group
      return false;
    }
    value = current_.value;
    return true;
  }
  /// Goes past what is left of the group.
  void skip() {
    for (bytes_view unused; next(unused);) {
    }
  }

 private:
  void step() { has_ = entries_.next(current_); }
  external_sort<Order>& entries_;
  typename external_sort<Order>::entry current_;
  std::string group_;
  bool has_ = false;
  bool first_ = true;
};

}  // namespace troupe::sdk
