#pragma once
#include <cstdint>
#include <iterator>
#include <stdexcept>
#include <troupe/sdk/context.hpp>
#include <troupe/sdk/emitter.hpp>

/// The bases of what people write. None has a virtual function: the engine is compiled around the user's class.
namespace troupe {

/// Turns one record into none, one or many keys with values. Derive from it and write
///
///     void map(Input input, emitter& emit);                              // for every record, in order
///     void start(const troupe::parameters&, troupe::context&);           // may be left out; before the first record
///     void finish(emitter& emit);                                        // may be left out; after the last record
///
/// Input is std::string_view after read_lines (without the line's end) and read_bytes, and your struct after
/// read_records. `mapper<Input, Record>` with a described struct writes whole records instead: for jobs without a
/// shuffle. One object serves one task; a second attempt gets a new one.
template <class Input, class Key, class Value = void>
struct mapper {
  using input_type = Input;
  using key_type = Key;
  using value_type = Value;
  using emitter = troupe::emitter<Key, Value>;
};

/// Makes one value of all values of a key, in any grouping, so that it can begin where the records are. Derive from it
/// and write
///
///     Accumulator init();                                                // for a new key
///     void fold(Accumulator& accumulator, const Value& value);           // values of one task in order
///     void merge(Accumulator& accumulator, const Accumulator& other);    // of tasks, in their order
///     Output result(const Accumulator&);                                 // may be left out: then the accumulator is
///     the result
///
/// It must not matter where the values are divided: fold(a, x), fold(a, y) gives what merging the two does.
template <class Accumulator, class Value>
struct folder {
  using accumulator_type = Accumulator;
  using value_type = Value;
};

/// The values of one key, in the order of tasks and records. One pass: they may be more than memory holds.
template <class Value>
class values {
 public:
  /// Gives the next value, or false. The engine's side of the range.
  using next_function = bool (*)(void* self, Value& out);
  values(void* self, next_function next) noexcept : self_(self), next_(next) {}

  class iterator {
   public:
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::input_iterator_tag;
    using pointer = const Value*;
    using reference = const Value&;
    iterator() = default;
    explicit iterator(values* from) : from_(from) { ++*this; }
    const Value& operator*() const noexcept { return from_->current_; }
    const Value* operator->() const noexcept { return &from_->current_; }
    iterator& operator++() {
      if (!from_->next_(from_->self_, from_->current_)) from_ = nullptr;
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept { return it.from_ == nullptr; }

   private:
    values* from_ = nullptr;
  };
  iterator begin() {
    if (begun_) throw std::logic_error("the values of a key can be walked once; keep what you need");
    begun_ = true;
    return iterator(this);
  }
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

 private:
  friend class iterator;
  void* self_;
  next_function next_;
  Value current_{};
  bool begun_ = false;
};

/// Sees each key once, with all its values. Derive from it and write
///
///     void reduce(Key key, troupe::values<Value>& values, emitter& emit);
///
/// and start and finish as in a mapper. Numbers as keys come in their order, others in the order of their bytes. Name
/// what it writes: one described struct
/// (`reducer<Key, Value, Record>`, `emit(record)`) or a key and a value (`reducer<Key, Value, OutputKey, OutputValue>`,
/// `emit(key, value)`).
template <class Key, class Value, class OutputKey, class OutputValue = void>
struct reducer {
  using key_type = Key;
  using value_type = Value;
  using output_key_type = OutputKey;
  using output_value_type = OutputValue;
  using emitter = std::conditional_t<std::is_void_v<OutputValue>, troupe::emitter<OutputKey, void>,
                                     sdk::pair_emitter<OutputKey, OutputValue>>;
};

namespace sdk {

/// The widest type of a number's kind, so that sums don't wrap.
template <class Value>
using widest = std::conditional_t<std::is_floating_point_v<Value>, double,
                                  std::conditional_t<std::is_signed_v<Value>, std::int64_t, std::uint64_t>>;

}  // namespace sdk

/// Ready-made folders: `fold_by_key<troupe::sum>()`. They take the mapper's value type.
struct sum {
  template <class Value>
  struct of : folder<sdk::widest<Value>, Value> {
    static_assert(std::is_arithmetic_v<Value>, "troupe::sum adds numbers; write a folder for other values");
    using accumulator = sdk::widest<Value>;
    accumulator init() noexcept { return 0; }
    void fold(accumulator& a, const Value& value) noexcept { a += static_cast<accumulator>(value); }
    void merge(accumulator& a, const accumulator& other) noexcept { a += other; }
  };
};

/// How many values a key has, whatever they are.
struct count {
  template <class Value>
  struct of : folder<std::uint64_t, Value> {
    std::uint64_t init() noexcept { return 0; }
    void fold(std::uint64_t& a, const Value&) noexcept { ++a; }
    void merge(std::uint64_t& a, const std::uint64_t& other) noexcept { a += other; }
  };
};

struct minimum {
  template <class Value>
  struct of : folder<Value, Value> {
    static_assert(std::is_arithmetic_v<Value>, "troupe::minimum compares numbers; write a folder for other values");
    Value init() noexcept {
      return std::numeric_limits<Value>::has_infinity ? std::numeric_limits<Value>::infinity()
                                                      : std::numeric_limits<Value>::max();
    }
    void fold(Value& a, const Value& value) noexcept { a = value < a ? value : a; }
    void merge(Value& a, const Value& other) noexcept { fold(a, other); }
  };
};

struct maximum {
  template <class Value>
  struct of : folder<Value, Value> {
    static_assert(std::is_arithmetic_v<Value>, "troupe::maximum compares numbers; write a folder for other values");
    Value init() noexcept {
      return std::numeric_limits<Value>::has_infinity ? -std::numeric_limits<Value>::infinity()
                                                      : std::numeric_limits<Value>::lowest();
    }
    void fold(Value& a, const Value& value) noexcept { a = a < value ? value : a; }
    void merge(Value& a, const Value& other) noexcept { fold(a, other); }
  };
};

}  // namespace troupe
