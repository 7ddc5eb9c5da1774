#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <troupe/sdk/fold_table.hpp>
#include <troupe/sdk/operators.hpp>
#include <vector>

/// Where a mapper's output goes. Each sink owns the emitter that the mapper calls; `finish` publishes the rest.
///
/// Bytes between stages (a module's own matter, never stored): entries one behind the other, each
///
///     varint size of the key | key's bytes | accumulator or value as a field
namespace troupe::sdk {

/// Chunks of output that is not cut by partitions: what a batch of a segment holds.
inline constexpr std::uint64_t output_chunk_bytes = limits::batch_bytes;

/// Kept from task to task by a worker, so that memory that is mapped and warm stays so.
template <class Table>
class kept_table {
 public:
  kept_table() : table_(kept().exchange(nullptr)) {
    if (table_ == nullptr) table_ = new Table();
  }
  ~kept_table() {
    table_->clear();
    delete kept().exchange(table_);
  }
  kept_table(const kept_table&) = delete;
  kept_table& operator=(const kept_table&) = delete;
  Table& operator*() const noexcept { return *table_; }
  Table* operator->() const noexcept { return table_; }

 private:
  static std::atomic<Table*>& kept() {
    static std::atomic<Table*> one{nullptr};
    return one;
  }
  Table* table_;
};

template <class Accumulator>
std::size_t entry_size(bytes_view key, const Accumulator& accumulator) {
  return varint_size(key.size()) + key.size() + encoded_size(accumulator);
}
template <class Accumulator>
char* put_entry(char* at, bytes_view key, const Accumulator& accumulator) {
  at = store_varint(at, key.size());
  if (!key.empty()) std::memcpy(at, key.data(), key.size());
  return encode_field(at + key.size(), accumulator);
}

/// One partition's share of what is written out: entries [begin, begin + count) of those in order.
struct extent {
  std::size_t begin = 0;
  std::size_t count = 0;
  std::uint64_t bytes = 0;
};
/// From counts to begins; counts are 0 afterwards, to be counted up again while entries are placed.
inline void arrange(std::vector<extent>& parts) noexcept {
  std::size_t begin = 0;
  for (auto& part : parts) {
    part.begin = begin;
    begin += part.count;
    part.count = 0;
  }
}

/// Folds one pair into a table that has room or is made to have some.
template <class Table, class Folder, class MakeRoom, class Merge>
[[gnu::always_inline]] inline void fold_into(Table& table, Folder& folder, const packed_key& key, MakeRoom&& make_room,
                                             Merge&& merge) {
  auto* slot = &table.find(key);
  if (Table::is_empty(*slot)) [[unlikely]] {
    if (!table.has_room(key)) {
      make_room();
      slot = &table.find(key);
    }
    slot = &table.insert(*slot, key, folder.init());
  }
  merge(slot->accumulator);
}

/// Before a shuffle of fold_by_key: the combiner. Writes its table out when it is full and at the end.
template <class M, class Folder>
class fold_sink {
 public:
  using value = typename M::value_type;
  using accumulator = typename Folder::accumulator_type;
  using emitter_type = typename M::emitter;
  using slot = typename fold_table<accumulator>::slot;

  fold_sink(const troupe_task& task, host_port& port, const parameters& given, context& user)
      : port_(port), emitter_(this, &fold_sink::take) {
    table_->limit(task.memory_bytes, task.partitions);
    show_table();
    if constexpr (requires { folder_.start(given, user); }) folder_.start(given, user);
  }
  emitter_type& emitter() noexcept { return emitter_; }
  void drain() { emitter_.drain(); }
  void finish() {
    emitter_.drain();
    write_out();
  }

 private:
  static void take(void* self, typename emitter_type::pair* pairs, std::size_t count) {
    static_cast<fold_sink*>(self)->take(pairs, count);
  }

  void take(typename emitter_type::pair* pairs, std::size_t count) {
    auto& table = *table_;
    for (std::size_t i = 0; i < count; ++i) {
      fold_into(
          table, folder_, pairs[i].key, [&] { write_out(); },
          [&](accumulator& into) {
            if constexpr (queued_value<value>::owned) {
              folder_.fold(into, pairs[i].value.held);
            } else {
              value decoded{};
              decode_field(pairs[i].value.held.data(), pairs[i].value.held.data() + pairs[i].value.held.size(),
                           decoded);
              folder_.fold(into, decoded);
            }
          });
    }
    show_table();
  }
  /// The emitter prefetches a pair's slot when it queues the pair.
  void show_table() noexcept {
    const auto [slots, shift] = table_->where();
    emitter_.prefetch_in(slots, shift, sizeof(slot));
  }

  /// The table by partitions, each partition's entries in the order in which their keys came.
  void write_out() {
    auto& table = *table_;
    for (std::uint32_t p = 0; p < table.partitions(); ++p) {
      // About what will come: what a chunk has too much goes back when it is published.
      chunk_writer out(port_, p, limits::chunk_bytes_max, table.key_bytes(p) + table.size(p) * (varint_size_max + 1));
      table.for_each(p, [&](const slot& s) {
        const bytes_view key = s.key.view();
        out.commit(put_entry(out.reserve(entry_size(key, s.accumulator)), key, s.accumulator));
      });
      out.flush();
    }
    table.clear();
  }

  host_port& port_;
  kept_table<fold_table<accumulator>> table_;
  Folder folder_;
  emitter_type emitter_;
};

/// Before a shuffle of reduce<R>(): nothing to combine. Pairs are collected as bytes, then written out by partitions
/// when there are enough, and at the end.
template <class M>
class group_sink {
 public:
  using value = typename M::value_type;
  using emitter_type = typename M::emitter;

  group_sink(const troupe_task& task, host_port& port, const parameters&, context&)
      : port_(port),
        partition_(task.partitions),
        collected_bytes_max_(std::clamp<std::uint64_t>(task.memory_bytes / 4, 1 << 16, 64 << 20)),
        emitter_(this, &group_sink::take) {}
  emitter_type& emitter() noexcept { return emitter_; }
  void drain() { emitter_.drain(); }
  void finish() {
    emitter_.drain();
    write_out();
  }

 private:
  struct entry {
    const char* at;
    std::uint32_t size;
    std::uint32_t partition;
  };

  static void take(void* self, typename emitter_type::pair* pairs, std::size_t count) {
    static_cast<group_sink*>(self)->take(pairs, count);
  }

  void take(typename emitter_type::pair* pairs, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto& pair = pairs[i];
      const bytes_view key = pair.key.view();
      std::size_t value_size = 0;
      if constexpr (queued_value<value>::owned)
        value_size = encoded_size(pair.value.held);
      else
        value_size = pair.value.held.size();
      const auto size = varint_size(key.size()) + key.size() + value_size;
      if (size > limits::record_bytes_max)
        throw std::length_error("a key and value of " + std::to_string(size) + " bytes are above the limit of 64 MiB");
      if (bytes_.used() + entries_.size() * sizeof(entry) + size > collected_bytes_max_) write_out();
      char* const start = bytes_.allocate(size);
      char* at = store_varint(start, key.size());
      if (!key.empty()) std::memcpy(at, key.data(), key.size());
      at += key.size();
      if constexpr (queued_value<value>::owned)
        encode_field(at, pair.value.held);
      else
        std::memcpy(at, pair.value.held.data(), value_size);
      entries_.push_back({start, static_cast<std::uint32_t>(size), partition_(pair.key.tag())});
    }
  }

  void write_out() {
    std::vector<extent> parts(partition_.partitions());
    for (const auto& e : entries_) {
      ++parts[e.partition].count;
      parts[e.partition].bytes += e.size;
    }
    arrange(parts);
    std::vector<const entry*> ordered(entries_.size());
    for (const auto& e : entries_) ordered[parts[e.partition].begin + parts[e.partition].count++] = &e;
    for (std::uint32_t p = 0; p < partition_.partitions(); ++p) {
      chunk_writer out(port_, p, limits::chunk_bytes_max, parts[p].bytes);
      for (std::size_t i = 0; i < parts[p].count; ++i) {
        const entry& e = *ordered[parts[p].begin + i];
        char* const at = out.reserve(e.size);
        std::memcpy(at, e.at, e.size);
        out.commit(at + e.size);
      }
      out.flush();
    }
    entries_.clear();
    bytes_.clear();
  }

  host_port& port_;
  partitioner partition_;
  std::uint64_t collected_bytes_max_;
  byte_arena bytes_;
  std::vector<entry> entries_;
  emitter_type emitter_;
};

/// Without a shuffle: keys and values are the job's output.
template <class M>
class pair_sink {
 public:
  using value = typename M::value_type;
  using emitter_type = typename M::emitter;

  pair_sink(const troupe_task& task, host_port& port, const parameters&, context&)
      : out_(port, task.task, output_chunk_bytes), emitter_(this, &pair_sink::take) {}
  emitter_type& emitter() noexcept { return emitter_; }
  void drain() { emitter_.drain(); }
  void finish() {
    emitter_.drain();
    out_.flush();
  }

 private:
  static void take(void* self, typename emitter_type::pair* pairs, std::size_t count) {
    auto& out = static_cast<pair_sink*>(self)->out_;
    for (std::size_t i = 0; i < count; ++i) {
      if constexpr (queued_value<value>::owned)
        write_pair<typename M::key_type>(out, pairs[i].key.view(), pairs[i].value.held);
      else
        write_pair_encoded<typename M::key_type>(out, pairs[i].key.view(), pairs[i].value.held);
    }
  }
  chunk_writer out_;
  emitter_type emitter_;
};

/// Without a shuffle: described structs are the job's output.
template <class M>
class record_sink {
 public:
  using emitter_type = typename M::emitter;

  record_sink(const troupe_task& task, host_port& port, const parameters&, context&)
      : out_(port, task.task, output_chunk_bytes), emitter_(out_) {}
  emitter_type& emitter() noexcept { return emitter_; }
  void drain() noexcept {}
  void finish() { out_.flush(); }

 private:
  chunk_writer out_;
  emitter_type emitter_;
};

}  // namespace troupe::sdk
