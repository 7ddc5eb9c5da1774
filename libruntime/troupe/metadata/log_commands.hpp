#pragma once
#include <troupe/metadata/model.hpp>

/// Changes of datasets that grow and of where their copies are: doc/design/protocols.md, section 2. Part of the command
/// variant in commands.hpp.
namespace troupe::metadata {

/// A dataset that begins empty; ready at once.
struct create_dataset {
  std::string name;
  data_format format = data_format::lines;
  troupe::schema schema;
  std::uint32_t partitions = 1;
  std::uint32_t copies = 0;  ///< 0: 2, or 1 where there is a single member
  log_settings log;          ///< min_copies 0: one less than copies, at least 1
};
BOOST_DESCRIBE_STRUCT(create_dataset, (), (name, format, schema, partitions, copies, log))

/// What is present changes. A new number of copies counts for segments opened from then on; older ones are repaired up
/// or down to it.
struct alter_dataset {
  std::string name;
  std::optional<std::uint32_t> copies{};
  std::optional<std::uint32_t> min_copies{};
  std::optional<sync_policy> sync{};
  std::optional<std::int64_t> keep_age_ms{};
  std::optional<std::uint64_t> keep_bytes{};
  std::optional<troupe::schema> schema{};  ///< may only add optional fields at the end
};
BOOST_DESCRIBE_STRUCT(alter_dataset, (), (name, copies, min_copies, sync, keep_age_ms, keep_bytes, schema))

/// Compare and set: the partition's epoch goes from `expected` to the next, and `leader` leads. Allowed at once when
/// nobody leads, the same member led, the old leader is dead, restarted or draining, or `old_leader_gone`; else
/// `failed_precondition`. Another epoch than `expected`: `aborted`.
struct take_over {
  dataset_id dataset;
  partition_index partition;
  troupe::epoch expected;
  replica_ref leader;
  bool old_leader_gone = false;  ///< its connection was seen closed, or its dial refused
};
BOOST_DESCRIBE_STRUCT(take_over, (), (dataset, partition, expected, leader, old_leader_gone))

/// A leader gives way in order. The open segment stays as it is, for the next one to fence. `to` is named as the leader
/// and takes over by itself; nobody: whoever is next.
struct release_partition {
  dataset_id dataset;
  partition_index partition;
  troupe::epoch epoch;
  replica_ref leader;
  std::optional<replica_ref> to{};
};
BOOST_DESCRIBE_STRUCT(release_partition, (), (dataset, partition, epoch, leader, to))

/// What the open segment became. `holders` closed it at exactly this length and said so; a holder that was started
/// again, wiped or removed since makes the whole command `aborted`.
struct sealed_segment {
  segment_id id;
  std::uint64_t bytes = 0;
  std::uint64_t file_bytes = 0;
  std::uint64_t records = 0;  ///< 0: nothing was appended; the segment goes without a trace
  digest128 digest;
  std::int64_t last_append_unix_ms = 0;
  std::vector<replica_ref> holders;
};
BOOST_DESCRIBE_STRUCT(sealed_segment, (), (id, bytes, file_bytes, records, digest, last_append_unix_ms, holders))

/// One transaction: seals the open segment (present exactly when there is one) and opens the next at a new epoch, with
/// a new segment id. Without `replicas` nothing is opened. The answer has the partition's new epoch and the new id.
struct seal_and_open {
  dataset_id dataset;
  partition_index partition;
  troupe::epoch epoch;  ///< the partition's, as the leader knows it
  replica_ref leader;
  std::optional<sealed_segment> seal;
  std::vector<replica_ref> replicas;
};
BOOST_DESCRIBE_STRUCT(seal_and_open, (), (dataset, partition, epoch, leader, seal, replicas))

/// A member has a whole copy: copied from `source`, or (source is the member itself) found on its own disk, every byte
/// checked against the digest.
struct add_holder {
  dataset_id dataset;
  segment_id segment;
  replica_ref holder;
  member_id source;  ///< must hold the copy still, unless it is the holder itself
  digest128 digest;
};
BOOST_DESCRIBE_STRUCT(add_holder, (), (dataset, segment, holder, source, digest))

/// A copy that is not needed: the segment has more than its dataset asks for, or the member drains and enough others
/// hold it. Damaged copies go by report_damage.
struct remove_holder {
  dataset_id dataset;
  segment_id segment;
  member_id holder;
};
BOOST_DESCRIBE_STRUCT(remove_holder, (), (dataset, segment, holder))

/// Retention: gives up the sealed segments up to and including `last`. Refused while a running job reads of the
/// partition.
struct trim_partition {
  dataset_id dataset;
  partition_index partition;
  segment_id last;  ///< the last one that goes
};
BOOST_DESCRIBE_STRUCT(trim_partition, (), (dataset, partition, last))

/// On: the member gets no new copies, leads no logs, and its copies move away. Off: as before.
struct drain_member {
  member_id id;
  bool on = true;
};
BOOST_DESCRIBE_STRUCT(drain_member, (), (id, on))

/// Gives a lost member up for good: its copies count as gone, and it may not come back. It must be dead, or have left.
/// Where it has the only copy of something: `failed_precondition` with the count, unless `accept_loss`.
struct remove_member {
  member_id id;
  bool accept_loss = false;
};
BOOST_DESCRIBE_STRUCT(remove_member, (), (id, accept_loss))

}  // namespace troupe::metadata
