#pragma once
#include <array>
#include <troupe/sdk/join.hpp>
#include <troupe/sdk/nodes.hpp>

/// Operators with an edge of their own (a side that every task reads), numbering and spreading.
namespace troupe::sdk {

// A side that every task has whole

/// All records of the side as a vector, given to a function with each record.
template <class Side, class F>
struct with_side_op {
  using sources = typename Side::sources;
  static constexpr bool mentions_loop = Side::mentions_loop;
  static constexpr std::uint32_t side_edges = 1;
  static constexpr const char* word = "map with";
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    return {{TROUPE_EDGE_BROADCAST, builder.add<stage_of<Side, record_sink<typename Side::record, false>, Loop>>(round),
             0}};
  }
  template <class In>
  using output = std::remove_cvref_t<std::invoke_result_t<F&, const In&, const std::vector<typename Side::record>&>>;
  template <class In, class Next>
  class link : public function_link<F> {
   public:
    link(task_env& env, Next& next) : function_link<F>(env), next_(&next) {
      static_assert(
          is_owned<typename Side::record>(),
          "map_with(side, f): the side's records are kept, so they may hold no views; use map(f) on the side");
      troupe_block block{};
      const auto edge = env.side_edge++;
      std::uint64_t bytes = 0;
      while (env.input.next(edge, block)) {
        bytes += block.size;
        if (bytes > env.task.memory_bytes / 2)
          throw failure("map_with: the side has more than " + std::to_string(bytes >> 20) +
                        " MiB, and every task keeps it whole; use join(other) instead, or give tasks more memory");
        for_each_record_of<typename Side::record>(block, [&](const typename Side::record& r) { side_.push_back(r); });
      }
    }
    void operator()(const In& record) { (*next_)(this->f_(record, std::as_const(side_))); }

   private:
    Next* next_;
    std::vector<typename Side::record> side_;
  };
};

/// A hash join with a side that fits into every task's memory: no shuffle of the large side.
template <class Side, join_kind Kind>
struct join_small_op {
  using sources = typename Side::sources;
  using W = value_of<Side>;
  static constexpr bool mentions_loop = Side::mentions_loop;
  static constexpr std::uint32_t side_edges = 1;
  static constexpr const char* word = "join small";
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    return {{TROUPE_EDGE_BROADCAST, builder.add<stage_of<Side, record_sink<typename Side::record, false>, Loop>>(round),
             0}};
  }
  template <class In>
  using output = typename join_record<typename In::first_type, typename In::second_type, W, Kind>::type;
  template <class In, class Next>
  class link {
   public:
    using key_type = typename In::first_type;
    link(task_env& env, Next& next) : next_(&next) {
      table_->limit(env.task.memory_bytes / 2);
      troupe_block block{};
      const auto edge = env.side_edge++;
      while (env.input.next(edge, block))
        for_each_record_of<typename Side::record>(block,
                                                  [&](const typename Side::record& r) { add(env, r.first, r.second); });
    }
    void operator()(const In& record) {
      waiting& next = queue_[count_];
      key_bytes<key_type>::pack(record.first, scratch_, next.key);
      if constexpr (queued) {
        next.record = record;
        table_->prefetch(next.key.tag());
        if (++count_ == queue) probe_queue();
      } else {
        probe(next.key, record);
      }
    }
    void drain() { probe_queue(); }
    void finish() { probe_queue(); }

   private:
    /// Records wait while their slots come from memory; only those that own all they hold, with keys that lie in slots.
    static constexpr bool queued = std::is_arithmetic_v<key_type> && is_owned<In>() && std::is_copy_assignable_v<In> &&
                                   std::is_default_constructible_v<In>;
    static constexpr std::size_t queue = queued ? 32 : 1;
    /// A key's first value lies beside it, if it is small and holds no views.
    static constexpr bool inside = std::is_trivially_copyable_v<W> && is_owned<W>() && sizeof(W) <= 16;
    struct nothing {};
    struct waiting {
      packed_key key;
      std::conditional_t<queued, In, nothing> record;
    };
    /// Of the values of a key, numbers of the first and the last one in values_, plus 1; 0: none.
    struct chain {
      std::uint32_t first;
      std::uint32_t last;
      std::conditional_t<inside, W, nothing> value;
    };
    using table_type = fold_table<chain>;
    struct value {
      bytes_view bytes;
      std::uint32_t next;  ///< of the same key, plus 1; 0: none
    };

    void probe_queue() {
      if constexpr (queued)
        for (std::size_t i = 0; i < count_; ++i) probe(queue_[i].key, queue_[i].record);
      count_ = 0;
    }
    [[gnu::always_inline]] void probe(const packed_key& key, const In& record) {
      auto& slot = table_->find(key);
      const bool matches = !table_type::is_empty(slot);
      if constexpr (Kind == join_kind::semi || Kind == join_kind::anti) {
        if (matches == (Kind == join_kind::semi)) (*next_)(output<In>{record.first, record.second});
      } else {
        output<In> out{record.first, {record.second, {}}};
        if (!matches) {
          if constexpr (Kind == join_kind::left) (*next_)(std::as_const(out));
          return;
        }
        if constexpr (inside) {
          out.second.second = slot.accumulator.value;
          (*next_)(std::as_const(out));
        }
        for (auto i = slot.accumulator.first; i != 0; i = values_[i - 1].next) {
          if constexpr (Kind == join_kind::left)
            decode_value(values_[i - 1].bytes, out.second.second.emplace());
          else
            decode_value(values_[i - 1].bytes, out.second.second);
          (*next_)(std::as_const(out));
        }
      }
    }
    template <class Key>
    void add(const task_env& env, const Key& side_key, const W& w) {
      packed_key key;
      key_bytes<Key>::pack(side_key, scratch_, key);
      const auto size = encoded_size(w);
      ++records_;
      if (!table_->has_room(key) ||
          bytes_.used() + size + values_.size() * 3 * sizeof(value) > env.task.memory_bytes / 4)
        throw failure("join_small: the small side has more than " + std::to_string(records_) +
                      " records, which do not fit into a task's memory; use join(other), or give tasks more memory");
      auto* slot = &table_->find(key);
      const bool is_new = table_type::is_empty(*slot);
      if (is_new) {
        slot = &table_->insert(*slot, key, chain{});
        if constexpr (inside) {
          slot->accumulator.value = w;
          return;
        }
      }
      char* const at = bytes_.allocate(size);
      encode_field(at, w);
      values_.push_back({{at, size}, 0});
      const auto number = static_cast<std::uint32_t>(values_.size());
      auto& ends = slot->accumulator;
      if (ends.last == 0)
        ends.first = number;
      else
        values_[ends.last - 1].next = number;
      ends.last = number;
    }
    Next* next_;
    kept_table<table_type> table_;
    byte_arena bytes_;
    std::vector<value> values_;
    std::uint64_t records_ = 0;
    std::string scratch_;
    std::array<waiting, queue> queue_;
    std::size_t count_ = 0;
  };
};

// Numbering and spreading

/// Records as they are (partition 0), and how many they are (1).
template <class Record>
class counting_sink {
 public:
  static constexpr const char* word = "keep and count";
  static constexpr std::uint32_t partitions = 2;
  explicit counting_sink(task_env& env) : port_(env.port), out_(env.port, 0, output_chunk_bytes) {}
  void operator()(const Record& record) {
    write_record(out_, record);
    ++count_;
  }
  void drain() noexcept {}
  void finish() {
    out_.flush();
    chunk_writer counts(port_, 1, 64);
    write_record(counts, count_);
    counts.flush();
  }

 private:
  host_port& port_;
  chunk_writer out_;
  std::uint64_t count_ = 0;
};

template <class Prev>
struct numbered_node : leaf_node<numbered_node<Prev>> {
  using record = std::pair<std::uint64_t, typename Prev::record>;
  using sources = typename Prev::sources;
  static constexpr bool mentions_loop = Prev::mentions_loop;
  static constexpr const char* word = "number";
  template <class Loop>
  static edge_list plan(plan_builder& builder, std::uint32_t round) {
    const auto kept = builder.add<stage_of<Prev, counting_sink<typename Prev::record>, Loop>>(round);
    return {{TROUPE_EDGE_BROADCAST, kept, 1}, {TROUPE_EDGE_FORWARD, kept, 0}};
  }
  template <class Next>
  static void run(task_env& env, Next& next) {
    std::uint64_t number = 0;
    std::uint32_t task = 0;
    troupe_block block{};
    while (env.next_block(block, 0))
      for_each_record_of<std::uint64_t>(block, [&](const std::uint64_t& count) {
        if (task++ < env.task.branch_task) number += count;
      });
    record out{};
    while (env.next_block(block, 1)) {
      for_each_record_of<typename Prev::record>(block, [&](const typename Prev::record& r) {
        out.first = number++;
        out.second = r;
        next(std::as_const(out));
      });
      next.drain();
    }
  }
};

/// Records to all partitions in turn.
template <class Record>
class spread_sink {
 public:
  static constexpr const char* word = "spread";
  static constexpr std::uint32_t partitions = 0;
  explicit spread_sink(task_env& env)
      : boxes_(env.port, env.task.partitions, env.task.memory_bytes), next_(env.task.task % boxes_.partitions()) {}
  void operator()(const Record& record) {
    const auto size = encoded_size(record);
    if (size > limits::record_bytes_max) throw std::length_error("a record is above the limit of 64 MiB");
    char* const at = store_varint(boxes_.reserve(next_, varint_size_max + size), size);
    boxes_.commit(next_, encode_field(at, record));
    if (++next_ == boxes_.partitions()) next_ = 0;
  }
  void drain() noexcept {}
  void finish() { boxes_.write_out(); }

 private:
  partition_boxes boxes_;
  std::uint32_t next_;
};

template <class Prev>
struct spread_node
    : exchange_node<spread_node<Prev>, Prev, spread_sink<typename Prev::record>, TROUPE_EDGE_PARTITIONED> {
  using record = typename Prev::record;
  static constexpr const char* word = "spread";
  template <class Next>
  static void run(task_env& env, Next& next) {
    record_head<record>::run(env, next);
  }
};

}  // namespace troupe::sdk
