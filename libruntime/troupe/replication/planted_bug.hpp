#pragma once
#include <boost/describe/enum.hpp>
#include <cstdint>

namespace troupe::replication {

/// Mistakes that can be switched on, so that the simulator proves that its checkers find them. `none` everywhere but in
/// `scripts/simulate --protocol log --bug NAME`.
enum class planted_bug : std::uint8_t {
  none,
  ack_before_fsync,          ///< a replica says «durable» when it has only written
  fence_not_kept,            ///< a replica forgets its promise when it starts again
  fence_ignored,             ///< a replica takes appends of an epoch below its promise
  seal_below_floor,          ///< a leader seals at a length below a high-water mark that it was told
  seal_by_unsure_alone,      ///< a torn copy decides the length of a seal
  seal_shortest,             ///< a leader seals at the shortest answer
  duplicate_after_retry,     ///< no table of producers: every retry is appended again
  table_not_carried,         ///< a new leader begins with an empty table of producers
  acknowledge_first_copy,    ///< a leader acknowledges when one replica has it
  restart_keeps_open,        ///< a member that starts again goes on with its open segments
  offsets_not_checked,       ///< a replica appends whatever comes next
  late_fence_answer_counts,  ///< answers of a fence count whatever segment they are of
  freeze_goes_on,            ///< a frozen leader goes on appending to the segment that it seals
  damaged_is_sure,           ///< rot is not looked for when a fence asks
  digest_not_compared,       ///< a repaired copy counts without a look at its digest
  marks_not_pushed,          ///< an idle leader does not say that the last record may be read
  queue_not_limited,         ///< appends are taken in without end
  append_time_goes_back,     ///< the clock's time is written, whatever came before
  seal_not_verified,         ///< rot in the only copy that is left is sealed in
  same_epoch_reopened,       ///< the next segment is opened at the epoch of the take-over
};
BOOST_DESCRIBE_ENUM(planted_bug, none, ack_before_fsync, fence_not_kept, fence_ignored, seal_below_floor,
                    seal_by_unsure_alone, seal_shortest, duplicate_after_retry, table_not_carried,
                    acknowledge_first_copy, restart_keeps_open, offsets_not_checked, late_fence_answer_counts,
                    freeze_goes_on, damaged_is_sure, digest_not_compared, marks_not_pushed, queue_not_limited,
                    append_time_goes_back, seal_not_verified, same_epoch_reopened)

}  // namespace troupe::replication
