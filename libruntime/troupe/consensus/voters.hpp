#pragma once
#include <optional>
#include <troupe/consensus/types.hpp>
#include <vector>

namespace troupe::consensus {

/// One step from one configuration to the next. Voters change one at a time: then any majority of the old meets any
/// majority of the new (§4.1).
struct member_change {
  enum class kind : std::uint8_t { add_learner, promote, demote, remove };
  kind what = kind::add_learner;
  member_id id;
  friend bool operator==(const member_change&, const member_change&) = default;
};

/// The configuration after the step; nothing when the step changes nothing or would leave no voter.
std::optional<configuration> changed(const configuration& from, const member_change& step);

/// What the metadata leader knows of a member of the cluster.
struct member_view {
  member_id id;
  bool gone = false;       ///< removed, left, or silent for so long (10 min by default) that it is given up
  bool reachable = false;  ///< heard of within its lease
  bool caught_up = false;  ///< a learner close enough to the end of the log
};

/// How many voters `members` should have: 1, then 3 from three members on, then 5 from five.
std::size_t voters_wanted(std::size_t members) noexcept;

/// The next step towards the right voters, or nothing when all is well or nothing can be done now. Deterministic; call
/// it again once the step has committed. Gone members leave first; voters are added only as far as an odd number can be
/// reached, the lowest id first; the leader (`self`) is never demoted.
///   members a b c, voters {a}: b and c become learners, then b a voter, then c.
std::optional<member_change> next_change(const configuration& now, const std::vector<member_view>& members,
                                         const member_id& self);

}  // namespace troupe::consensus
