#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/format/batch.hpp>
#include <troupe/format/segment.hpp>
#include <troupe/storage/file.hpp>
#include <troupe/storage/segment_writer.hpp>

namespace troupe::storage {

class segment_store;

/// What the log protocol's replica orders of its disk: segments that grow. One for each open file, used by one thread
/// at a time; reads may run beside it. Unlike a segment_writer's, its file stays when the object goes: what a crash
/// leaves is what a fence looks at.
class open_segment {
 public:
  /// Creates ID.seg, its header and name durable, with room for `expected_bytes`, or for as much as may be set aside of
  /// what is free: a sixteenth, so that logs that are hardly used do not fill a small disk. `already_exists` when there
  /// is a file, `resource_exhausted` when the disk is full; then nothing stays.
  static result<open_segment> create(file_operations& operations, const std::string& directory, segment_id id,
                                     const segment_info& info);

  /// Writes whole batches behind what is there; they were checked by whoever orders it. `resource_exhausted`: the disk
  /// is full, and a torn tail may stay.
  result<void> append(std::uint64_t at_bytes, bytes_view batches);
  /// Makes it durable. A failure ends the process.
  void sync();

  [[nodiscard]] segment_id id() const noexcept { return id_; }
  [[nodiscard]] std::uint64_t file_bytes() const noexcept { return builder_.file_bytes(); }
  [[nodiscard]] std::uint64_t records() const noexcept { return builder_.next_offset().value; }

  /// Whole batches from the one that holds record `from` on, below record `below`, about `bytes_max` but at least one;
  /// every checksum checked. Empty when there is none. Any thread.
  [[nodiscard]] result<bytes> read(record_offset from, record_offset below, std::size_t bytes_max) const;

  struct outcome {
    format::segment_summary summary;
    std::int64_t last_append_unix_ms = 0;
    format::producer_table producers;
  };
  /// Cuts to exactly `records` and `file_bytes`, which must be a border of batches, writes the footer, syncs; with
  /// `verify` every batch is read back and checked before. The object is of no use then.
  result<outcome> seal(std::uint64_t records, std::uint64_t file_bytes, bool verify);

 private:
  open_segment(file f, segment_id id)
      : file_(std::move(f)), id_(id), builder_(id), mutex_(std::make_unique<std::mutex>()) {}
  file file_;
  segment_id id_;
  format::segment_builder builder_;
  std::unique_ptr<std::mutex> mutex_;  ///< of the builder, for readers beside the writer
  std::int64_t last_append_unix_ms_ = 0;
};

/// Seals a file that an earlier start left open, or cuts a sealed one back: checks every batch up to there first.
/// `corrupted` when it is not intact so far.
result<open_segment::outcome> seal_closed(file_operations& operations, const std::string& directory, segment_id id,
                                          std::uint64_t records, std::uint64_t file_bytes);

/// Makes a file that nobody counts any more (an earlier start left it open, or its seal was never heard of) the copy
/// that metadata lists: as seal_closed, and nothing is changed unless the batches up to there are exactly `expected`.
/// `corrupted` when they are not.
result<void> adopt_closed(file_operations& operations, const std::string& directory, segment_id id,
                          const format::segment_summary& expected);

/// What the footer of a sealed file says, for a leader that takes over behind it.
result<open_segment::outcome> read_footer(file_operations& operations, const std::string& directory, segment_id id);

/// The batches of an unsealed or sealed file below record `below`, by pread, for jobs that read the beginning of an
/// open segment. As open_segment::read.
result<bytes> read_batches(file_operations& operations, const std::string& path, segment_id id, record_offset from,
                           record_offset below, std::size_t bytes_max);

}  // namespace troupe::storage
