#pragma once
#include <algorithm>
#include <cstdint>
#include <string>
#include <troupe/sdk/map_sinks.hpp>
#include <troupe/sdk/pipeline.hpp>

namespace troupe::sdk {

/// Walks the entries of a shuffle block. f(key, where the value begins, end of the block) returns what follows the
/// value, or nullptr.
template <class F>
void for_each_entry(const troupe_block& block, F&& f) {
  const char* at = block.data;
  const char* const end = at + block.size;
  if (block.format != TROUPE_SHUFFLE)
    throw std::runtime_error("the reduce stage was given a block that is not of the stage before");
  while (at != end) {
    std::uint64_t size = 0;
    at = load_varint(at, end, size);
    if (at != nullptr && size <= static_cast<std::uint64_t>(end - at))
      at = f(bytes_view(at, static_cast<std::size_t>(size)), at + size, end);
    else
      at = nullptr;
    if (at == nullptr)
      throw std::runtime_error("a shuffle block of " + std::to_string(block.size) + " bytes does not decode");
  }
}

inline std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + (1 << 20) - 1) >> 20) + " MiB"; }

/// One reduce task of fold_by_key: merges accumulators in the order of the blocks, which is that of map tasks, and
/// writes keys in the order in which they came.
template <class Pipeline, class Folder>
void run_fold_reduce(const troupe_task& task, host_port& port, context& user) {
  using key_type = typename Pipeline::mapper::key_type;
  using accumulator = typename Folder::accumulator_type;
  kept_table<fold_table<accumulator>> kept;
  auto& table = *kept;
  table.limit(task.memory_bytes);
  const parameters given(task);
  Folder folder;
  if constexpr (requires { folder.start(given, user); }) folder.start(given, user);

  // A short queue, so that the table's slots are on their way when they are needed.
  struct waiting {
    packed_key key;
    accumulator other;
  };
  constexpr std::size_t queue = 32;
  std::vector<waiting> pending(queue);
  std::size_t count = 0;
  const auto merge_pending = [&] {
    for (std::size_t i = 0; i < count; ++i) {
      auto* slot = &table.find(pending[i].key);
      if (!fold_table<accumulator>::is_empty(*slot)) {
        folder.merge(slot->accumulator, pending[i].other);
        continue;
      }
      if (!table.has_room(pending[i].key))
        throw failure("partition " + std::to_string(task.task) + " of the fold has more than " +
                      std::to_string(table.size()) + " keys (" + mebibytes(table.long_key_bytes()) +
                      " of long keys): that does not fit into the " + mebibytes(task.memory_bytes) +
                      " of a task; give tasks more memory, or use smaller inputs");
      table.insert(*slot, pending[i].key, std::move(pending[i].other));
    }
    count = 0;
  };
  troupe_block block{};
  while (port.next_block(block)) {
    for_each_entry(block, [&](bytes_view key, const char* at, const char* end) {
      auto& next = pending[count];
      pack_key(key, next.key);
      table.prefetch(next.key.tag());
      at = decode_field(at, end, next.other);
      if (at != nullptr && ++count == queue) merge_pending();
      return at;
    });
    merge_pending();  // long keys point into the block
  }
  chunk_writer out(port, task.task, output_chunk_bytes);
  table.for_each(0, [&](const typename fold_table<accumulator>::slot& s) {
    if constexpr (requires { folder.result(s.accumulator); })
      write_pair<key_type>(out, s.key.view(), folder.result(s.accumulator));
    else
      write_pair<key_type>(out, s.key.view(), s.accumulator);
  });
  out.flush();
}

/// All pairs of one partition, sorted by key; equal keys keep the order in which they came.
template <class Key>
class grouped_pairs {
 public:
  struct pair {
    std::uint64_t prefix;  ///< key_bytes::prefix
    const char* key;
    std::uint32_t key_size;
    std::uint32_t value_size;
    [[nodiscard]] bytes_view key_view() const noexcept { return {key, key_size}; }
    [[nodiscard]] bytes_view value_view() const noexcept { return {key + key_size, value_size}; }
  };

  grouped_pairs(std::uint32_t partition, std::uint64_t memory_bytes) noexcept
      : partition_(partition), memory_bytes_(memory_bytes) {}

  void add(bytes_view key, bytes_view value) {
    // Half again of the index: std::stable_sort takes a buffer.
    if (bytes_.used() + key.size() + value.size() + (pairs_.size() + 1) * sizeof(pair) * 3 / 2 > memory_bytes_)
        [[unlikely]]
      too_much();
    char* const at = bytes_.allocate(key.size() + value.size());
    if (!key.empty()) std::memcpy(at, key.data(), key.size());
    if (!value.empty()) std::memcpy(at + key.size(), value.data(), value.size());
    pairs_.push_back({key_bytes<Key>::prefix(key), at, static_cast<std::uint32_t>(key.size()),
                      static_cast<std::uint32_t>(value.size())});
  }
  void sort() {
    std::stable_sort(pairs_.begin(), pairs_.end(), [](const pair& x, const pair& y) {
      return x.prefix != y.prefix ? x.prefix < y.prefix : key_bytes<Key>::less(x.key_view(), y.key_view());
    });
  }
  [[nodiscard]] const std::vector<pair>& pairs() const noexcept { return pairs_; }

 private:
  [[noreturn]] void too_much() {
    sort();
    std::size_t keys = 0, longest = 0, begin = 0;
    for (std::size_t i = 0; i < pairs_.size(); ++i) {
      if (i == 0 || pairs_[i].key_view() != pairs_[begin].key_view()) {
        ++keys;
        begin = i;
      }
      longest = std::max(longest, i - begin + 1);
    }
    throw failure("partition " + std::to_string(partition_) + " has more than " + std::to_string(pairs_.size()) +
                  " values of " + std::to_string(keys) + " keys (" + std::to_string(longest) + " of one key) in " +
                  mebibytes(bytes_.used()) + ": they do not fit into the " + mebibytes(memory_bytes_) +
                  " of a task; give tasks more memory, or use fold_by_key, which combines before the shuffle");
  }
  std::uint32_t partition_;
  std::uint64_t memory_bytes_;
  byte_arena bytes_;
  std::vector<pair> pairs_;
};

/// The record emitter writes to the output as it is; the pair emitter too: both are made from a chunk_writer.
template <class Pipeline, class R>
void run_group_reduce(const troupe_task& task, host_port& port, context& user) {
  using key_type = typename R::key_type;
  using value_type = typename R::value_type;
  grouped_pairs<key_type> groups(task.task, task.memory_bytes);
  troupe_block block{};
  value_type skipped{};
  while (port.next_block(block)) {
    for_each_entry(block, [&](bytes_view key, const char* at, const char* end) {
      const char* const after = decode_field(at, end, skipped);
      if (after != nullptr) groups.add(key, {at, static_cast<std::size_t>(after - at)});
      return after;
    });
  }
  groups.sort();
  const parameters given(task);
  chunk_writer out(port, task.task, output_chunk_bytes);
  typename R::emitter emit(out);
  auto reducer = std::make_unique<R>();
  if constexpr (requires { reducer->start(given, user); }) reducer->start(given, user);
  const auto& pairs = groups.pairs();
  struct cursor {
    const std::vector<typename grouped_pairs<key_type>::pair>& pairs;
    std::size_t at = 0;
    std::size_t end = 0;
  } here{pairs};
  std::size_t since_flush = 0;
  while (here.at < pairs.size()) {
    const bytes_view key = pairs[here.at].key_view();
    here.end = here.at + 1;
    while (here.end < pairs.size() && pairs[here.end].key_view() == key) ++here.end;
    const auto next_group = here.end;
    values<value_type> all(&here, [](void* self, value_type& value) {
      auto& c = *static_cast<cursor*>(self);
      if (c.at == c.end) return false;
      const bytes_view bytes = c.pairs[c.at++].value_view();
      return decode_field(bytes.data(), bytes.data() + bytes.size(), value) != nullptr;
    });
    typename key_bytes<key_type>::view typed{};
    if (!key_bytes<key_type>::decode(key, typed)) throw std::runtime_error("a key of the shuffle does not decode");
    reducer->reduce(typed, all, emit);
    here.at = next_group;
    if (++since_flush == 1024) {
      user.flush_counters();
      since_flush = 0;
    }
  }
  if constexpr (requires { reducer->finish(emit); }) reducer->finish(emit);
  out.flush();
}

template <class Shuffle>
struct reduce_of;
template <class F>
struct reduce_of<shuffle_fold<F>> {
  template <class Pipeline>
  static void run(const troupe_task& task, host_port& port, context& user) {
    run_fold_reduce<Pipeline, F>(task, port, user);
  }
};
template <class R>
struct reduce_of<shuffle_group<R>> {
  template <class Pipeline>
  static void run(const troupe_task& task, host_port& port, context& user) {
    run_group_reduce<Pipeline, R>(task, port, user);
  }
};

}  // namespace troupe::sdk
