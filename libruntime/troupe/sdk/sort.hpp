#pragma once
#include <algorithm>
#include <troupe/sdk/external_sort.hpp>
#include <troupe/sdk/nodes.hpp>
#include <troupe/sdk/order_key.hpp>

/// sort_by: a total order over the cluster. Four stages:
///
///     1  …, sort key      records with their order keys stay where they are (partition 0); a sample of keys (1)
///     2  splitters        one task: the samples in order, thinned out
///     3  distribute       each task reads what it kept and all splitters; partition i gets the keys between two of
///     them 4  sort, …          each task sorts its partition; the partitions follow one another
///
/// The sample depends on the records and on the task's number alone, so the same input always gives the same
/// partitions. Equal keys meet in one partition and keep their order: the sort is stable.
namespace troupe::sdk {

inline constexpr std::size_t sampled_keys = 512;        ///< of one task
inline constexpr std::size_t splitters_kept = 4'096;    ///< as many as there can be partitions
inline constexpr std::size_t splitter_bytes_max = 256;  ///< a longer key is cut: it divides nearly as well

/// Entries between the stages: varint size of the order key | order key | the record's fields, with their length
/// before them.
template <class F>
void for_each_sorted_entry(const troupe_block& block, F&& f) {
  const char* at = block.data;
  const char* const end = at + block.size;
  while (at != end) {
    const char* const begin = at;
    std::uint64_t key = 0, record = 0;
    at = load_varint(at, end, key);
    if (at == nullptr || key > static_cast<std::uint64_t>(end - at))
      throw std::runtime_error("a block of a sort does not decode");
    const bytes_view key_bytes(at, static_cast<std::size_t>(key));
    at = load_varint(at + key, end, record);
    if (at == nullptr || record > static_cast<std::uint64_t>(end - at))
      throw std::runtime_error("a block of a sort does not decode");
    const bytes_view record_bytes(at, static_cast<std::size_t>(record));
    at += record;
    f(bytes_view(begin, static_cast<std::size_t>(at - begin)), key_bytes, record_bytes);
  }
}

template <class Record, class By, bool Descending>
class sort_key_sink {
 public:
  static constexpr const char* word = "sort key";
  static constexpr std::uint32_t partitions = 2;
  explicit sort_key_sink(task_env& env)
      : records_(env.port, 0, limits::chunk_bytes_max),
        samples_(env.port, 1, limits::chunk_bytes_max),
        state_(hash_final(env.task.task, 0x736f7274, 8)) {
    start_user(by_, env);
  }
  void operator()(const Record& record) {
    key_.clear();
    append_order(key_, by_(record));
    if constexpr (Descending)
      for (auto& c : key_) c = static_cast<char>(~c);
    const auto size = encoded_size(record);
    if (key_.size() + size > limits::record_bytes_max)
      throw std::length_error("a record to be sorted has " + std::to_string(key_.size() + size) +
                              " bytes with its key; the limit is 64 MiB");
    char* at = records_.reserve(2 * varint_size_max + key_.size() + size);
    at = store_varint(at, key_.size());
    std::memcpy(at, key_.data(), key_.size());
    at = store_varint(at + key_.size(), size);
    records_.commit(encode_field(at, record));
    take_sample();
  }
  void drain() noexcept {}
  void finish() {
    records_.flush();
    std::sort(kept_.begin(), kept_.end());
    for (const auto& key : kept_) write_record(samples_, key);
    samples_.flush();
  }

 private:
  /// Algorithm R (Vitter 1985): every key seen so far is kept with the same chance.
  void take_sample() {
    ++seen_;
    auto place = kept_.size();
    if (place == sampled_keys) {
      state_ = hash_final(state_, seen_, 1);
      place = static_cast<std::size_t>(static_cast<uint128>(state_) * seen_ >> 64);
      if (place >= sampled_keys) return;
    } else {
      kept_.emplace_back();
    }
    kept_[place].assign(key_, 0, splitter_bytes_max);
  }
  By by_;
  chunk_writer records_;
  chunk_writer samples_;
  std::string key_;
  std::uint64_t state_;
  std::uint64_t seen_ = 0;
  std::vector<std::string> kept_;
};

/// Stage 2: reads the samples, gives splitters.
template <class Keyed, class KeySink>
struct splitters_node : leaf_node<splitters_node<Keyed, KeySink>> {
  using record = std::string;
  using sources = typename Keyed::sources;
  static constexpr bool mentions_loop = Keyed::mentions_loop;
  static constexpr const char* word = "sample";
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    return {{TROUPE_EDGE_BROADCAST, builder.add<stage_of<Keyed, KeySink, Loop>>(round), 1}};
  }
  template <class Next>
  static void run(task_env& env, Next& next) {
    std::vector<std::string> all;
    troupe_block block{};
    while (env.next_block(block))
      for_each_record_of<std::string>(block, [&](const std::string& key) { all.push_back(key); });
    std::sort(all.begin(), all.end());
    const auto count = std::min(all.size(), splitters_kept);
    for (std::size_t i = 0; i < count; ++i) next(all[all.size() * i / count]);
    next.drain();
  }
};

/// Stage 3: entries go to the partition of their key, as they are.
class range_sink {
 public:
  static constexpr const char* word = "distribute";
  static constexpr std::uint32_t partitions = 0;
  explicit range_sink(task_env& env) : boxes_(env.port, env.task.partitions, env.task.memory_bytes) {}

  /// `all`: in order. Of them as many as there are borders between partitions.
  void set_splitters(const std::vector<std::string>& all) {
    if (all.empty()) return;
    for (std::size_t p = 1; p < boxes_.partitions(); ++p) {
      borders_.push_back(all[all.size() * p / boxes_.partitions()]);
      prefixes_.push_back(order::prefix(borders_.back()));
    }
  }
  void add(bytes_view whole, bytes_view key) {
    // Most borders differ from the key in their first bytes: those are compared without a branch for each.
    const auto prefix = order::prefix(key);
    std::size_t p = 0;
    if (prefixes_.size() <= 64)
      for (const auto border : prefixes_) p += border < prefix;
    else
      p = static_cast<std::size_t>(std::lower_bound(prefixes_.begin(), prefixes_.end(), prefix) - prefixes_.begin());
    while (p < borders_.size() && prefixes_[p] == prefix && borders_[p] <= key) ++p;
    const auto partition = static_cast<std::uint32_t>(p);
    char* const at = boxes_.reserve(partition, whole.size());
    std::memcpy(at, whole.data(), whole.size());
    boxes_.commit(partition, at + whole.size());
  }
  void finish() { boxes_.write_out(); }

 private:
  using order = key_bytes<std::string_view>;
  std::vector<std::string> borders_;
  std::vector<std::uint64_t> prefixes_;
  partition_boxes boxes_;
};

/// Stage 3 whole: it has no operators between head and sink.
template <class Keyed, class KeySink, class Loop>
struct distribute_code {
  static constexpr bool mentions_loop = Keyed::mentions_loop;
  static constexpr std::uint32_t partitions = range_sink::partitions;
  using splitters = splitters_node<Keyed, KeySink>;

  static int run(const troupe_task* task, const troupe_host* host, troupe_failure* failed) noexcept {
    return guarded(task, host, failed, false, [](task_env& env) {
      range_sink sink(env);
      std::vector<std::string> all;
      troupe_block block{};
      while (env.next_block(block, 0))
        for_each_record_of<std::string>(block, [&](const std::string& key) { all.push_back(key); });
      sink.set_splitters(all);
      while (env.next_block(block, 1))
        for_each_sorted_entry(block, [&](bytes_view whole, bytes_view key, bytes_view) { sink.add(whole, key); });
      sink.finish();
    });
  }
  static std::vector<edge_list> plan(plan_builder& builder, std::uint32_t round) {
    const auto kept = builder.add<stage_of<Keyed, KeySink, Loop>>(round);
    const auto borders = builder.add<stage_of<splitters, record_sink<std::string, false>, Loop>>(round);
    return {{{TROUPE_EDGE_BROADCAST, borders, 0}, {TROUPE_EDGE_FORWARD, kept, 0}}};
  }
  static std::string name() { return "kept, distribute"; }
};

/// Stage 4.
template <class Prev, class By, bool Descending>
struct sort_node : leaf_node<sort_node<Prev, By, Descending>> {
  using record = typename Prev::record;
  using sources = typename Prev::sources;
  using key_sink = sort_key_sink<record, By, Descending>;
  static constexpr bool mentions_loop = Prev::mentions_loop;
  static constexpr bool shuffled = true;
  static constexpr const char* word = "sort";
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    using loop = std::conditional_t<mentions_loop, Loop, no_loop>;
    return {{TROUPE_EDGE_PARTITIONED, builder.add<distribute_code<Prev, key_sink, loop>>(round), 0}};
  }
  template <class Next>
  static void run(task_env& env, Next& next) {
    using order = key_bytes<std::string_view>;
    external_sort<order> entries(env.port, env.task.memory_bytes);
    troupe_block block{};
    while (env.next_block(block))
      for_each_sorted_entry(block, [&](bytes_view, bytes_view key, bytes_view bytes) { entries.add(key, bytes); });
    entries.finish();
    record out{};
    for (external_sort<order>::entry e; entries.next(e);) {
      if (!decode_record(e.value, out)) throw std::runtime_error("a sorted record does not decode");
      next(std::as_const(out));
    }
    next.drain();
  }
};

}  // namespace troupe::sdk
