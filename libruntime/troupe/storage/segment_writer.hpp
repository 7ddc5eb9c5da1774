#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/format/batch.hpp>
#include <troupe/format/segment.hpp>
#include <troupe/storage/direct_output.hpp>
#include <troupe/storage/file.hpp>

namespace troupe::storage {

/// What the header says beside the id.
struct segment_info {
  cluster_id cluster;
  member_id replica;  ///< this node
  dataset_id dataset;
  partition_index partition;
  troupe::epoch epoch;
  format::schema_id schema;
  data_format format = data_format::lines;
  std::int64_t created_at_unix_ms = 0;
  /// Reserved on the disk at once when not 0, so that a full one shows early; from direct_bytes_min on the file is
  /// written past the page cache.
  std::uint64_t expected_bytes = 0;
};

/// What a batch's header says beside its place. The file is a function of these and the payloads: writers that are
/// given the same write the same batches.
struct append_info {
  std::int64_t append_time_unix_ms = 0;
  record_offset high_water_mark;
  uuid producer;
  std::uint64_t producer_sequence = 0;
};

/// Writes one segment file, batch by batch. Made by segment_store::create; one thread at a time. Without `seal` the
/// file is removed with the writer. After any error of `append` or `seal` the file is gone and every further call is
/// refused.
class segment_writer {
 public:
  segment_writer(segment_writer&& other) noexcept;
  segment_writer& operator=(segment_writer&& other) noexcept;
  ~segment_writer();

  /// Appends one batch; the payload goes to the operating system without a copy of ours, save past the cache. It holds
  /// `records` whole records (at least 1). `resource_exhausted`: the disk is full and the file is removed.
  /// `invalid_argument`: no records, or a payload above batch_payload_bytes_max.
  result<void> append(bytes_view payload, std::uint32_t records, const append_info& info = {});

  /// Appends a batch that was encoded elsewhere (a replica, a repair): header and payload, checked first: crc, segment
  /// id, and that its first offset is the next one. `corrupted` when it does not fit; then nothing is written and the
  /// writer goes on.
  result<void> append_encoded(bytes_view batch);

  /// Makes what was appended durable now, at the first call also the file's name. Aborts the process when the disk
  /// fails.
  result<void> sync();

  /// Writes the footer, syncs file and directory. The segment is then durable and complete; only then does a
  /// replacement take the place of the file that was there. `resource_exhausted` as above. With `expected`: `corrupted`
  /// when something else was written.
  result<format::segment_summary> seal(const std::optional<format::segment_summary>& expected = {});

  [[nodiscard]] segment_id id() const noexcept { return id_; }
  [[nodiscard]] record_offset next_offset() const noexcept { return builder_.next_offset(); }
  [[nodiscard]] std::uint64_t file_bytes() const noexcept { return builder_.file_bytes(); }
  [[nodiscard]] std::uint64_t payload_bytes() const noexcept { return builder_.payload_bytes(); }

 private:
  friend class segment_store;
  segment_writer(file_operations& operations, std::string directory, file f, segment_id id)
      : operations_(&operations), directory_(std::move(directory)), file_(std::move(f)), id_(id), builder_(id) {}
  [[nodiscard]] result<void> write(std::span<const bytes_view> parts, std::uint64_t position);
  result<void> write_batch(const format::batch_header& header, const char* raw_header, bytes_view payload);
  [[nodiscard]] result<void> check_open() const;
  void discard() noexcept;

  file_operations* operations_;
  std::string directory_;
  file file_;                              ///< closed once sealed or given up
  std::unique_ptr<direct_output> direct_;  ///< when it is written past the page cache
  segment_id id_;
  format::segment_builder builder_;
  bool name_is_durable_ = false;
  std::string replaces_;  ///< the file that it takes the place of when it is whole; empty: it has its own name
};

}  // namespace troupe::storage
