#pragma once
#include <array>
#include <troupe/sdk/join.hpp>
#include <troupe/sdk/join_table.hpp>
#include <troupe/sdk/kept_sides.hpp>
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
    link(task_env& env, Next& next)
        : next_(&next),
          table_(
              env, env.side_edge++, [&](table_type& table) { table.limit(env.task.memory_bytes / 4 * 3); },
              [&](table_type& table, bytes_view block) { fill(table, block); }) {}
    void operator()(const In& record) {
      waiting& next = queue_[count_];
      next.key = table_type::key_from(record.first, scratch_);
      if constexpr (queued) {
        next.record = record;
        table_->prefetch(next.key);
        if (++count_ == queue) probe_queue();
      } else {
        probe(next.key, record);
      }
    }
    void drain() { probe_queue(); }
    void finish() { probe_queue(); }

   private:
    using table_type = join_table<key_type, W>;
    /// Records wait while their slots come from memory; only those that own all they hold, with keys that lie in slots.
    static constexpr bool queued = std::is_arithmetic_v<key_type> && is_owned<In>() && std::is_copy_assignable_v<In> &&
                                   std::is_default_constructible_v<In>;
    static constexpr std::size_t queue = queued ? 32 : 1;
    struct nothing {};
    struct waiting {
      typename table_type::key_type key;
      std::conditional_t<queued, In, nothing> record;
    };

    void probe_queue() {
      if constexpr (queued)
        for (std::size_t i = 0; i < count_; ++i) probe(queue_[i].key, queue_[i].record);
      count_ = 0;
    }
    [[gnu::always_inline]] void probe(const typename table_type::key_type& key, const In& record) {
      if constexpr (Kind == join_kind::semi || Kind == join_kind::anti) {
        if (table_->has(key) == (Kind == join_kind::semi)) (*next_)(output<In>{record.first, record.second});
      } else {
        W other{};
        output<In> out{record.first, {record.second, {}}};
        const bool matches = table_->for_each_of(
            key, other, [&]() __attribute__((always_inline)) {
              out.second.second = other;
              (*next_)(std::as_const(out));
            });
        if constexpr (Kind == join_kind::left)
          if (!matches) (*next_)(std::as_const(out));
      }
    }
    void fill(table_type& table, bytes_view bytes) {
      troupe_block block{};
      block.data = bytes.data();
      block.size = bytes.size();
      for_each_record_of<typename Side::record>(block, [&](const typename Side::record& r) {
        if (!table.add(table_type::key_from(r.first, scratch_), r.second))
          throw failure("join_small: the small side has more than " + std::to_string(table.records()) +
                        " records, which do not fit into a task's memory; use join(other), or give tasks more memory");
      });
    }
    Next* next_;
    std::string scratch_;
    whole_side<table_type> table_;
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
