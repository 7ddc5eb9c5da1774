#pragma once
#include <troupe/sdk/iterate.hpp>
#include <troupe/sdk/pipeline.hpp>

/// Round after round, a number of times or until something holds; see pipeline.hpp for the other operators.
namespace troupe {

namespace sdk {

template <std::uint32_t Rounds, class Body>
struct iterate_part : part {};
template <std::uint32_t Max, class Body, class Converged>
struct until_part : part {};

/// The beginning and the body's result of an iteration, once they were found to be of one type; else broken.
template <class Begin, class Result>
struct sound_loop {
  using begin = Begin;
  using result = Result;
};
template <class Left, class Body>
constexpr auto check_loop() {
  static_assert(pipeline_node<Left>, "iterate<N>(body) stands behind something that gives records");
  // What the body gives becomes the state again: often the same with views for strings.
  using once = std::invoke_result_t<Body&, loop_node<typename Left::record>>;
  if constexpr (is_broken<once>) {
    return broken{};
  } else {
    static_assert(pipeline_node<once>, "iterate<N>(body): body must give a pipeline without write()");
    using state = typename once::record;
    using result = std::invoke_result_t<Body&, loop_node<state>>;
    constexpr bool steady = std::same_as<typename result::record, state>;
    static_assert(steady, "iterate<N>(body): the body must give records of the type that it takes; use map(f)");
    static_assert(result::mentions_loop, "iterate<N>(body): the body does not use its state");
    static_assert(!Left::mentions_loop, "iterate<N>(body): an iteration within an iteration is not there");
    constexpr bool moves = !leads_to_open<typename result::template branches<loop_open>>::value;
    static_assert(moves,
                  "iterate<N>(body): the body must move the state (fold_by_key, join, keep …); without that, "
                  "write the operators N times");
    static_assert(std::constructible_from<state, const typename Left::record&>,
                  "iterate<N>(body): the beginning is of another type than what the body gives; use map(f)");
    if constexpr (!steady || !moves)
      return broken{};
    else if constexpr (std::same_as<state, typename Left::record>)
      return sound_loop<Left, result>{};
    else
      return sound_loop<element_node<Left, map_op<become_view::to<state>>>, result>{};
  }
}

template <class Left, std::uint32_t Rounds, class Body>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, iterate_part<Rounds, Body>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    using loop = decltype(check_loop<Left, Body>());
    if constexpr (is_broken<loop>)
      return broken{};
    else
      return iterate_node<typename loop::begin, typename loop::result, Rounds>{};
  }
}

template <class Left, std::uint32_t Max, class Body, class Converged>
requires std::derived_from<Left, part>
constexpr auto operator|(Left, until_part<Max, Body, Converged>) {
  if constexpr (is_broken<Left>) {
    return broken{};
  } else {
    using loop = decltype(check_loop<Left, Body>());
    if constexpr (is_broken<loop>) {
      return broken{};
    } else {
      using result = typename loop::result;
      constexpr bool fixed = one_shuffled<typename result::template branches<loop_open>>;
      static_assert(fixed,
                    "iterate_until<Max>(body, converged): behind the last shuffle of the body (fold_by_key, join, "
                    "sort_by …) there may be no keep() and no union_with(other); end it with repartition()");
      using before = loop_node<typename result::record>;
      constexpr bool callable = std::is_invocable_v<Converged&, before, state_node<result>>;
      static_assert(callable,
                    "iterate_until<Max>(body, converged): converged is called with two pipelines, the state before a "
                    "round and behind it: [](auto before, auto after) { return …; }");
      if constexpr (fixed && callable) {
        using says = std::invoke_result_t<Converged&, before, state_node<result>>;
        if constexpr (is_broken<says>) {
          return broken{};
        } else {
          constexpr bool answers = [] {
            if constexpr (pipeline_node<says>) return std::same_as<typename says::record, bool> && says::mentions_loop;
            return false;
          }();
          static_assert(answers,
                        "iterate_until<Max>(body, converged): converged must give a pipeline of bool that uses one of "
                        "its states; the rounds end when all are true");
          if constexpr (answers)
            return until_node<typename loop::begin, result, says, Max>{};
          else
            return broken{};
        }
      } else {
        return broken{};
      }
    }
  }
}

}  // namespace sdk

/// `body(state)` N times: `iterate<10>([](auto ranks) { return ranks | join(links) | …; })`. What does not depend on
/// the state is computed once.
template <std::uint32_t N, class Body>
constexpr sdk::iterate_part<N, Body> iterate(Body) {
  static_assert(sdk::is_free<Body>,
                "iterate<N>(body): body may not capture anything; build the rest of its pipeline "
                "inside, or name it at namespace scope");
  static_assert(N > 0 && N <= 100, "iterate<N>(body): N is 1 to 100");
  return {};
}
/// `body(state)` until `converged(before, after)`, a pipeline of bool made of the states before and behind a round,
/// gives nothing but true; at most Max times. The counter `rounds` says how many there were. The decision is the data's
/// alone, so it is the same in every run.
///
///     iterate_until<50>(body, [](auto before, auto after) {
///       return before | join(after) | map([](const auto& r) { return std::abs(r.second.first - r.second.second) <
///       1e-6; });
///     })
template <std::uint32_t Max, class Body, class Converged>
constexpr sdk::until_part<Max, Body, Converged> iterate_until(Body, Converged) {
  static_assert(sdk::is_free<Body> && sdk::is_free<Converged>,
                "iterate_until<Max>(body, converged): neither may capture anything; build the rest of their pipelines "
                "inside, or name it at namespace scope");
  static_assert(Max >= 2 && Max <= 100, "iterate_until<Max>(body, converged): Max is 2 to 100");
  return {};
}

}  // namespace troupe
