#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <troupe/sdk/chain.hpp>
#include <troupe/sdk/external_sort.hpp>
#include <troupe/sdk/late_keys.hpp>
#include <troupe/sdk/map_sinks.hpp>
#include <troupe/sdk/scratch.hpp>

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
    at = load_number(at, end, size);
    if (at != nullptr && size <= static_cast<std::uint64_t>(end - at))
      at = f(bytes_view(at, static_cast<std::size_t>(size)), at + size, end);
    else
      at = nullptr;
    if (at == nullptr)
      throw std::runtime_error("a shuffle block of " + std::to_string(block.size) + " bytes does not decode");
  }
}

/// The same for records as record_sink writes them.
template <class Record, class F>
void for_each_record_of(const troupe_block& block, F&& f) {
  const char* at = block.data;
  const char* const end = at + block.size;
  Record record{};
  while (at != end) {
    std::uint64_t size = 0;
    at = load_number(at, end, size);
    if (at == nullptr || size > static_cast<std::uint64_t>(end - at) ||
        !decode_record(bytes_view(at, static_cast<std::size_t>(size)), record))
      throw std::runtime_error("a block of " + std::to_string(block.size) +
                               " bytes of an earlier stage does not decode");
    at += size;
    f(std::as_const(record));
  }
}

/// What a folder gives for a key or for everything: its result, or the accumulator itself.
template <class Folder>
struct folded_type {
  using type = typename Folder::accumulator_type;
};
template <class Folder>
requires requires(Folder f, const typename Folder::accumulator_type& a) { f.result(a); }
struct folded_type<Folder> {
  using type = std::remove_cvref_t<decltype(std::declval<Folder&>().result(
      std::declval<const typename Folder::accumulator_type&>()))>;
};
template <class Folder>
using folded = typename folded_type<Folder>::type;

/// The head of a stage behind fold_by_key: merges accumulators in the order of the blocks, which is that of tasks, and
/// gives keys in the order in which they came: first those of its table, which came before the table was full, then
/// those that were put off. So the order does not depend on the memory.
template <class Key, class Folder>
class fold_head {
 public:
  using record = std::pair<typename key_bytes<Key>::view, folded<Folder>>;

  template <class Next>
  static void run(task_env& env, Next& next) {
    fold_head head(env);
    troupe_block block{};
    while (env.next_block(block)) head.take(block);
    head.give_all(next);
  }

 private:
  using accumulator = typename Folder::accumulator_type;
  using table_type = fold_table<accumulator>;
  /// A short queue, so that the table's slots are on their way when they are needed.
  struct waiting {
    packed_key key;
    accumulator other;
  };
  static constexpr std::size_t queue = 32;

  explicit fold_head(task_env& env) : env_(env), pending_(queue) {
    kept_->limit(env.task.memory_bytes);
    start_user(folder_, env);
  }
  void take(const troupe_block& block) {
    auto& table = *kept_;
    for_each_entry(block, [&](bytes_view key, const char* at, const char* end) {
      auto& next = pending_[count_];
      pack_key(key, next.key);
      table.prefetch(next.key.tag());
      at = decode_field(at, end, next.other);
      if (at != nullptr && ++count_ == queue) merge_pending();
      return at;
    });
    merge_pending();  // long keys point into the block
  }
  void merge_pending() {
    auto& table = *kept_;
    for (std::size_t i = 0; i < count_; ++i) {
      auto* slot = &table.find(pending_[i].key);
      if (!table_type::is_empty(*slot))
        folder_.merge(slot->accumulator, pending_[i].other);
      else if (late_ || !table.has_room(pending_[i].key)) [[unlikely]]
        put_off(pending_[i]);
      else
        table.insert(*slot, pending_[i].key, std::move(pending_[i].other));
    }
    count_ = 0;
  }
  [[gnu::noinline]] void put_off(const waiting& what) {
    if (!late_) late_.emplace(env_, folder_);
    late_->add(what.key, what.other);
  }
  template <class Next>
  void give_all(Next& next) {
    kept_->for_each(0, [&](const typename table_type::slot& s) { give_result(next, s.key.view(), s.accumulator); });
    if (late_) late_->for_each([&](bytes_view key, const accumulator& a) { give_result(next, key, a); });
    next.drain();
  }
  template <class Next>
  void give_result(Next& next, bytes_view key, const accumulator& a) {
    if constexpr (requires { folder_.result(a); })
      give(next, key, folder_.result(a));
    else
      give(next, key, a);
  }
  template <class Next, class Value>
  void give(Next& next, bytes_view key, const Value& value) {
    if constexpr (requires { next.put_pair(key, value); }) {
      next.put_pair(key, value);
    } else {
      record out{{}, value};
      if (!key_bytes<Key>::decode(key, out.first)) throw std::runtime_error("a key of the shuffle does not decode");
      next(std::as_const(out));
    }
  }

  task_env& env_;
  kept_table<table_type> kept_;
  Folder folder_;
  std::vector<waiting> pending_;
  std::size_t count_ = 0;
  std::optional<late_keys<Folder>> late_;
};

/// The head of the one task behind a fold of everything.
template <class Folder>
struct total_head {
  template <class Next>
  static void run(task_env& env, Next& next) {
    using accumulator = typename Folder::accumulator_type;
    Folder folder;
    start_user(folder, env);
    accumulator total = folder.init();
    troupe_block block{};
    while (env.next_block(block))
      for_each_record_of<accumulator>(block, [&](const accumulator& other) { folder.merge(total, other); });
    if constexpr (requires { folder.result(total); })
      next(folder.result(std::as_const(total)));
    else
      next(std::as_const(total));
    next.drain();
  }
};

/// Records as an earlier stage wrote them with record_sink.
template <class Record>
struct record_head {
  template <class Next>
  static void run(task_env& env, Next& next) {
    troupe_block block{};
    while (env.next_block(block)) {
      for_each_record_of<Record>(block, [&](const Record& record) { next(record); });
      next.drain();
    }
  }
};

/// Puts the entries of a shuffle block into a sort.
template <class Value, class Order>
void collect(const troupe_block& block, external_sort<Order>& into) {
  for_each_entry(block, [&](bytes_view key, const char* at, const char* end) {
    const char* const after = skip_field<Value>(at, end);
    if (after != nullptr) into.add(key, {at, static_cast<std::size_t>(after - at)});
    return after;
  });
}

/// What a reducer walks over: the values of the group that was begun last.
template <class Value, class Order>
values<Value> values_of_group(sorted_groups<Order>& groups) {
  return values<Value>(&groups, [](void* self, Value& value) {
    bytes_view bytes;
    if (!static_cast<sorted_groups<Order>*>(self)->next(bytes)) return false;
    return decode_field(bytes.data(), bytes.data() + bytes.size(), value) != nullptr;
  });
}

/// The head of a stage behind reduce<R>(): groups by sorting, and gives what the reducer emits.
template <class R>
class group_head {
 public:
  using record = std::conditional_t<
      std::is_void_v<typename R::output_value_type>, typename R::output_key_type,
      std::pair<typename R::output_key_type, std::conditional_t<std::is_void_v<typename R::output_value_type>, bool,
                                                                typename R::output_value_type>>>;

  template <class Next>
  static void run(task_env& env, Next& next) {
    using key_type = typename R::key_type;
    using value_type = typename R::value_type;
    using order = key_bytes<key_type>;
    external_sort<order> entries(env.port, env.task.memory_bytes);
    troupe_block block{};
    while (env.next_block(block)) collect<value_type>(block, entries);
    entries.finish();
    emitter_link<typename R::emitter, record, Next> to(next);
    auto reducer = std::make_unique<R>();
    start_user(*reducer, env);
    sorted_groups<order> groups(entries);
    for (std::size_t done = 0; !groups.at_end(); ++done) {
      const bytes_view key = groups.begin();
      values<value_type> all = values_of_group<value_type>(groups);
      typename key_bytes<key_type>::view typed{};
      if (!key_bytes<key_type>::decode(key, typed)) throw std::runtime_error("a key of the shuffle does not decode");
      reducer->reduce(typed, all, to.emitter());
      groups.skip();
      if (done % 1024 == 1023) env.user.flush_counters();
    }
    if constexpr (requires { reducer->finish(to.emitter()); }) reducer->finish(to.emitter());
    to.drain();
    next.drain();
  }
};

}  // namespace troupe::sdk
