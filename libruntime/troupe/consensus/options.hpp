#pragma once
#include <cstdint>
#include <troupe/consensus/planted_bug.hpp>
#include <troupe/consensus/types.hpp>

namespace troupe::consensus {

enum class read_mode : std::uint8_t {
  read_index,  ///< asks a majority for every group of reads: needs no clock
  lease,  ///< answers at once while a majority has promised not to elect anyone; needs clocks that run equally fast
          ///< within `clock_drift_ppm_max`
};

/// The same for every member of a cluster, except self and seed.
struct options {
  cluster_id cluster;
  member_id self;
  std::uint64_t seed = 1;  ///< of election timeouts: random bits, different on every member and start

  std::chrono::milliseconds heartbeat_interval{40};
  std::chrono::milliseconds election_timeout{150};  ///< a follower campaigns after 1 to 2 times this much silence
  std::chrono::milliseconds disk_stall_max{300};    ///< a leader whose write takes longer gives way
  read_mode reads = read_mode::read_index;
  std::uint32_t clock_drift_ppm_max = 10'000;  ///< between any two members, for `lease`: 1 %

  std::size_t batch_bytes = 256 << 10;     ///< of entries in one append_request, at least one entry
  std::size_t batch_entries_max = 1024;    ///< the same by count; at most message_entries_max
  std::size_t appends_in_flight_max = 32;  ///< of one follower, before it acknowledges: bounds what waits at a slow one
  std::size_t uncommitted_entries_max =
      4096;  ///< then proposals are refused: the caller's queue is the right place to wait
  std::size_t uncommitted_bytes_max = 32 << 20;  ///< the same by size
  std::size_t reads_waiting_max = 4096;          ///< then reads are refused
  std::size_t held_messages_max = 1024;          ///< answers waiting for the disk; the oldest is dropped, as if lost
  std::size_t snapshot_chunk_bytes = 512 << 10;
  std::size_t entries_kept_behind_snapshot = 1024;  ///< so that a follower that is a little late needs no snapshot
  std::size_t learner_lag_max = 64;                 ///< entries: a learner this close may become a voter

  planted_bug bug = planted_bug::none;
};

}  // namespace troupe::consensus
