#pragma once
#include <optional>
#include <span>
#include <troupe/metadata/state.hpp>
#include <troupe/replication/types.hpp>
#include <vector>

/// Who leads a partition and whose disks get its next segment: functions of the metadata alone, so that every member
/// comes to the same answer without asking. Rendezvous hashing (Thaler and Ravishankar 1998): a member that joins gets
/// its share, one that goes gives its share to all the others, and nothing else moves.
namespace troupe::replication::placement {

/// Members that may lead or get copies, most wanted first for this partition.
[[nodiscard]] std::vector<replica_ref> ranked(const metadata::state& s, const partition_key& where);

/// Replicas for the partition's next segment: `leader` first if it may, then the ranked, without those of `avoid`; at
/// most the dataset's copies.
[[nodiscard]] std::vector<replica_ref> choose_replicas(const metadata::state& s, const partition_key& where,
                                                       const replica_ref& leader, std::span<const replica_ref> avoid);

/// Who should lead when nobody does: the highest-ranked live replica of the open segment, else the highest-ranked
/// member. Nothing when no member is there, or the partition is not.
[[nodiscard]] std::optional<replica_ref> next_leader(const metadata::state& s, const partition_key& where);

/// Partitions that `self` ought to lead: metadata names it as it runs now, or the leader of an open segment is gone and
/// `self` is the next. Who runs a log_leader for one already leaves it alone. Partitions without an open segment get a
/// leader when somebody appends: ask `next_leader` then.
[[nodiscard]] std::vector<partition_key> to_lead(const metadata::state& s, member_id self);

struct gift {
  partition_key where;
  replica_ref to;
};
/// When `self` leads more than its share by more than one: a partition that somebody else ranks higher for and who
/// leads less. At most one at a time, so that shares settle and nothing swings. Given by release_partition.
[[nodiscard]] std::optional<gift> to_give_away(const metadata::state& s, member_id self);

}  // namespace troupe::replication::placement
