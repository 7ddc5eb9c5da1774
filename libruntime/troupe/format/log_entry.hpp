#pragma once
#include <cstdint>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <vector>

/// The bytes of the metadata log: its file header, its entries, the hard state and the snapshot.
/// doc/formats/metadata_log.md draws them.
namespace troupe::format {

inline constexpr std::uint32_t metadata_log_version = 4;
inline constexpr std::size_t log_file_header_bytes = 64;
inline constexpr std::size_t log_entry_header_bytes = 32;
inline constexpr std::size_t log_entry_bytes_max =
    16 << 20;  ///< of one entry: a commit of a job with many segments is below 1 MiB

struct log_file_header {
  cluster_id cluster;
  log_index first;  ///< index of the file's first entry
  friend bool operator==(const log_file_header&, const log_file_header&) = default;
};
bytes encode_log_file_header(const log_file_header& header);
result<log_file_header> decode_log_file_header(bytes_view data);

/// `durable`: the last index that was known to be synced when this entry was written. A bad entry at or below it was
/// acknowledged: damage. One above it may be torn, whatever order the disk wrote the pages of one group in.
struct log_entry_view {
  troupe::term term;
  log_index index;
  log_index durable;
  bytes_view payload;
};
void append_log_entry(bytes& out, const log_entry_view& entry);
/// Appends only the 32 header bytes; the payload is written by the caller right behind it.
void append_log_entry_header(bytes& out, const log_entry_view& entry);
/// Reads the entry that begins at `data`. `corrupted` when it is cut off, or its crc does not fit. Its size is
/// log_entry_header_bytes + payload.size().
result<log_entry_view> decode_log_entry(bytes_view data);

/// Where an entry lies in the bytes that were scanned.
struct log_entry_place {
  std::uint64_t position = 0;
  std::uint32_t payload_bytes = 0;
  troupe::term term;
};
struct log_scan {
  std::vector<log_entry_place> entries;  ///< the good prefix; the i-th has index first + i
  std::uint64_t intact_bytes = 0;
  bool torn = false;  ///< something that is not zeros follows the good prefix, and was never acknowledged
};
/// Reads the entries region of a log file. `corrupted` when an entry that was acknowledged is bad, with its index and
/// position.
result<log_scan> scan_log(bytes_view entries, log_index first);

/// What a voter must never forget. A node that only follows keeps it at zero.
struct hard_state {
  troupe::term term;
  member_id voted_for;  ///< nil: nobody in this term
  friend bool operator==(const hard_state&, const hard_state&) = default;
};
bytes encode_hard_state(const hard_state& state);
result<hard_state> decode_hard_state(bytes_view data);

inline constexpr std::size_t snapshot_header_bytes = 64;
/// `state` is everything that entries up to and including `index` led to.
struct snapshot_view {
  cluster_id cluster;
  log_index index;
  troupe::term term;  ///< of the entry at `index`
  bytes_view state;
};
/// The 64 bytes before the state; the crc covers both.
bytes encode_snapshot_header(const snapshot_view& snapshot);
result<snapshot_view> decode_snapshot(bytes_view file);

}  // namespace troupe::format
