#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <troupe/sdk/fold_table.hpp>
#include <troupe/sdk/operators.hpp>
#include <troupe/sdk/partition_boxes.hpp>
#include <troupe/sdk/task_env.hpp>
#include <vector>

/// Where a stage's records go. A sink is made from the task's environment and called with each record; `finish`
/// publishes the rest. Those of pairs own the emitter that a mapper before them calls.
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
template <class Key, class Value, class Folder>
class fold_sink {
 public:
  static constexpr const char* word = "combine";
  static constexpr std::uint32_t partitions = 0;
  using value = Value;
  using accumulator = typename Folder::accumulator_type;
  using emitter_type = troupe::emitter<Key, Value>;
  using slot = typename fold_table<accumulator>::slot;

  explicit fold_sink(task_env& env) : port_(env.port), emitter_(this, &fold_sink::take) {
    table_->limit(env.task.memory_bytes, env.task.partitions);
    show_table();
    start_user(folder_, env);
  }
  [[gnu::always_inline]] void operator()(const std::pair<Key, Value>& record) { emitter_(record.first, record.second); }
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

/// Before a shuffle that combines nothing: pairs are collected as bytes, then written out by partitions of their key
/// when there are enough, and at the end.
template <class Key, class Value>
class group_sink {
 public:
  static constexpr const char* word = "partition";
  static constexpr std::uint32_t partitions = 0;
  using value = Value;
  using emitter_type = troupe::emitter<Key, Value>;

  explicit group_sink(task_env& env)
      : partition_(env.task.partitions),
        boxes_(env.port, env.task.partitions, env.task.memory_bytes),
        emitter_(this, &group_sink::take) {}
  [[gnu::always_inline]] void operator()(const std::pair<Key, Value>& record) { emitter_(record.first, record.second); }
  emitter_type& emitter() noexcept { return emitter_; }
  void drain() { emitter_.drain(); }
  void finish() {
    emitter_.drain();
    boxes_.write_out();
  }

 private:
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
      const auto size = varint_size_max + key.size() + value_size;
      if (size > limits::record_bytes_max)
        throw std::length_error("a key and value of " + std::to_string(size) + " bytes are above the limit of 64 MiB");
      const auto partition = partition_(pair.key.tag());
      char* at = store_varint(boxes_.reserve(partition, size), key.size());
      if (pair.key.is_short())
        std::memcpy(at, &pair.key, short_key_bytes);  // what is too much is written over
      else
        std::memcpy(at, key.data(), key.size());
      at += key.size();
      if constexpr (queued_value<value>::owned) {
        at = encode_field(at, pair.value.held);
      } else {
        std::memcpy(at, pair.value.held.data(), value_size);
        at += value_size;
      }
      boxes_.commit(partition, at);
    }
  }

  partitioner partition_;
  partition_boxes boxes_;
  emitter_type emitter_;
};

/// Writes a record as the output's format has it: its length and its fields. A pair is a record of two fields, any
/// other value that is no struct one of one field.
template <class Record>
[[gnu::always_inline]] inline void write_record(record_out& out, const Record& record) {
  const auto size = encoded_size(record);
  if (size > limits::record_bytes_max)
    throw std::length_error("a record of " + std::to_string(size) + " bytes is above the limit of 64 MiB");
  char* at = out.reserve(size + varint_size_max);
  at = store_varint(at, size);
  out.commit(encode_field(at, record));
}

/// Records to one partition: the job's output (partition: the task's own), or what one task or every task reads.
template <class Record, bool Last>
class record_sink {
 public:
  static constexpr const char* word = Last ? "write" : "keep";
  static constexpr std::uint32_t partitions = Last ? 0 : 1;
  explicit record_sink(task_env& env) : out_(env.port, Last ? env.task.task : 0, output_chunk_bytes) {}
  void operator()(const Record& record) { write_record(out_, record); }
  /// A mapper or reducer of whole records writes to the output directly.
  record_out& records() noexcept { return out_; }
  void drain() noexcept {}
  void finish() { out_.flush(); }

 private:
  chunk_writer out_;
};

/// The same for keys and values.
template <class Key, class Value, bool Last>
class record_sink<std::pair<Key, Value>, Last> {
 public:
  static constexpr const char* word = Last ? "write" : "keep";
  static constexpr std::uint32_t partitions = Last ? 0 : 1;
  using emitter_type = troupe::emitter<Key, Value>;

  explicit record_sink(task_env& env)
      : out_(env.port, Last ? env.task.task : 0, output_chunk_bytes), emitter_(this, &record_sink::take) {}
  void operator()(const std::pair<Key, Value>& record) { write_record(out_, record); }
  /// Of a key whose bytes are known.
  template <class Of>
  void put_pair(bytes_view key, const Of& value) {
    write_pair<Key>(out_, key, value);
  }
  emitter_type& emitter() noexcept { return emitter_; }
  record_out& records() noexcept { return out_; }
  void drain() { emitter_.drain(); }
  void finish() {
    emitter_.drain();
    out_.flush();
  }

 private:
  static void take(void* self, typename emitter_type::pair* pairs, std::size_t count) {
    auto& out = static_cast<record_sink*>(self)->out_;
    for (std::size_t i = 0; i < count; ++i) {
      if constexpr (queued_value<Value>::owned)
        write_pair<Key>(out, pairs[i].key.view(), pairs[i].value.held);
      else
        write_pair_encoded<Key>(out, pairs[i].key.view(), pairs[i].value.held);
    }
  }
  chunk_writer out_;
  emitter_type emitter_;
};

/// Before a fold of everything: one accumulator a task.
template <class Record, class Folder>
class total_sink {
 public:
  static constexpr const char* word = "combine";
  static constexpr std::uint32_t partitions = 1;
  explicit total_sink(task_env& env) : port_(env.port) {
    start_user(folder_, env);
    total_ = folder_.init();
  }
  void operator()(const Record& record) { folder_.fold(total_, record); }
  void drain() noexcept {}
  void finish() {
    chunk_writer out(port_, 0, limits::chunk_bytes_max, encoded_size(total_));
    write_record(out, total_);
    out.flush();
  }

 private:
  host_port& port_;
  Folder folder_;
  typename Folder::accumulator_type total_;
};

}  // namespace troupe::sdk
