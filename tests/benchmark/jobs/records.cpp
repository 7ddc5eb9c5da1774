#include <boost/describe/class.hpp>
#include <troupe/sdk.hpp>

#include "digest.hpp"

/// Records of 100 bytes, lines whose first ten bytes are the key: sorted, and moved about with nothing to combine. What
/// comes out is summed up where it is made.
namespace benchmark {

BOOST_DESCRIBE_STRUCT(row_digest, (), (records, hash, power))
BOOST_DESCRIBE_STRUCT(set_digest, (), (records, hash))

template <class Digest>
struct digest_lines : troupe::folder<Digest, std::string_view> {
  Digest init() const { return {}; }
  void fold(Digest& into, std::string_view line) const { into.add(digest_of(line.data(), line.size())); }
  void merge(Digest& into, const Digest& behind) const { into.append(behind); }
};

constexpr auto sorted =
    troupe::read_lines() | troupe::sort_by([](std::string_view line) { return line.substr(0, 10); });

TROUPE_JOB(sort_records, sorted | troupe::fold<digest_lines<row_digest>>() | troupe::write());
TROUPE_JOB(sort_to_dataset, sorted | troupe::map([](std::string_view line) { return line; }) | troupe::write("line"));
TROUPE_JOB(shuffle_records,
           troupe::read_lines() | troupe::repartition() | troupe::fold<digest_lines<set_digest>>() | troupe::write());

}  // namespace benchmark
