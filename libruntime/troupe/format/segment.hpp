#pragma once
#include <boost/describe/class.hpp>
#include <cstdint>
#include <troupe/base/checksum.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/schema.hpp>
#include <troupe/format/batch.hpp>
#include <troupe/format/producer_table.hpp>
#include <vector>

/// A segment file: header of 4 KiB, batches, and once it is sealed a footer. doc/formats/segment.md draws it.
///
///   0        4096                       4096 + file_bytes           end
///   | header | batch | batch | … | batch | footer: index, digest, crc |
///
/// Positions of batches count from the end of the header: position 0 is byte 4096 of the file. Copies on different
/// members differ in the header only.
namespace troupe::format {

using schema_id = number<struct schema_tag>;  ///< XXH3-64 of the schema's codec bytes; 0 when there is no schema

/// 0 for a schema without fields.
schema_id schema_id_of(const schema& s);

inline constexpr std::size_t segment_header_bytes = 4096;
inline constexpr std::uint32_t segment_version = 1;
inline constexpr std::uint32_t footer_version = 2;

struct segment_header {
  cluster_id cluster;
  member_id replica;  ///< whose copy this is
  dataset_id dataset;
  partition_index partition;
  segment_id segment;
  troupe::epoch epoch;  ///< of the partition when the segment was opened
  format::schema_id schema;
  data_format format = data_format::lines;
  std::int64_t created_at_unix_ms = 0;
  friend bool operator==(const segment_header&, const segment_header&) = default;
};

/// Exactly 4096 bytes.
bytes encode_segment_header(const segment_header& header);
/// `corrupted` when magic, crc or a field is wrong; `unsupported` when the version is a newer one.
result<segment_header> decode_segment_header(bytes_view data);

/// What metadata knows about a segment's bytes; equal on every copy.
struct segment_summary {
  std::uint64_t payload_bytes = 0;  ///< what a user thinks of as its size
  std::uint64_t file_bytes = 0;     ///< of the batches region
  std::uint64_t records = 0;
  digest128 digest;  ///< XXH3-128 over the batches region
  friend bool operator==(const segment_summary&, const segment_summary&) = default;
};
BOOST_DESCRIBE_STRUCT(segment_summary, (), (payload_bytes, file_bytes, records, digest))

struct index_entry {
  std::uint64_t position = 0;  ///< of a batch's header within the batches region
  record_offset first_offset;
  friend bool operator==(const index_entry&, const index_entry&) = default;
};

/// A batch gets an index entry when it begins at least this far behind the last entry: every batch of usual size, and
/// at most 4096 entries per 64 MiB.
inline constexpr std::uint64_t index_spacing_bytes = 16 << 10;

struct segment_footer {
  segment_id segment;
  segment_summary summary;
  std::vector<index_entry> index;         ///< ascending; the first entry is position 0 unless the segment is empty
  std::vector<producer_entry> producers;  ///< ascending; also those of the table that the segment began with
  friend bool operator==(const segment_footer&, const segment_footer&) = default;

  /// The last entry at or before `position`: walk on from there. {0, 0} for an empty index.
  [[nodiscard]] index_entry before(std::uint64_t position) const noexcept;
  /// The last entry whose first offset is at or before `offset`.
  [[nodiscard]] index_entry before(record_offset offset) const noexcept;
};

bytes encode_segment_footer(const segment_footer& footer);

/// The last 16 bytes of a sealed file say how long the footer is. Not every file is sealed: `failed_precondition` when
/// they are not a footer's end.
inline constexpr std::size_t footer_trailer_bytes = 16;
result<std::uint64_t> decode_footer_trailer(bytes_view last_16_bytes);
/// `data` is exactly the footer. Checked: magic, version, crc, that the index ascends and stays inside the batches.
result<segment_footer> decode_segment_footer(bytes_view data);

/// A sealed file as a whole, in memory or mapped: `batches` lives as long as the bytes it was made from.
struct segment_view {
  segment_header header;
  segment_footer footer;
  bytes_view batches;

  /// Reads header and footer of a whole file. The batches are checked by whoever goes over them.
  static result<segment_view> of(bytes_view whole_file);

  /// A cursor over the batches that BEGIN in [from, to) of the batches region, found by way of the index. Splits of a
  /// segment that meet end to end therefore see every batch exactly once.
  [[nodiscard]] result<batch_cursor> cursor(std::uint64_t from = 0, std::uint64_t to = ~0ull,
                                            crc_check check = crc_check::every_batch) const;
};

/// Builds footer and summary while batches are appended; used by writers on disk and in the simulator. Belongs to one
/// thread.
class segment_builder {
 public:
  explicit segment_builder(segment_id segment) : segment_(segment) {}

  /// Takes note of a batch that comes next: its 72 header bytes as encoded and its payload. Nothing of them is kept.
  void add(const batch_header& header, const char* raw_header, bytes_view payload);

  [[nodiscard]] record_offset next_offset() const noexcept { return record_offset{summary_.records}; }
  [[nodiscard]] std::uint64_t file_bytes() const noexcept { return summary_.file_bytes; }
  [[nodiscard]] std::uint64_t payload_bytes() const noexcept { return summary_.payload_bytes; }
  [[nodiscard]] std::size_t producers() const noexcept { return producers_.size(); }
  [[nodiscard]] bool knows(const uuid& producer) const noexcept;
  /// Where to begin to look for a record: the last indexed batch whose first offset is at or before it.
  [[nodiscard]] index_entry before(record_offset offset) const noexcept;
  /// The footer of what was added so far.
  [[nodiscard]] segment_footer footer() const;

 private:
  segment_id segment_;
  segment_summary summary_;
  digest128_stream digest_;
  std::vector<index_entry> index_;
  std::vector<producer_entry> producers_;  ///< sorted by producer
};

}  // namespace troupe::format
