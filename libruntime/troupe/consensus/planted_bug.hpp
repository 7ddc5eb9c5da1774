#pragma once
#include <boost/describe/enum.hpp>
#include <cstdint>

namespace troupe::consensus {

/// Mistakes that can be switched on, so that the simulator proves that its checkers find them. `none` everywhere but in
/// `scripts/simulate --bug NAME`. Each is one that a published system or a draft of ours really made.
enum class planted_bug : std::uint8_t {
  none,
  vote_not_persisted,                 ///< a restarted voter votes twice in one term
  vote_before_fsync,                  ///< the answer leaves while the vote is still on its way to the disk
  vote_without_log_check,             ///< a candidate with a short log is elected
  commit_old_term_by_count,           ///< Raft's figure 8
  stale_leader_reads,                 ///< a leader answers reads without asking whether it still leads
  read_before_own_term,               ///< a new leader answers with a commit index older than its predecessor's
  lease_too_long,                     ///< the lease outlasts what the followers promised
  log_cut_below_commit,               ///< any append cuts what follows it, also a late one that conflicts with nothing
  prev_term_not_checked,              ///< an append fits when the index is there, whatever its term
  commit_beyond_match,                ///< a follower believes the leader's commit index before it has compared the logs
  ack_before_fsync,                   ///< a follower acknowledges what a crash takes away
  leader_counts_before_fsync,         ///< so does the leader, with itself
  two_membership_changes,             ///< a change before the one before has committed
  membership_change_before_own_term,  ///< Raft's mailing list, July 2015: two leaders' majorities need not meet
  configuration_not_rolled_back,      ///< a cut configuration entry stays in force
  learner_counts,                     ///< learners' acknowledgements and votes make majorities
  snapshot_without_last_term,         ///< the log behind a snapshot looks old, and votes go wrong
  old_snapshot_installed,             ///< a snapshot that comes late takes back what was committed since
  lost_append_not_resent,             ///< a hang: what a pipeline lost is never sent again
  proposals_not_limited,              ///< a queue without end while there is no majority
};
BOOST_DESCRIBE_ENUM(planted_bug, none, vote_not_persisted, vote_before_fsync, vote_without_log_check,
                    commit_old_term_by_count, stale_leader_reads, read_before_own_term, lease_too_long,
                    log_cut_below_commit, prev_term_not_checked, commit_beyond_match, ack_before_fsync,
                    leader_counts_before_fsync, two_membership_changes, membership_change_before_own_term,
                    configuration_not_rolled_back, learner_counts, snapshot_without_last_term, old_snapshot_installed,
                    lost_append_not_resent, proposals_not_limited)

}  // namespace troupe::consensus
