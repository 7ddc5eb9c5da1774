#pragma once
#include <concepts>
#include <string>
#include <string_view>
#include <troupe/sdk/operators.hpp>

/// What stands between the bars of `read_lines() | map<M>() | fold_by_key<F>() | write()`. The types say everything the
/// engine is compiled from; the values carry the names of the output's fields. A pipeline that makes no sense does not
/// compile, and the first line of the error names the operator.
namespace troupe {

namespace sdk {

struct part {};
template <class T>
concept pipeline_part = std::derived_from<T, part>;

/// Input records as text: a line without its end, or the bytes of a record.
template <int Format>
struct text_source : part {
  using input_type = std::string_view;
  static constexpr int format = Format;
};
template <class Record>
struct record_source : part {
  using input_type = Record;
  static constexpr int format = TROUPE_RECORDS;
};

template <class M>
struct map_part : part {};
template <class F>
struct fold_part : part {};
template <class R>
struct reduce_part : part {};
struct write_part : part {
  std::string key_name, value_name;
};

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

/// The shuffles. `none`: the mapper's output is the job's.
struct shuffle_none {
  static constexpr std::uint32_t stages = 1;
};
template <class F>
struct shuffle_fold {
  using folder = F;
  static constexpr std::uint32_t stages = 2;
};
template <class R>
struct shuffle_group {
  using reducer = R;
  static constexpr std::uint32_t stages = 2;
};

template <class Source, class M, class Shuffle>
struct mapped : part {
  using source = Source;
  using mapper = M;
  using shuffle = Shuffle;
};

/// A whole job: what TROUPE_JOB takes.
template <class Source, class M, class Shuffle>
struct pipeline {
  using source = Source;
  using mapper = M;
  using shuffle = Shuffle;
  std::string key_name, value_name;
};

template <class Source, class M>
constexpr void check_mapper() {
  static_assert(is_mapper<M>, "map<M>(): M must derive from troupe::mapper<Input, Key, Value> (publicly)");
  if constexpr (is_mapper<M>) {
    static_assert(std::same_as<std::remove_cvref_t<typename M::input_type>, typename Source::input_type>,
                  "map<M>(): M's Input differs from what the source reads: std::string_view for read_lines and "
                  "read_bytes, T for read_records<T>");
    static_assert(
        requires(M m, const typename M::input_type& in, typename M::emitter& emit) { m.map(in, emit); },
        "map<M>(): M needs a public void map(Input input, emitter& emit)");
    static_assert(std::default_initializable<M>,
                  "map<M>(): M needs a constructor without arguments; read parameters in start()");
  }
}

template <class Source, class M>
requires std::derived_from<Source, part>
constexpr auto operator|(Source, map_part<M>) {
  constexpr bool is_source = requires { typename Source::input_type; };
  static_assert(
      is_source,
      "map<M>() stands directly after read_lines(), read_records<T>() or read_bytes(): a second map is not there yet");
  if constexpr (is_source) {
    check_mapper<Source, M>();
    return mapped<Source, M, shuffle_none>{};
  }
}

template <class Left, class F>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, fold_part<F>) {
  constexpr bool after_map = requires { requires std::same_as<typename Left::shuffle, shuffle_none>; };
  static_assert(after_map, "fold_by_key<F>() stands directly after map<M>(), which gives it keys and values");
  if constexpr (after_map) {
    using M = typename Left::mapper;
    using value = typename M::value_type;
    static_assert(
        !std::is_void_v<value>,
        "fold_by_key<F>(): the mapper writes whole records; derive it from troupe::mapper<Input, Key, Value>");
    using folder = typename folder_for<F, value>::type;
    static_assert(is_folder<folder>,
                  "fold_by_key<F>(): F must derive from troupe::folder<Accumulator, Value> (publicly) or be sum, "
                  "count, minimum or maximum");
    if constexpr (is_folder<folder>) {
      using accumulator = typename folder::accumulator_type;
      static_assert(std::same_as<typename folder::value_type, value>,
                    "fold_by_key<F>(): F's Value differs from the mapper's");
      static_assert(field_value<accumulator> && is_owned<accumulator>(),
                    "fold_by_key<F>(): an Accumulator is a number, string, optional, vector, pair or described struct "
                    "of them, without views");
      static_assert(
          requires(folder f, accumulator & a, const accumulator& b, const value& v) {
            { f.init() } -> std::convertible_to<accumulator>;
            f.fold(a, v);
            f.merge(a, b);
          },
          "fold_by_key<F>(): F needs init(), fold(Accumulator&, const Value&) and merge(Accumulator&, const "
          "Accumulator&)");
    }
    return mapped<typename Left::source, M, shuffle_fold<folder>>{};
  }
}

template <class Left, class R>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, reduce_part<R>) {
  constexpr bool after_map = requires { requires std::same_as<typename Left::shuffle, shuffle_none>; };
  static_assert(after_map, "reduce<R>() stands directly after map<M>(), which gives it keys and values");
  if constexpr (after_map) {
    using M = typename Left::mapper;
    static_assert(is_reducer<R>, "reduce<R>(): R must derive from troupe::reducer<Key, Value, …> (publicly)");
    if constexpr (is_reducer<R>) {
      static_assert(std::same_as<typename R::key_type, typename M::key_type>,
                    "reduce<R>(): R's Key differs from the mapper's");
      static_assert(std::same_as<typename R::value_type, typename M::value_type>,
                    "reduce<R>(): R's Value differs from the mapper's");
      static_assert(
          requires(R r, const typename key_bytes<typename R::key_type>::view& key, values<typename R::value_type>& all,
                   typename R::emitter& emit) { r.reduce(key, all, emit); },
          "reduce<R>(): R needs a public void reduce(Key key, troupe::values<Value>& values, emitter& emit)");
    }
    return mapped<typename Left::source, M, shuffle_group<R>>{};
  }
}

template <class Left>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, write_part sink) {
  constexpr bool whole = requires { typename Left::shuffle; };
  static_assert(whole, "write() ends a pipeline; put map<M>() before it");
  if constexpr (whole)
    return pipeline<typename Left::source, typename Left::mapper, typename Left::shuffle>{std::move(sink.key_name),
                                                                                          std::move(sink.value_name)};
}

}  // namespace sdk

/// Every line of a dataset of format lines, without its line end.
inline sdk::text_source<TROUPE_LINES> read_lines() { return {}; }
/// Every record of a dataset of format bytes.
inline sdk::text_source<TROUPE_BYTES> read_bytes() { return {}; }
/// Every record as a described struct; its fields, in order, are the dataset's schema.
template <class Record>
sdk::record_source<Record> read_records() {
  static_assert(sdk::described_struct<Record>,
                "read_records<T>(): describe T with BOOST_DESCRIBE_STRUCT(T, (), (its fields))");
  static_assert(
      sdk::field_value<Record>,
      "read_records<T>(): a field of T is no number, enum, string, optional, vector, pair or described struct");
  return {};
}
template <class M>
sdk::map_part<M> map() {
  return {};
}
template <class F>
sdk::fold_part<F> fold_by_key() {
  return {};
}
template <class R>
sdk::reduce_part<R> reduce() {
  return {};
}
/// The end: records of a key and a value (with these names as fields), or of the described struct that mapper or
/// reducer writes (with its own).
inline sdk::write_part write(std::string key_name = "key", std::string value_name = "value") {
  return {{}, std::move(key_name), std::move(value_name)};
}

}  // namespace troupe
