#include <boost/describe/class.hpp>
#include <troupe/sdk.hpp>

#include "digest.hpp"

/// Pairs of numbers, grouped and joined.
namespace benchmark {

struct pair {
  std::uint64_t key = 0;
  std::uint64_t value = 0;
};
BOOST_DESCRIBE_STRUCT(pair, (), (key, value))
BOOST_DESCRIBE_STRUCT(set_digest, (), (records, hash))

using sums = std::pair<std::uint64_t, std::uint64_t>;
using joined = std::pair<std::uint64_t, std::pair<std::uint64_t, std::uint64_t>>;

template <class Record>
struct digest_all : troupe::folder<set_digest, Record> {
  set_digest init() const { return {}; }
  void fold(set_digest& into, const Record& record) const {
    if constexpr (std::is_same_v<Record, sums>)
      into.add(digest_of(record.first, record.second));
    else
      into.add(digest_of(record.first, record.second.first, record.second.second));
  }
  void merge(set_digest& into, const set_digest& other) const { into.append(other); }
};

struct as_pair {
  sums operator()(const pair& p) const { return {p.key, p.value}; }
};

TROUPE_JOB(group_by, troupe::read_records<pair>() | troupe::map<as_pair>() | troupe::fold_by_key<troupe::sum>() |
                         troupe::fold<digest_all<sums>>() | troupe::write());

constexpr auto left = troupe::read_records<pair, 0>() | troupe::map<as_pair>();
constexpr auto right = troupe::read_records<pair, 1>() | troupe::map<as_pair>();

TROUPE_JOB(join, left | troupe::join(right) | troupe::fold<digest_all<joined>>() | troupe::write());
TROUPE_JOB(join_small, left | troupe::join_small(right) | troupe::fold<digest_all<joined>>() | troupe::write());

}  // namespace benchmark
