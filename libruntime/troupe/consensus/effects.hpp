#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <troupe/consensus/messages.hpp>
#include <troupe/consensus/types.hpp>
#include <variant>
#include <vector>

namespace troupe::consensus {

using persist_number = number<struct persist_tag>;  ///< counts persist effects of one start, from 1
using read_id = number<struct read_tag>;            ///< the caller's own

enum class role : std::uint8_t { follower, pre_candidate, candidate, leader };

/// What the owner does with what `raft` decided, in the order it was given. Nothing here may block the next event.
namespace effects {

/// Hands the message to the connection. May be lost.
struct send {
  message what;
};

/// Writes to the disk, all of it, in the order of the members and of the effects, and then calls
/// `raft::persisted(number)`. One call may acknowledge several. When it fails: `raft::disk_failed`, and the process
/// ends; an fsync is never tried again.
struct persist {
  persist_number number;
  std::optional<hard_state> state;
  std::optional<log_index> truncate_from;
  std::vector<entry> entries;
  std::optional<snapshot> save;  ///< one of the leader's may go beyond the log: the log then starts anew behind it
  std::optional<log_index> purge_before;  ///< entries below are not needed any more
};

/// Calls `raft::tick` at this time or soon after; replaces the timer before.
struct set_timer {
  time_point at;
};

/// Applies these to the state machine, in order. Commands are committed for good; noops and configurations come too, so
/// that indices have no gaps.
struct apply {
  std::vector<entry> entries;
};

/// Replaces the state machine by the snapshot's.
struct restore {
  snapshot from;
};

/// The state machine now has everything that was committed when the read was asked for.
struct read_ready {
  read_id id;
};
/// Ask again, here or at another member: leadership was lost, or the leader could not be asked in time.
struct read_failed {
  read_id id;
};

/// For logs, metrics and callers that wait: a proposal of a term that has ended may or may not commit.
struct role_changed {
  role now = role::follower;
  troupe::term term;
  member_id leader;  ///< nil when unknown
};

/// The configuration in force has changed (not necessarily committed).
struct members_changed {
  configuration members;
};

/// Something that no correct member would have sent; it was ignored. Log it loudly: two members disagree about
/// committed entries.
struct alarm {
  std::string what;
};

}  // namespace effects

using effect = std::variant<effects::send, effects::persist, effects::set_timer, effects::apply, effects::restore,
                            effects::read_ready, effects::read_failed, effects::role_changed, effects::members_changed,
                            effects::alarm>;

}  // namespace troupe::consensus
