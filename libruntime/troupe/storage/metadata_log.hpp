#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/format/log_entry.hpp>
#include <troupe/storage/file.hpp>
#include <vector>

namespace troupe::storage {

using format::hard_state;

struct log_entry {
  troupe::term term;
  log_index index;
  bytes payload;
  friend bool operator==(const log_entry&, const log_entry&) = default;
};

struct log_snapshot {
  log_index index;    ///< of the last entry in it
  troupe::term term;  ///< of that entry
  bytes state;
  friend bool operator==(const log_snapshot&, const log_snapshot&) = default;
};

/// A voter's log, its snapshot and its hard state, in DIR (raft/): files log, snapshot and hard_state. Raft-shaped
/// (Ongaro and Ousterhout 2014, sections 5 and 7): entries have consecutive indices from 1 and terms that never go
/// back. One thread, synchronous; whatever returns ok is durable. A failed fsync aborts the process.
///
///   snapshot (…, index 40]     log [31 … 57]      entries at or below the snapshot may be purged, and are not needed
class metadata_log {
 public:
  /// Reads what is there, or starts anew. A torn tail was never acknowledged and is cut; `corrupted` when something
  /// acknowledged is damaged, or when the log begins above what the snapshot ends with: such a member must not go on
  /// with less than it promised. Another cluster's: `failed_precondition`.
  static result<metadata_log> open(std::string directory, const cluster_id& cluster,
                                   file_operations& operations = file_operations::system());

  /// The index of the first entry kept; last().next() when there is none.
  [[nodiscard]] log_index first() const noexcept { return first_; }
  /// The index of the last entry, or of the snapshot, or 0 when everything is empty.
  [[nodiscard]] log_index last() const noexcept { return log_index{first_.value + entries_.size() - 1}; }
  [[nodiscard]] troupe::term last_term() const noexcept;
  /// The term of an entry, also of the snapshot's last; nothing when it is not known here (0 has term 0).
  [[nodiscard]] std::optional<troupe::term> term_at(log_index index) const noexcept;
  /// Bytes of the log file that entries use: a reason to take a snapshot.
  [[nodiscard]] std::uint64_t log_bytes() const noexcept { return end_; }
  /// True when `open` cut something off.
  [[nodiscard]] bool tail_was_cut() const noexcept { return tail_was_cut_; }

  /// Appends a group and syncs once. The first index must be last().next(), the others follow; terms never go back:
  /// else `invalid_argument`. `resource_exhausted` when the disk is full: the log is as it was before.
  result<void> append(std::span<const log_entry> group);

  /// Entries [from, to], at most about `bytes_max` of payload (at least one). `not_found` when they were purged or are
  /// beyond the end.
  [[nodiscard]] result<std::vector<log_entry>> entries(log_index from, log_index to,
                                                       std::size_t bytes_max = 8 << 20) const;

  /// Removes the entry at `index` and all after it: a follower that meets the leader's truth. `invalid_argument` below
  /// first().
  result<void> truncate_from(log_index index);

  /// Index and term of the present snapshot; 0, 0 when there is none.
  [[nodiscard]] log_index snapshot_index() const noexcept { return snapshot_index_; }
  [[nodiscard]] troupe::term snapshot_term() const noexcept { return snapshot_term_; }

  /// Writes a snapshot beside the old one and puts it in its place. One that goes beyond the log, or that disagrees
  /// with it, came from the leader: the log then starts anew behind it. `invalid_argument` when it is older than the
  /// present one.
  result<void> save_snapshot(log_index index, troupe::term term, bytes_view state);
  /// Nothing when there is none.
  [[nodiscard]] result<std::optional<log_snapshot>> load_snapshot() const;

  /// Drops entries below `index` (kept: `index` and later). Never beyond the snapshot: `invalid_argument`. Rewrites the
  /// file, so call it rarely.
  result<void> purge_before(log_index index);

  [[nodiscard]] const hard_state& state() const noexcept { return state_; }
  result<void> save_state(const hard_state& state);

 private:
  metadata_log(std::string directory, const cluster_id& cluster, file_operations& operations)
      : operations_(&operations), directory_(std::move(directory)), cluster_(cluster) {}
  result<void> load_files();
  result<void> load_log();
  /// A new file with the entries from `first` on that are kept, put in the place of the old one.
  result<void> rewrite(log_index first);
  [[nodiscard]] const format::log_entry_place& place(log_index index) const {
    return entries_[index.value - first_.value];
  }

  file_operations* operations_;
  std::string directory_;
  cluster_id cluster_;
  file file_;
  log_index first_{1};
  std::deque<format::log_entry_place> entries_;  ///< positions in the file
  std::uint64_t end_ = 0;                        ///< where the next entry goes
  std::uint64_t reserved_ = 0;                   ///< size of the file: preallocated up to here
  log_index snapshot_index_;
  troupe::term snapshot_term_;
  hard_state state_;
  bool tail_was_cut_ = false;
};

}  // namespace troupe::storage
