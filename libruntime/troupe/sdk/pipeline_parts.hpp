#pragma once
#include <concepts>
#include <string>
#include <string_view>
#include <troupe/sdk/approximate.hpp>
#include <troupe/sdk/nodes.hpp>
#include <troupe/sdk/operators.hpp>
#include <troupe/sdk/top.hpp>

/// What the operators of pipeline.hpp are made of: parts between the bars, and what is checked about user code.
namespace troupe::sdk {

template <class T>
concept pipeline_part = std::derived_from<T, part>;
/// Something that gives records: what an operator may stand behind.
template <class T>
concept pipeline_node = pipeline_part<T> && requires {
  typename T::record;
  typename T::sources;
};

template <class M>
struct map_part : part {};
template <class F>
struct filter_part : part {};
template <class Out, class F>
struct flat_map_part : part {};
template <std::uint64_t Numerator, std::uint64_t Denominator>
struct sample_part : part {};
template <class F>
struct fold_part : part {};
template <class F>
struct total_part : part {};
template <class R>
struct reduce_part : part {};
struct distinct_part : part {};
struct estimate_part : part {};
struct kept_part : part {};
template <class Other>
struct union_part : part {};
template <std::size_t Count, class By>
struct top_part : part {};
struct write_part : part {
  std::string key_name, value_name, output;
  /// What this output is called where a job has several: `write("line").named("rejected")`.
  [[nodiscard]] write_part named(std::string name) && {
    output = std::move(name);
    return std::move(*this);
  }
};

/// A whole pipeline: what TROUPE_JOB takes, one for each dataset that the job writes.
template <class Node>
struct pipeline {
  using node = Node;
  std::string key_name, value_name, output;
};
template <class T>
inline constexpr bool is_pipeline = false;
template <class Node>
inline constexpr bool is_pipeline<pipeline<Node>> = true;

template <class>
struct first_parameter {
  using type = void;
};
template <class F, class Out, class In>
struct first_parameter<Out (F::*)(In)> {
  using type = In;
};
template <class F, class Out, class In>
struct first_parameter<Out (F::*)(In) const> {
  using type = In;
};
/// Whether f takes a copy of a record that owns its text and gives a view, which would be of the copy: gone when f
/// returns. (A view of something that f made itself looks like one of its record; no type tells them apart.)
template <class F, class Record, class Out>
constexpr bool gives_view_of_copy() {
  if constexpr (is_owned<Out>() || std::is_arithmetic_v<Record>)
    return false;
  else if constexpr (requires { &F::operator(); })
    return std::same_as<typename first_parameter<decltype(&F::operator())>::type, Record> && is_owned<Record>();
  else if constexpr (requires { &F::template operator()<Record>; })
    return std::same_as<typename first_parameter<decltype(&F::template operator()<Record>)>::type, Record> &&
           is_owned<Record>();
  else
    return false;
}

template <class T>
concept is_mapper = requires {
  typename T::input_type;
  typename T::key_type;
  typename T::value_type;
  typename T::emitter;
}
&&std::derived_from<T, mapper<typename T::input_type, typename T::key_type, typename T::value_type>>;

template <class T>
concept is_folder = requires {
  typename T::accumulator_type;
  typename T::value_type;
}
&&std::derived_from<T, folder<typename T::accumulator_type, typename T::value_type>>;

template <class T>
concept is_reducer = requires {
  typename T::key_type;
  typename T::output_key_type;
}
&&std::derived_from<T, reducer<typename T::key_type, typename T::value_type, typename T::output_key_type,
                               typename T::output_value_type>>;

/// `troupe::sum` stands for a folder of each value type; a folder of one's own for itself.
template <class F, class Value>
struct folder_for {
  using type = F;
};
template <class F, class Value>
requires requires { typename F::template of<Value>; }
struct folder_for<F, Value> {
  using type = typename F::template of<Value>;
};

/// What stands in the place of a node after an error was told, so that the first message is the only one.
struct broken : part {};

template <class Left>
inline constexpr bool is_broken = std::same_as<Left, broken>;

/// Records that can go from stage to stage.
template <class Record>
inline constexpr bool can_travel = [] {
  if constexpr (field_value<Record>) return true;
  return false;
}();

template <class Left, class M>
constexpr bool check_mapper() {
  static_assert(is_mapper<M>, "map<M>(): M must derive from troupe::mapper<Input, Key, Value> (publicly)");
  if constexpr (is_mapper<M>) {
    static_assert(std::same_as<std::remove_cvref_t<typename M::input_type>, typename Left::record>,
                  "map<M>(): M's Input differs from the records that come here: std::string_view behind read_lines and "
                  "read_bytes, T behind read_records<T>, std::pair of key and value behind fold_by_key");
    static_assert(
        requires(M m, const typename M::input_type& in, typename M::emitter& emit) { m.map(in, emit); },
        "map<M>(): M needs a public void map(Input input, emitter& emit)");
    static_assert(std::default_initializable<M>,
                  "map<M>(): M needs a constructor without arguments; read parameters in start()");
    return true;
  }
  return false;
}

/// A function that every task can make for itself.
template <class F>
inline constexpr bool is_free = std::is_empty_v<F>&& std::default_initializable<F>;

template <class Left>
constexpr bool gives_pairs() {
  if constexpr (pipeline_node<Left>)
    return is_pair<typename Left::record>::value;
  else
    return false;
}

template <class folder, class Value>
constexpr bool check_folder() {
  static_assert(is_folder<folder>,
                "fold_by_key<F>(): F must derive from troupe::folder<Accumulator, Value> (publicly) or be sum, "
                "count, minimum or maximum");
  if constexpr (is_folder<folder>) {
    using accumulator = typename folder::accumulator_type;
    static_assert(std::same_as<typename folder::value_type, Value>,
                  "fold_by_key<F>(): F's Value differs from the values that come here");
    static_assert(field_value<accumulator> && is_owned<accumulator>(),
                  "fold_by_key<F>(): an Accumulator is a number, string, optional, vector, pair or described struct "
                  "of them, without views");
    constexpr bool whole = requires(folder f, accumulator & a, const accumulator& b, const Value& v) {
      { f.init() } -> std::convertible_to<accumulator>;
      f.fold(a, v);
      f.merge(a, b);
    };
    static_assert(whole,
                  "fold_by_key<F>(): F needs init(), fold(Accumulator&, const Value&) and merge(Accumulator&, const "
                  "Accumulator&)");
    return whole && std::same_as<typename folder::value_type, Value>;
  }
  return false;
}

/// Stands for what flat_map's function calls, in the check.
template <class Out>
struct any_push {
  void operator()(const Out&) const;
};

// distinct: a fold by the whole record, which keeps nothing
struct to_key {
  template <class Record>
  auto operator()(const Record& record) const {
    return std::pair<Record, std::uint8_t>(record, 0);
  }
};
struct key_only {
  template <class Pair>
  auto operator()(const Pair& pair) const {
    return pair.first;
  }
};
struct keep_nothing : folder<std::uint8_t, std::uint8_t> {
  std::uint8_t init() noexcept { return 0; }
  void fold(std::uint8_t&, const std::uint8_t&) noexcept {}
  void merge(std::uint8_t&, const std::uint8_t&) noexcept {}
};

template <class Record>
constexpr void check_source_record() {
  static_assert(described_struct<Record>,
                "read_records<T>(): describe T with BOOST_DESCRIBE_STRUCT(T, (), (its fields))");
  if constexpr (described_struct<Record>)
    static_assert(
        field_value<Record>,
        "read_records<T>(): a field of T is no number, enum, string, optional, vector, pair or described struct");
}

inline constexpr std::uint32_t any_input = 0xffffffff;

}  // namespace troupe::sdk
