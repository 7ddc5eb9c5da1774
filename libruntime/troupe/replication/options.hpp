#pragma once
#include <chrono>
#include <troupe/base/limits.hpp>
#include <troupe/replication/messages.hpp>
#include <troupe/replication/planted_bug.hpp>
#include <troupe/replication/types.hpp>

namespace troupe::replication {

using namespace std::chrono_literals;

/// Of a member's replica.
struct replica_options {
  cluster_id cluster;
  replica_ref self;
  std::size_t unsynced_bytes_max = 64 << 20;  ///< written and not yet synced, of one segment: then `busy`
  std::size_t open_segments_max = 100'000;    ///< as many as there are partitions
  std::size_t readers_waiting_max = 10'000;   ///< long polls: then `busy`
  duration read_wait_max = 30s;
  duration report_interval = 10s;      ///< of files that can't be created or written
  std::size_t closed_kept_max = 4096;  ///< closed segments whose promise and state stay in memory
  planted_bug bug = planted_bug::none;
};

/// Of a partition's leader.
struct leader_options {
  cluster_id cluster;
  replica_ref self;
  partition_key where;
  std::uint64_t segment_bytes = limits::segment_bytes;  ///< roll here
  std::size_t queue_bytes_max = 64 << 20;               ///< of payload taken and not yet acknowledged: then refused
  std::size_t queue_requests_max = 65'536;              ///< the same by count
  std::size_t in_flight_bytes_max = 16 << 20;   ///< sent and not yet durable everywhere; the rest waits in the queue
  std::size_t group_bytes = batches_bytes_max;  ///< small appends that wait share a message up to here
  duration append_time_max = 10s;               ///< then an append is answered «not known»; a retry finds out
  duration grace = 300ms;                       ///< for further answers once a fence has a sure one
  duration resend_interval = 40ms;              ///< of what is not acknowledged
  duration marks_delay = 2ms;                   ///< of a high-water mark that no append carries, to other members
  duration replica_silence_max = 400ms;         ///< with something unacknowledged: then the segment is frozen
  duration suspect_time = 5s;                   ///< a replica that failed gets no new segment for so long
  duration suspect_time_max = 30s;              ///< it doubles to this for one that refuses again when its time is up
  duration retry_interval = 250ms;              ///< when too few members are there, or metadata can't be reached
  duration widen_interval = 2s;                 ///< at least, between rolls that only add a copy
  duration producer_expiry = 24h;               ///< a producer silent for so long is forgotten
  std::int64_t clock_skew_ms_max = 1000;        ///< append times run at most so far ahead of all other replicas' clocks
  planted_bug bug = planted_bug::none;
};

}  // namespace troupe::replication
