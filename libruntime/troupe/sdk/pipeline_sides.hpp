#pragma once
#include <troupe/sdk/more_nodes.hpp>
#include <troupe/sdk/pipeline.hpp>
#include <troupe/sdk/sort.hpp>

/// The operators that order records, number them, or bring two pipelines together; see pipeline.hpp for the others.
namespace troupe {

/// Sees each key of either side once, with the values of both. Derive from it and write
///
///     void reduce(Key key, troupe::values<Left>& left, troupe::values<Right>& right, emitter& emit);
///
/// and start and finish as in a mapper. Keys come in the order of a reducer's.
template <class Key, class Left, class Right, class OutputKey, class OutputValue = void>
struct co_reducer {
  using key_type = Key;
  using left_type = Left;
  using right_type = Right;
  using output_key_type = OutputKey;
  using output_value_type = OutputValue;
  using emitter = typename reducer<Key, Left, OutputKey, OutputValue>::emitter;
};

namespace sdk {

template <class By, bool Descending>
struct sort_part : part {};
struct number_part : part {};
struct spread_part : part {};
template <class Side, class F>
struct with_side_part : part {};
template <class Other, join_kind Kind>
struct join_part : part {};
template <class Other, join_kind Kind>
struct join_small_part : part {};
template <class Other, class R>
struct co_group_part : part {};

template <class T>
concept is_co_reducer = requires {
  typename T::key_type;
  typename T::left_type;
  typename T::right_type;
}
&&std::derived_from<T, co_reducer<typename T::key_type, typename T::left_type, typename T::right_type,
                                  typename T::output_key_type, typename T::output_value_type>>;

template <class Left, class By, bool Descending>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, sort_part<By, Descending>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "sort_by(by) stands behind something that gives records");
    if constexpr (pipeline_node<Left>) {
      constexpr bool callable = std::is_invocable_v<By&, const typename Left::record&>;
      static_assert(callable, "sort_by(by): by cannot be called with the records that come here");
      if constexpr (callable) {
        using rank = std::remove_cvref_t<std::invoke_result_t<By&, const typename Left::record&>>;
        static_assert(can_travel<rank>,
                      "sort_by(by): by must give a number, string, optional, vector, pair or described "
                      "struct of them");
        if constexpr (can_travel<rank>)
          return sort_node<Left, By, Descending>{};
        else
          return broken{};
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
constexpr auto operator|(Left, number_part) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "zip_with_index() stands behind something that gives records");
    return numbered_node<Left>{};
  }
}

template <class Left>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, spread_part) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    static_assert(pipeline_node<Left>, "repartition() stands behind something that gives records");
    return spread_node<Left>{};
  }
}

template <class Left, class Side, class F>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, with_side_part<Side, F>) {
  if constexpr (is_broken<Left> || is_broken<Side>) {
    return broken{};
  } else {
    static_assert(
        pipeline_node<Left> && pipeline_node<Side>,
        "map_with(side, f): it stands behind something that gives records, and so must the side; neither has a "
        "write()");
    if constexpr (pipeline_node<Left> && pipeline_node<Side>) {
      constexpr bool callable =
          std::is_invocable_v<F&, const typename Left::record&, const std::vector<typename Side::record>&>;
      static_assert(callable,
                    "map_with(side, f): f cannot be called with (a record, const std::vector<Record of the side>&)");
      if constexpr (callable)
        return element_node<Left, with_side_op<Side, F>>{};
      else
        return broken{};
    } else {
      return broken{};
    }
  }
}

/// Whether two sides can meet by key, and if not, why.
template <class Left, class Other>
constexpr bool check_sides() {
  static_assert(gives_pairs<Left>(),
                "join(other), co_group(other): they stand behind something that gives keys and values (std::pair)");
  static_assert(gives_pairs<Other>(),
                "join(other), co_group(other): other must give keys and values (std::pair), and has "
                "no write()");
  if constexpr (gives_pairs<Left>() && gives_pairs<Other>()) {
    constexpr bool same = std::same_as<typename key_bytes<key_of<Left>>::view, typename key_bytes<key_of<Other>>::view>;
    static_assert(same,
                  "join(other), co_group(other): the keys of the two sides differ in type; use map(f) on one side");
    return same;
  }
  return false;
}

template <class Left, class Other, join_kind Kind>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, join_part<Other, Kind>) {
  if constexpr (is_broken<Left> || is_broken<Other>)
    return broken{};
  else if constexpr (check_sides<Left, Other>())
    return join_node<Left, Other, Kind>{};
  else
    return broken{};
}

template <class Left, class Other, join_kind Kind>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, join_small_part<Other, Kind>) {
  if constexpr (is_broken<Left> || is_broken<Other>)
    return broken{};
  else if constexpr (check_sides<Left, Other>())
    return element_node<Left, join_small_op<Other, Kind>>{};
  else
    return broken{};
}

template <class Left, class Other, class R>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, co_group_part<Other, R>) {
  if constexpr (is_broken<Left> || is_broken<Other>) {
    return broken{};
  } else if constexpr (check_sides<Left, Other>()) {
    static_assert(is_co_reducer<R>,
                  "co_group<R>(other): R must derive from troupe::co_reducer<Key, Left, Right, …> (publicly)");
    if constexpr (is_co_reducer<R>) {
      constexpr bool same =
          std::same_as<typename key_bytes<typename R::key_type>::view, typename key_bytes<key_of<Left>>::view> &&
          std::same_as<typename R::left_type, value_of<Left>> && std::same_as<typename R::right_type, value_of<Other>>;
      static_assert(same, "co_group<R>(other): R's Key, Left or Right differ from what the two sides give");
      constexpr bool whole =
          requires(R r, const typename key_bytes<typename R::key_type>::view& key, values<typename R::left_type>& left,
                   values<typename R::right_type>& right, typename R::emitter& emit) {
        r.reduce(key, left, right, emit);
      };
      static_assert(
          whole,
          "co_group<R>(other): R needs a public void reduce(Key, troupe::values<Left>&, troupe::values<Right>&, "
          "emitter&)");
      if constexpr (same && whole)
        return co_group_node<Left, Other, R>{};
      else
        return broken{};
    } else {
      return broken{};
    }
  } else {
    return broken{};
  }
}

}  // namespace sdk

/// All records of all partitions in the order of what `by` gives (numbers, texts by bytes, pairs and structs field by
/// field; NaN last); records for which it gives the same keep their order. Larger than memory is fine.
template <class By>
constexpr sdk::sort_part<By, false> sort_by(By) {
  static_assert(sdk::is_free<By>, "sort_by(by): by may not capture anything");
  return {};
}
/// The same with the greatest first.
template <class By>
constexpr sdk::sort_part<By, true> sort_by_descending(By) {
  static_assert(sdk::is_free<By>, "sort_by_descending(by): by may not capture anything");
  return {};
}
/// Records with their numbers, from 0, in the order of the tasks: std::pair<std::uint64_t, Record>.
constexpr sdk::number_part zip_with_index() { return {}; }
/// The same records evenly over all partitions.
constexpr sdk::spread_part repartition() { return {}; }

/// `f(record, all)` for each record, where `all` is a std::vector of the side's records, in order: a broadcast. The
/// side must fit into a task's memory.
template <class Side, class F>
constexpr sdk::with_side_part<Side, F> map_with(Side, F) {
  static_assert(sdk::is_free<F>, "map_with(side, f): f may not capture anything");
  return {};
}

/// Pairs whose keys are on both sides: key, (value of the left, value of the right). Ordered by key.
template <class Other>
constexpr sdk::join_part<Other, sdk::join_kind::inner> join(Other) {
  return {};
}
/// Every pair of the left side; where the right side lacks the key, its value is none: key, (value, optional).
template <class Other>
constexpr sdk::join_part<Other, sdk::join_kind::left> left_join(Other) {
  return {};
}
/// Pairs of the left side whose keys the right side has.
template <class Other>
constexpr sdk::join_part<Other, sdk::join_kind::semi> semi_join(Other) {
  return {};
}
/// Pairs of the left side whose keys the right side lacks.
template <class Other>
constexpr sdk::join_part<Other, sdk::join_kind::anti> anti_join(Other) {
  return {};
}
/// The same with a right side that fits into every task's memory: the left side stays where it is, in its order.
template <class Other>
constexpr sdk::join_small_part<Other, sdk::join_kind::inner> join_small(Other) {
  return {};
}
template <class Other>
constexpr sdk::join_small_part<Other, sdk::join_kind::left> left_join_small(Other) {
  return {};
}
template <class Other>
constexpr sdk::join_small_part<Other, sdk::join_kind::semi> semi_join_small(Other) {
  return {};
}
template <class Other>
constexpr sdk::join_small_part<Other, sdk::join_kind::anti> anti_join_small(Other) {
  return {};
}
/// Each key of either side with the values of both; R derives from co_reducer.
template <class R, class Other>
constexpr sdk::co_group_part<Other, R> co_group(Other) {
  return {};
}

}  // namespace troupe
