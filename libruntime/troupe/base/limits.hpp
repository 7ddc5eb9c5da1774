#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>

/// Every limit in one place, each with its reason.
namespace troupe::limits {

using namespace std::chrono_literals;

// Wire
inline constexpr std::size_t control_message_bytes_max =
    64 * 1024;  ///< on CAF: more delays heartbeats of actors by milliseconds
inline constexpr std::size_t frame_bytes_max =
    (1 << 20) + 4096;                                     ///< a 1 MiB chunk and its header; larger claims are rubbish
inline constexpr std::size_t handshake_bytes_max = 4096;  ///< before anyone is known, little is believed
inline constexpr auto handshake_time_max = 3s;
inline constexpr std::size_t connections_unauthenticated_max = 512;  ///< then the gate closes new ones at once
inline constexpr std::size_t http_body_bytes_max = 64 << 20;         ///< modules; imports stream and have no such limit
inline constexpr std::size_t http_header_bytes_max = 16 << 10;
inline constexpr auto request_time_max = 30s;    ///< a request to another node without a deadline of its own
inline constexpr auto http_idle_time_max = 60s;  ///< a kept-alive connection without a request goes
inline constexpr auto long_poll_time_max = 60s;  ///< then a long poll answers «no change» and is asked again
inline constexpr std::size_t http_connections_max = 1'024;  ///< known clients at once; then 503

// Data
inline constexpr std::size_t batch_bytes = 256 << 10;  ///< aim of a batch's payload: a checksum is checked in 30 µs
inline constexpr std::size_t record_bytes_max = 64 << 20;
inline constexpr std::uint64_t segment_bytes = 64 << 20;  ///< roll here: repair moves this much at once
inline constexpr std::uint64_t split_bytes = 16 << 20;    ///< input of one map task: 40 ms of work, little to lose
inline constexpr std::size_t chunk_bytes_max = 1 << 20;   ///< shuffle block chunks

// Jobs
inline constexpr std::uint32_t attempts_failed_max = 4;  ///< failures of a task's own before the job fails
inline constexpr std::size_t job_log_lines_max = 10'000;
inline constexpr std::size_t events_kept_max = 10'000;
inline constexpr std::size_t jobs_in_history_max = 10'000;
inline constexpr std::size_t members_max = 1'000;
inline constexpr std::size_t partitions_max = 4'096;  ///< of one dataset or one shuffle

// Membership
inline constexpr auto heartbeat_interval = 100ms;
inline constexpr auto lease_time = 1s;

}  // namespace troupe::limits
