#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <troupe/sdk/emitter.hpp>
#include <troupe/sdk/operators.hpp>
#include <troupe/sdk/plan_builder.hpp>
#include <troupe/sdk/task_env.hpp>
#include <type_traits>
#include <utility>

/// The operators between a stage's head and its sink, fused into one call for each record: a chain is a struct that
/// holds the next one, and everything is inlined. An operator is a type `Op` with
///
///     template <class In> using output = …;            // what it gives for records of type In
///     template <class In, class Next> class link;      // made from (env, next); called with a record
///
/// A link has operator()(const In&), drain() when a block is done, and finish() after the last record.
namespace troupe::sdk {

template <class In, class Sink, class... Ops>
struct chain;

template <class In, class Sink>
struct chain<In, Sink> {
  explicit chain(task_env& env) : sink(env) {}
  [[gnu::always_inline]] void operator()(const In& record) { sink(record); }
  void drain() { sink.drain(); }
  void finish() { sink.finish(); }
  auto& emitter() noexcept requires requires(Sink s) { s.emitter(); }
  { return sink.emitter(); }
  record_out& records() noexcept requires requires(Sink s) { s.records(); }
  { return sink.records(); }
  template <class Value>
  void put_pair(bytes_view key, const Value& value) requires requires(Sink s) {
    s.put_pair(key, value);
  }
  { sink.put_pair(key, value); }
  Sink sink;
};

template <class In, class Sink, class Op, class... Rest>
struct chain<In, Sink, Op, Rest...> {
  using next_type = chain<typename Op::template output<In>, Sink, Rest...>;
  explicit chain(task_env& env) : next(env), link(env, next) {}
  [[gnu::always_inline]] void operator()(const In& record) { link(record); }
  void drain() {
    link.drain();
    next.drain();
  }
  void finish() {
    link.finish();
    next.finish();
  }
  next_type next;
  typename Op::template link<In, next_type> link;
};

/// The queue before the next operator: whole records as bytes, decoded and given on when it is full or drained. For
/// user code that calls an emitter whose type does not know what comes next.
template <class Record, class Next>
class relay final : public record_out {
 public:
  explicit relay(Next& next)
      : record_out([](record_out& self, std::uint64_t bytes) { static_cast<relay&>(self).renew(bytes); }),
        next_(&next) {}
  void drain() {
    const char* at = queue_.get();
    const char* const end = at_;
    at_ = queue_.get();
    records_ = 0;
    Record record{};
    while (at != end) {
      std::uint64_t size = 0;
      at = load_varint(at, end, size);
      if (at == nullptr || !decode_record(bytes_view(at, static_cast<std::size_t>(size)), record))
        throw std::logic_error("a record in a task's own queue does not decode");
      at += size;
      (*next_)(record);
    }
  }

 private:
  static constexpr std::uint64_t queue_bytes = 16 << 10;  // stays in the first two caches
  void renew(std::uint64_t bytes) {
    drain();
    if (capacity_ < bytes) {
      capacity_ = std::max(queue_bytes, bytes);
      queue_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    at_ = queue_.get();
    end_ = queue_.get() + capacity_;
  }
  Next* next_;
  std::unique_ptr<char[]> queue_;
  std::uint64_t capacity_ = 0;
};

/// Gives the pairs that a mapper emits to the next operator, a queue at a time.
template <class Key, class Value, class Next>
class pair_relay {
 public:
  using emitter_type = troupe::emitter<Key, Value>;
  explicit pair_relay(Next& next) : next_(&next), emitter_(this, &pair_relay::take) {}
  emitter_type& emitter() noexcept { return emitter_; }
  void drain() { emitter_.drain(); }

 private:
  static void take(void* self, typename emitter_type::pair* pairs, std::size_t count) {
    auto& next = *static_cast<pair_relay*>(self)->next_;
    for (std::size_t i = 0; i < count; ++i) {
      std::pair<Key, Value> record{};
      if constexpr (text_like<Key>)
        record.first = pairs[i].key.view();
      else
        key_bytes<Key>::decode(pairs[i].key.view(), record.first);
      if constexpr (queued_value<Value>::owned)
        record.second = pairs[i].value.held;
      else
        decode_field(pairs[i].value.held.data(), pairs[i].value.held.data() + pairs[i].value.held.size(),
                     record.second);
      next(std::as_const(record));
    }
  }
  Next* next_;
  emitter_type emitter_;
};

/// Between user code's emitter and the next operator.
template <class Emitter, class Record, class Next>
class emitter_link;

template <class Key, class Value, class Record, class Next>
requires(!std::is_void_v<Value>) class emitter_link<troupe::emitter<Key, Value>, Record, Next> {
 public:
  static constexpr bool is_direct = requires(Next n) {
    { n.emitter() } -> std::same_as<troupe::emitter<Key, Value>&>;
  };
  explicit emitter_link(Next& next) : to_(next) {}
  troupe::emitter<Key, Value>& emitter() noexcept { return to_.emitter(); }
  void drain() {
    if constexpr (!is_direct) to_.drain();
  }

 private:
  struct straight {
    explicit straight(Next& next) : next_(&next) {}
    auto& emitter() noexcept { return next_->emitter(); }
    Next* next_;
  };
  std::conditional_t<is_direct, straight, pair_relay<Key, Value, Next>> to_;
};

template <class Emitter, class Record, class Next>
requires std::constructible_from<Emitter, record_out&>
class emitter_link<Emitter, Record, Next> {
 public:
  /// A sink whose output is of whole records takes them as bytes.
  static constexpr bool is_direct = requires(Next n) {
    { n.records() } -> std::same_as<record_out&>;
  };
  explicit emitter_link(Next& next) : to_(next), emitter_(to_.records()) {}
  Emitter& emitter() noexcept { return emitter_; }
  void drain() {
    if constexpr (!is_direct) to_.relayed.drain();
  }

 private:
  struct straight {
    explicit straight(Next& next) : next_(&next) {}
    record_out& records() noexcept { return next_->records(); }
    Next* next_;
  };
  struct queued {
    explicit queued(Next& next) : relayed(next) {}
    record_out& records() noexcept { return relayed; }
    relay<Record, Next> relayed;
  };
  std::conditional_t<is_direct, straight, queued> to_;
  Emitter emitter_;
};

// The operators

/// An operator without an edge of its own.
struct plain_op {
  using sources = type_list<>;
  static constexpr bool mentions_loop = false;
  static constexpr std::uint32_t side_edges = 0;
  template <class Loop>
  static std::vector<troupe_edge> plan(plan_builder&, std::uint32_t) {
    return {};
  }
};

/// What a mapper's emitter gives: pairs, or whole records.
template <class M>
using mapped_record =
    std::conditional_t<std::is_void_v<typename M::value_type>, typename M::key_type,
                       std::pair<typename M::key_type, std::conditional_t<std::is_void_v<typename M::value_type>, bool,
                                                                          typename M::value_type>>>;

template <class M>
struct mapper_op : plain_op {
  static constexpr const char* word = "map";
  template <class In>
  using output = mapped_record<M>;
  template <class In, class Next>
  class link {
   public:
    link(task_env& env, Next& next) : to_(next), mapper_(std::make_unique<M>()) { start_user(*mapper_, env); }
    [[gnu::always_inline]] void operator()(const In& record) { mapper_->map(record, to_.emitter()); }
    void drain() { to_.drain(); }
    void finish() {
      if constexpr (requires { mapper_->finish(to_.emitter()); }) mapper_->finish(to_.emitter());
      to_.drain();
    }

   private:
    emitter_link<typename M::emitter, mapped_record<M>, Next> to_;
    std::unique_ptr<M> mapper_;
  };
};

/// For operators whose user code is a function of one record.
template <class F>
class function_link {
 public:
  explicit function_link(task_env& env) { start_user(f_, env); }
  void drain() noexcept {}
  void finish() noexcept {}

 protected:
  F f_;
};

template <class F>
struct map_op : plain_op {
  static constexpr const char* word = "map";
  template <class In>
  using output = std::remove_cvref_t<std::invoke_result_t<F&, const In&>>;
  template <class In, class Next>
  class link : public function_link<F> {
   public:
    link(task_env& env, Next& next) : function_link<F>(env), next_(&next) {}
    [[gnu::always_inline]] void operator()(const In& record) { (*next_)(this->f_(record)); }

   private:
    Next* next_;
  };
};

template <class F>
struct filter_op : plain_op {
  static constexpr const char* word = "filter";
  template <class In>
  using output = In;
  template <class In, class Next>
  class link : public function_link<F> {
   public:
    link(task_env& env, Next& next) : function_link<F>(env), next_(&next) {}
    [[gnu::always_inline]] void operator()(const In& record) {
      if (this->f_(record)) (*next_)(record);
    }

   private:
    Next* next_;
  };
};

template <class Out, class F>
struct flat_map_op : plain_op {
  static constexpr const char* word = "flat_map";
  template <class In>
  using output = Out;
  template <class In, class Next>
  class link : public function_link<F> {
   public:
    link(task_env& env, Next& next) : function_link<F>(env), push_{&next} {}
    [[gnu::always_inline]] void operator()(const In& record) { this->f_(record, push_); }

   private:
    struct push {
      [[gnu::always_inline]] void operator()(const Out& out) { (*next)(out); }
      Next* next;
    };
    push push_;
  };
};

/// Keeps about Numerator of Denominator records, chosen by the task's number and the parameter sample_seed: every
/// attempt and every run keeps the same.
template <std::uint64_t Numerator, std::uint64_t Denominator>
struct sample_op : plain_op {
  static constexpr const char* word = "sample";
  template <class Loop>
  static std::vector<troupe_edge> plan(plan_builder& builder, std::uint32_t) {
    builder.takes("sample_seed", "a number: another one chooses other records");
    return {};
  }
  template <class In>
  using output = In;
  template <class In, class Next>
  class link {
   public:
    link(task_env& env, Next& next)
        : next_(&next),
          state_(hash_final(hash_final(env.task.task, env.task.stage, 6), ++env.operators,
                            static_cast<std::uint64_t>(env.given.integer("sample_seed", 0)))) {}
    void operator()(const In& record) {
      auto z = state_ += 0x9e3779b97f4a7c15;  // SplitMix64, as troupe::context::random
      z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
      z = (z ^ z >> 27) * 0x94d049bb133111eb;
      z ^= z >> 31;
      if (static_cast<std::uint64_t>(static_cast<uint128>(z) * Denominator >> 64) < Numerator) (*next_)(record);
    }
    void drain() noexcept {}
    void finish() noexcept {}

   private:
    Next* next_;
    std::uint64_t state_;
  };
};

}  // namespace troupe::sdk
