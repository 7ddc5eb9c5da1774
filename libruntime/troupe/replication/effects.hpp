#pragma once
#include <troupe/format/batch.hpp>
#include <troupe/format/producer_table.hpp>
#include <troupe/metadata/commands.hpp>
#include <troupe/replication/messages.hpp>
#include <variant>
#include <vector>

/// What the owners of `replica` and `log_leader` do with what these decided, in the order it was given. Nothing here
/// may block the next event.
namespace troupe::replication {

using disk_number = number<struct disk_tag>;          ///< counts a replica's orders to its disk
using proposal_number = number<struct proposal_tag>;  ///< counts a leader's proposals
using append_id = number<struct append_tag>;          ///< the caller's own, of one append

namespace effects {

/// Hands the message to the connection, or, to oneself, to one's own replica or leader. May be lost.
struct send {
  message what;
};

/// Calls `tick` at this time or soon after; replaces the timer before.
struct set_timer {
  time_point at;
};

// ---- of a replica, to its disk. Orders for one segment are carried out one after the other, in order. ----

/// Creates the segment's file with its header, room reserved, name and header durable; then `created`.
struct create_file {
  disk_number number;
  segment_id segment;
  partition_key where;
  troupe::epoch epoch;
  open_request how;
};
/// Writes whole batches at `at.bytes` of the batches region (storage::open_segment::append); `write_failed` when it
/// can't; when it can, `written`, if there is a number (policy `seal` acknowledges what is written).
struct write_batches {
  disk_number number;
  segment_id segment;
  extent at;
  extent size;
  shared_bytes batches;
};
/// One fdatasync; then `synced`. A failure ends the process.
struct sync_file {
  disk_number number;
  segment_id segment;
};
/// Records the promise durably (storage::promise_log); then `promised`.
struct keep_promise {
  disk_number number;
  segment_id segment;
  troupe::epoch epoch;
};
/// Reads everything that the file has, behind what was ordered before, and scans it with `floor` known; then
/// `inspected`. A file that is not there is an answer too.
struct inspect_file {
  disk_number number;
  segment_id segment;
  record_offset floor;
};
/// Cuts the file to `length`, writes the footer, syncs, closes; then `sealed`. A file that is sealed is cut back to its
/// batches first.
struct seal_file {
  disk_number number;
  segment_id segment;
  extent length;
  bool verify = false;  ///< every batch is read back and checked before
};
/// Reads the footer of a sealed file; then `footer_read`.
struct read_footer {
  disk_number number;
  segment_id segment;
};
/// Reads whole batches from the one that holds record `from` on, up to record `below` and about `bytes_max` (at least
/// one batch); then `batches_read`.
struct read_batches {
  disk_number number;
  segment_id segment;
  record_offset from;
  record_offset below;
  std::size_t bytes_max = 0;
};
/// Reads a sealed file, every byte, and compares its digest; then `verified`.
struct verify_file {
  disk_number number;
  segment_id segment;
  digest128 digest;
};
/// Nothing more will be ordered for it: its descriptor may be closed. `forget_promise`: nor will anybody fence it.
struct release_file {
  segment_id segment;
  bool forget_promise = false;
};

// ---- of a leader ----

/// Proposes to metadata under a request id of its own, again with the same id until it is answered; then `answered`.
struct propose {
  proposal_number number;
  metadata::command what;
};

struct appended {
  /// Within the partition, as readers count. Of a duplicate that retention has removed since, only that it lies before
  /// the first record that is left.
  record_offset first_offset;
  std::uint32_t count = 0;
  bool duplicate = false;  ///< an earlier try had done it
};
/// The end of an append that was accepted.
struct answer_append {
  append_id id;
  result<appended> answer;
};

/// The leader has ended: another leads, or it can't. Drop it. What waited was answered before.
struct stopped {
  std::string why;
};

/// For logs, events and `describe`; never of the batch path.
struct report {
  std::string what;
  bool alarm = false;  ///< records are lost or copies differ: somebody has to look
};

}  // namespace effects

using replica_effect =
    std::variant<effects::send, effects::set_timer, effects::create_file, effects::write_batches, effects::sync_file,
                 effects::keep_promise, effects::inspect_file, effects::seal_file, effects::read_footer,
                 effects::read_batches, effects::verify_file, effects::release_file, effects::report>;

using leader_effect = std::variant<effects::send, effects::set_timer, effects::propose, effects::answer_append,
                                   effects::stopped, effects::report>;

/// What an inspection found.
struct inspection {
  bool exists = false;
  bool sealed = false;
  format::scan_result scan;
  record_offset known;  ///< of the file's own header or footer; 0 when there is none
};

/// What a seal made.
struct seal_outcome {
  format::segment_summary summary;
  std::int64_t last_append_unix_ms = 0;
  format::producer_table producers;
};

}  // namespace troupe::replication
