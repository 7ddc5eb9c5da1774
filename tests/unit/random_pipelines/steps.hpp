#pragma once
#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <troupe/sdk.hpp>
#include <vector>

/// The operators that random pipelines are made of. A step takes records of one type and gives records of the same, so
/// that any may follow any; and it says in plain sequential code what it must have given. The order between records is
/// only said by steps that sort.
namespace random_pipelines {

using value = std::pair<std::int64_t, double>;
using record = std::pair<std::string, value>;
using records = std::vector<record>;

inline std::uint64_t bits(double x) { return std::bit_cast<std::uint64_t>(x); }
/// An order of its own for records, that knows every NaN.
inline auto rank(const record& r) { return std::tuple(r.first, r.second.first, bits(r.second.second)); }
inline std::int64_t plus(std::int64_t a, std::int64_t b) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

/// Sums, and the greatest bits: the same in any grouping.
struct add_up : troupe::folder<value, value> {
  value init() { return {0, 0.0}; }
  void fold(value& all, const value& v) {
    all.first = plus(all.first, v.first);
    if (bits(v.second) > bits(all.second)) all.second = v.second;
  }
  void merge(value& all, const value& other) { fold(all, other); }
};
inline std::map<std::string, value> added_up(const records& in) {
  std::map<std::string, value> out;
  for (const auto& [k, v] : in) add_up{}.fold(out.try_emplace(k, value{0, 0.0}).first->second, v);
  return out;
}
inline records listed(const std::map<std::string, value>& all) { return {all.begin(), all.end()}; }

constexpr auto own = [](const auto& r) { return record(std::string(r.first), r.second); };
constexpr auto is_odd = [](const auto& r) { return r.second.first % 2 != 0; };
inline records odd_of(const records& in) {
  records out;
  std::copy_if(in.begin(), in.end(), std::back_inserter(out), is_odd);
  return out;
}

struct shorten {
  static constexpr auto f = [](const auto& r) { return record(r.first.substr(0, r.first.size() / 2), r.second); };
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::map(f);
  }
  static records model(records in) {
    for (auto& r : in) r = f(r);
    return in;
  }
};
struct drop {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::filter(is_odd);
  }
  static records model(const records& in) { return odd_of(in); }
};
struct multiply {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::flat_map<record>([](const auto& r, auto& emit) {
             for (std::size_t i = 0; i < r.first.size() % 3; ++i)
               emit(record(std::string(r.first) + std::string(i, '\0'), r.second));
           });
  }
  static records model(const records& in) {
    records out;
    for (const auto& r : in)
      for (std::size_t i = 0; i < r.first.size() % 3; ++i) out.emplace_back(r.first + std::string(i, '\0'), r.second);
    return out;
  }
};
struct fold {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::fold_by_key<add_up>() | troupe::map(own);
  }
  static records model(const records& in) { return listed(added_up(in)); }
};
struct unique {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::distinct();
  }
  static records model(const records& in) {
    records out;
    std::set<decltype(rank(in[0]))> seen;
    for (const auto& r : in)
      if (seen.insert(rank(r)).second) out.push_back(r);
    return out;
  }
};
struct sort {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::sort_by([](const auto& r) { return std::pair(r.second.first, bits(r.second.second)); });
  }
  static records model(records in) {
    std::stable_sort(in.begin(), in.end(), [](const record& a, const record& b) {
      return std::pair(a.second.first, bits(a.second.second)) < std::pair(b.second.first, bits(b.second.second));
    });
    return in;
  }
};
struct both {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::union_with(p | troupe::filter(is_odd));
  }
  static records model(const records& in) {
    auto out = in;
    const auto more = odd_of(in);
    out.insert(out.end(), more.begin(), more.end());
    return out;
  }
};

/// Every pair of values of a key from both sides, as a record.
constexpr auto meet = [](const auto& j) {
  return record(std::string(j.first), value(plus(j.second.first.first, j.second.second.first), j.second.first.second));
};
inline records met(const records& in) {
  records out;
  const auto right = odd_of(in);
  for (const auto& l : in)
    for (const auto& r : right)
      if (l.first == r.first) out.emplace_back(l.first, value(plus(l.second.first, r.second.first), l.second.second));
  return out;
}
struct join {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::join(p | troupe::filter(is_odd)) | troupe::map(meet);
  }
  static records model(const records& in) { return met(in); }
};
struct join_small {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::join_small(p | troupe::filter(is_odd)) | troupe::map(meet);
  }
  static records model(const records& in) { return met(in); }
};
struct lacking {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::anti_join(p | troupe::filter(is_odd)) | troupe::map(own);
  }
  static records model(const records& in) {
    std::set<std::string> odd;
    for (const auto& r : odd_of(in)) odd.insert(r.first);
    records out;
    for (const auto& r : in)
      if (!odd.contains(r.first)) out.push_back(r);
    return out;
  }
};
struct left {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::left_join(p | troupe::filter(is_odd) | troupe::fold_by_key<add_up>()) |
           troupe::map([](const auto& j) {
             const auto& [mine, other] = j.second;
             return record(std::string(j.first), value(other ? plus(mine.first, other->first) : 7, mine.second));
           });
  }
  static records model(records in) {
    const auto right = added_up(odd_of(in));
    for (auto& r : in) {
      const auto found = right.find(r.first);
      r.second.first = found == right.end() ? 7 : plus(r.second.first, found->second.first);
    }
    return in;
  }
};
struct group {
  struct sizes : troupe::reducer<std::string, value, std::string, value> {
    void reduce(std::string_view key, troupe::values<value>& all, emitter& emit) {
      value out{0, 0.0};
      std::uint64_t seen = 0;
      for (const auto& v : all) ++out.first, seen ^= bits(v.second);
      out.second = std::bit_cast<double>(seen);
      emit(key, out);
    }
  };
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::map(own) | troupe::reduce<sizes>();
  }
  static records model(const records& in) {
    std::map<std::string, std::pair<std::int64_t, std::uint64_t>> all;
    for (const auto& [k, v] : in) ++all[k].first, all[k].second ^= bits(v.second);
    records out;
    for (const auto& [k, v] : all) out.emplace_back(k, value(v.first, std::bit_cast<double>(v.second)));
    return out;
  }
};
struct together {
  struct counts : troupe::co_reducer<std::string, value, value, std::string, value> {
    void reduce(std::string_view key, troupe::values<value>& mine, troupe::values<value>& odd, emitter& emit) {
      value out{0, 0.0};
      for (const auto& v : mine) out.first = plus(out.first, v.first);
      for ([[maybe_unused]] const auto& v : odd) out.second += 1;
      emit(key, out);
    }
  };
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::map(own) | troupe::co_group<counts>(p | troupe::filter(is_odd) | troupe::map(own));
  }
  static records model(const records& in) {
    std::map<std::string, value> all;
    for (const auto& r : in) {
      auto& v = all[r.first];
      v.first = plus(v.first, r.second.first);
      v.second += is_odd(r) ? 1 : 0;
    }
    return listed(all);
  }
};
struct best {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::top<5>([](const auto& r) { return rank(record(std::string(r.first), r.second)); });
  }
  static records model(records in) {
    std::sort(in.begin(), in.end(), [](const record& a, const record& b) { return rank(b) < rank(a); });
    if (in.size() > 5) in.resize(5);
    return in;
  }
};
struct number {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::zip_with_index() |
           troupe::map([](const auto& r) { return record("", value(static_cast<std::int64_t>(r.first), 0.5)); });
  }
  static records model(records in) {
    for (std::size_t i = 0; i < in.size(); ++i) in[i] = record("", value(static_cast<std::int64_t>(i), 0.5));
    return in;
  }
};
struct spread {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::repartition() | troupe::keep();
  }
  static records model(const records& in) { return in; }
};
struct beside {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::map_with(p | troupe::count_all(), [](const auto& r, const std::vector<std::uint64_t>& all) {
             return record(std::string(r.first),
                           value(plus(r.second.first, static_cast<std::int64_t>(all.at(0))), r.second.second));
           });
  }
  static records model(records in) {
    for (auto& r : in) r.second.first = plus(r.second.first, static_cast<std::int64_t>(in.size()));
    return in;
  }
};
/// Three rounds; each key's sum is halved.
struct rounds {
  static constexpr auto halve = [](const auto& r) {
    return record(std::string(r.first), value(r.second.first / 2, r.second.second));
  };
  template <class P>
  static constexpr auto apply(P p) {
    return p |
           troupe::iterate<3>([](auto state) { return state | troupe::fold_by_key<add_up>() | troupe::map(halve); });
  }
  static records model(const records& in) {
    auto state = in;
    for (int round = 0; round < 3; ++round) {
      state = fold::model(state);
      for (auto& r : state) r = halve(r);
    }
    return state;
  }
};
/// Until no sum is odd, five rounds at most.
struct until {
  template <class P>
  static constexpr auto apply(P p) {
    return p | troupe::iterate_until<5>(
                   [](auto state) {
                     return state | troupe::map(rounds::halve) | troupe::fold_by_key<add_up>() | troupe::map(own);
                   },
                   [](auto, auto after) { return after | troupe::map([](const auto& r) { return !is_odd(r); }); });
  }
  static records model(const records& in) {
    auto state = in;
    for (int round = 0; round < 5; ++round) {
      for (auto& r : state) r = rounds::halve(r);
      state = fold::model(state);
      if (std::none_of(state.begin(), state.end(), is_odd)) break;
    }
    return state;
  }
};

using steps = std::tuple<shorten, drop, multiply, fold, unique, sort, both, join, join_small, lacking, left, group,
                         together, best, number, spread, beside, rounds, until>;
inline constexpr std::size_t step_count = std::tuple_size_v<steps>;
/// In this one the order of records may depend on how many tasks there were.
template <class Step>
inline constexpr bool reorders = std::same_as<Step, spread>;

/// It keeps a side whole in every task, so that a task's memory must hold that.
template <class Step>
inline constexpr bool broadcasts = std::same_as<Step, beside> || std::same_as<Step, join_small>;

}  // namespace random_pipelines
