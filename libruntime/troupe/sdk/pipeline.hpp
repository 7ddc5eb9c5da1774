#pragma once
#include <concepts>
#include <string>
#include <string_view>
#include <troupe/sdk/pipeline_parts.hpp>

/// What stands between the bars of `read_lines() | map<M>() | fold_by_key<F>() | write()`. The types say everything the
/// engine is compiled from; the values carry the names of the output's fields. A pipeline that makes no sense does not
/// compile, and the first line of the error names the operator.
namespace troupe {

namespace sdk {

template <class Left, class M>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, map_part<M>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "map<M>() stands behind something that gives records, read_lines() for example");
    if constexpr (!pipeline_node<Left>) {
      return broken{};
    } else if constexpr (is_mapper<M>) {
      if constexpr (check_mapper<Left, M>())
        return element_node<Left, mapper_op<M>>{};
      else
        return broken{};
    } else {
      constexpr bool callable = std::is_invocable_v<M&, const typename Left::record&>;
      static_assert(
          callable || !requires(M m) { &M::map; },
          "map<M>(): M must derive from troupe::mapper<Input, Key, Value> (publicly)");
      static_assert(
          callable || requires(M m) { &M::map; },
          "map(f): f cannot be called with the records that come here, or map<M>(): M must derive from "
          "troupe::mapper");
      if constexpr (callable) {
        static_assert(
            std::default_initializable<M>,
            "map(f): f may not capture anything, and a class needs a constructor without arguments: every task "
            "makes its own");
        using out = typename map_op<M>::template output<typename Left::record>;
        static_assert(can_travel<out>,
                      "map(f): f must give a number, string, optional, vector, pair or described struct of them");
        static_assert(
            !gives_view_of_copy<M, typename Left::record, out>(),
            "map(f): f takes its record by value and gives a view of that copy, which is gone when f returns; "
            "take const auto& or give a std::string");
        return element_node<Left, map_op<M>>{};
      } else {
        return broken{};
      }
    }
  }
}

template <class Left, class F>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, filter_part<F>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "filter(f) stands behind something that gives records");
    if constexpr (pipeline_node<Left>) {
      constexpr bool good = std::is_invocable_r_v<bool, F&, const typename Left::record&>;
      static_assert(good,
                    "filter(f): f cannot be called with the records that come here, or does not say true or false");
      if constexpr (good)
        return element_node<Left, filter_op<F>>{};
      else
        return broken{};
    } else {
      return broken{};
    }
  }
}

template <class Left, class Out, class F>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, flat_map_part<Out, F>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "flat_map<Out>(f) stands behind something that gives records");
    static_assert(can_travel<Out>,
                  "flat_map<Out>(f): Out must be a number, string, optional, vector, pair or described struct of them");
    if constexpr (pipeline_node<Left> && can_travel<Out>) {
      constexpr bool good = std::is_invocable_v<F&, const typename Left::record&, any_push<Out>&>;
      static_assert(good,
                    "flat_map<Out>(f): f cannot be called with (the records that come here, auto& emit), where "
                    "emit(Out) gives one");
      return element_node<Left, flat_map_op<Out, F>>{};
    } else {
      return broken{};
    }
  }
}

template <class Left, std::uint64_t N, std::uint64_t D>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, sample_part<N, D>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "sample<N, D>() stands behind something that gives records");
    return element_node<Left, sample_op<N, D>>{};
  }
}

template <class Left, class F>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, fold_part<F>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(
        gives_pairs<Left>(),
        "fold_by_key<F>() stands behind something that gives keys and values: a mapper<Input, Key, Value>, or "
        "map(f) where f gives a std::pair");
    if constexpr (gives_pairs<Left>()) {
      using folder = typename folder_for<F, value_of<Left>>::type;
      if constexpr (check_folder<folder, value_of<Left>>())
        return fold_node<Left, folder>{};
      else
        return broken{};
    } else {
      return broken{};
    }
  }
}

template <class Left, class F>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, total_part<F>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "fold<F>() stands behind something that gives records");
    if constexpr (pipeline_node<Left>) {
      using folder = typename folder_for<F, typename Left::record>::type;
      if constexpr (check_folder<folder, typename Left::record>())
        return total_node<Left, folder>{};
      else
        return broken{};
    } else {
      return broken{};
    }
  }
}

template <class Left, class R>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, reduce_part<R>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(gives_pairs<Left>(),
                  "reduce<R>() stands behind something that gives keys and values: a mapper<Input, Key, Value>, or "
                  "map(f) where f gives a std::pair");
    static_assert(is_reducer<R>, "reduce<R>(): R must derive from troupe::reducer<Key, Value, …> (publicly)");
    if constexpr (gives_pairs<Left>() && is_reducer<R>) {
      constexpr bool same_key = std::same_as<typename R::key_type, key_of<Left>>;
      constexpr bool same_value = std::same_as<typename R::value_type, value_of<Left>>;
      static_assert(same_key, "reduce<R>(): R's Key differs from the keys that come here");
      static_assert(same_value, "reduce<R>(): R's Value differs from the values that come here");
      constexpr bool whole = requires(R r, const typename key_bytes<typename R::key_type>::view& key,
                                      values<typename R::value_type>& all, typename R::emitter& emit) {
        r.reduce(key, all, emit);
      };
      static_assert(whole,
                    "reduce<R>(): R needs a public void reduce(Key key, troupe::values<Value>& values, emitter& "
                    "emit)");
      if constexpr (same_key && same_value && whole)
        return group_node<Left, R>{};
      else
        return broken{};
    } else {
      return broken{};
    }
  }
}

template <class Left>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, distinct_part) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "distinct() stands behind something that gives records");
    return element_node<fold_node<element_node<Left, map_op<to_key>>, keep_nothing>, map_op<key_only>>{};
  }
}

template <class Left>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, estimate_part) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "approximate_distinct() stands behind something that gives records");
    if constexpr (pipeline_node<Left>)
      return total_node<Left, distinct_estimate<typename Left::record>>{};
    else
      return broken{};
  }
}

template <class Left>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, kept_part) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "keep() stands behind something that gives records");
    return kept_node<Left>{};
  }
}

template <class Left, class Other>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, union_part<Other>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left> && pipeline_node<Other>,
                  "union_with(other): both sides must give records; other is a pipeline without write()");
    if constexpr (pipeline_node<Left> && pipeline_node<Other>) {
      static_assert(std::same_as<typename Left::record, typename Other::record>,
                    "union_with(other): both sides must give records of the same type; use map(f) on one of them");
      return union_node<Left, Other>{};
    } else {
      return broken{};
    }
  }
}

template <class Left, std::size_t Count, class By>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, top_part<Count, By>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "top<K>(by) stands behind something that gives records");
    if constexpr (pipeline_node<Left>) {
      constexpr bool callable = std::is_invocable_v<By&, const typename Left::record&>;
      static_assert(callable, "top<K>(by): by cannot be called with the records that come here");
      if constexpr (callable) {
        using rank = std::remove_cvref_t<std::invoke_result_t<By&, const typename Left::record&>>;
        constexpr bool ordered = requires(const rank& a, const rank& b) {
          { a < b } -> std::convertible_to<bool>;
        };
        static_assert(ordered, "top<K>(by): what by gives cannot be compared with <");
        return top_node<Left, By, Count>{};
      } else {
        return broken{};
      }
    } else {
      return broken{};
    }
  }
}

template <class Left>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, write_part sink) {
  constexpr bool whole = [] {
    if constexpr (pipeline_node<Left>) return !std::same_as<typename Left::record, std::string_view> || !requires {
        Left::format;
      };
    else
      return false;
  }();
  static_assert(whole || is_broken<Left>, "write() ends a pipeline; put map<M>() before it");
  if constexpr (whole)
    return pipeline<Left>{std::move(sink.key_name), std::move(sink.value_name), std::move(sink.output)};
  else
    return broken{};
}

}  // namespace sdk

/// Every line of a dataset of format lines, without its line end. Without a number: of all inputs of the job; with one,
/// of that input, counted from 0: then the job takes exactly the inputs that its pipeline names.
template <std::uint32_t Input = sdk::any_input>
constexpr sdk::source_node<TROUPE_LINES, std::string_view, Input> read_lines() {
  return {};
}
/// Every record of a dataset of format bytes.
template <std::uint32_t Input = sdk::any_input>
constexpr sdk::source_node<TROUPE_BYTES, std::string_view, Input> read_bytes() {
  return {};
}
/// Every record as a described struct; its fields, in order, are the dataset's schema.
template <class Record, std::uint32_t Input = sdk::any_input>
constexpr sdk::source_node<TROUPE_RECORDS, Record, Input> read_records() {
  sdk::check_source_record<Record>();
  return {};
}

/// A mapper, or a class with operator()(const Record&) (and start(parameters, context), if it wants one).
template <class M>
constexpr sdk::map_part<M> map() {
  return {};
}
/// A function of one record: `map([](const order& o) { return std::pair(o.customer, o.price); })`. It may not capture
/// anything, since every task makes its own, on another machine.
template <class F>
constexpr sdk::map_part<F> map(F) {
  static_assert(sdk::is_free<F>,
                "map(f): f may not capture anything; what differs from run to run are parameters, "
                "which a class reads in start()");
  return {};
}
/// Keeps the records for which it says true.
template <class F>
constexpr sdk::filter_part<F> filter() {
  return {};
}
template <class F>
constexpr sdk::filter_part<F> filter(F) {
  static_assert(sdk::is_free<F>,
                "filter(f): f may not capture anything; what differs from run to run are parameters, "
                "which a class reads in start()");
  return {};
}
/// None, one or many records for each: `flat_map<std::string_view>([](auto line, auto& emit) { … emit(word); … })`.
template <class Out, class F>
constexpr sdk::flat_map_part<Out, F> flat_map(F) {
  static_assert(sdk::is_free<F>,
                "flat_map<Out>(f): f may not capture anything; what differs from run to run are "
                "parameters, which a class reads in start()");
  return {};
}
template <class Out, class F>
constexpr sdk::flat_map_part<Out, F> flat_map() {
  return {};
}
/// About N of D records: the same in every run, others with another parameter sample_seed=….
template <std::uint64_t N, std::uint64_t D>
constexpr sdk::sample_part<N, D> sample() {
  static_assert(N <= D && D > 0, "sample<N, D>(): N of D records are kept, so N is at most D");
  return {};
}
/// The values of each key become one; combined on both sides of the shuffle.
template <class F>
constexpr sdk::fold_part<F> fold_by_key() {
  return {};
}
/// All records become one: `fold<troupe::sum>()` behind numbers.
template <class F>
constexpr sdk::total_part<F> fold() {
  return {};
}
/// How many records there are: one number.
constexpr sdk::total_part<troupe::count> count_all() { return {}; }
/// A general reducer, which sees each key once with all its values.
template <class R>
constexpr sdk::reduce_part<R> reduce() {
  return {};
}
/// Each record once. NaN and -0.0 that are whole records count as what they print as.
constexpr sdk::distinct_part distinct() { return {}; }
/// About how many different records there are: one number, within 1 % in two runs of three and 2.5 % in nearly all
/// (standard error 0.81 %), from 16 KiB a task instead of a shuffle of everything. The same in every run.
constexpr sdk::estimate_part approximate_distinct() { return {}; }
/// These records and those of another pipeline, which has no write().
template <class Other>
constexpr sdk::union_part<Other> union_with(Other) {
  return {};
}
/// The K records for which `by` gives most, the greatest first; among equals those that came first. Turn `by` round for
/// the least.
template <std::size_t K, class By>
constexpr sdk::top_part<K, By> top(By) {
  static_assert(sdk::is_free<By>, "top<K>(by): by may not capture anything");
  static_assert(K > 0 && K <= 1'000'000, "top<K>(by): K is 1 to 1,000,000; sort_by orders more");
  return {};
}
template <std::size_t K, class By>
constexpr sdk::top_part<K, By> top() {
  return {};
}
/// Writes the records down where they are, so that several readers need not compute them again.
constexpr sdk::kept_part keep() { return {}; }
/// The end: records of a key and a value (with these names as fields), of a single value (with the first name), or of
/// the described struct that comes here (with its own).
inline sdk::write_part write(std::string key_name = "key", std::string value_name = "value") {
  return {{}, std::move(key_name), std::move(value_name), {}};
}

}  // namespace troupe
