#pragma once
#include <boost/describe/class.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/format/log_entry.hpp>
#include <vector>

/// Raft (Ongaro and Ousterhout 2014; Ongaro's thesis, "§" below) without I/O. doc/design/protocols.md section 1 says
/// what it may hold and must keep.
namespace troupe::consensus {

/// Monotonic time of this member, handed in with every event. Members' clocks need not agree; lease reads bound how
/// fast they drift.
using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::nanoseconds;
using format::hard_state;

enum class entry_kind : std::uint8_t {
  noop,           ///< a new leader's first: committing it commits everything before it (§3.6.2)
  command,        ///< the state machine's
  configuration,  ///< voters and learners from this entry on
};

struct entry {
  troupe::term term;
  log_index index;
  entry_kind kind = entry_kind::noop;
  bytes payload;  ///< the command, or an encoded configuration
  friend bool operator==(const entry&, const entry&) = default;
};
BOOST_DESCRIBE_STRUCT(entry, (), (term, index, kind, payload))

/// Who takes part. In force from the moment its entry is in the log, committed or not (§4.1).
struct configuration {
  std::set<member_id> voters;
  std::set<member_id> learners;  ///< get the log, have no vote
  [[nodiscard]] bool is_voter(const member_id& id) const { return voters.contains(id); }
  [[nodiscard]] bool contains(const member_id& id) const { return voters.contains(id) || learners.contains(id); }
  [[nodiscard]] std::size_t majority() const noexcept { return voters.size() / 2 + 1; }
  friend bool operator==(const configuration&, const configuration&) = default;
};
BOOST_DESCRIBE_STRUCT(configuration, (), (voters, learners))

/// Everything that entries up to `index` led to.
struct snapshot {
  log_index index;
  troupe::term term;  ///< of the entry at `index`; votes are compared with it when the log behind it is empty
  configuration members;
  std::shared_ptr<const bytes> state;
};

/// What this member found on its disk. Entries have consecutive indices; the first is at most the snapshot's index + 1.
struct restored {
  hard_state state;
  snapshot
      latest;  ///< index 0 when there is none; a first start of a cluster has index 0 and the first voter in `members`
  std::vector<entry> entries;
};

}  // namespace troupe::consensus
