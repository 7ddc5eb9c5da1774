#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/format/batch.hpp>
#include <troupe/format/segment.hpp>
#include <troupe/storage/file.hpp>

namespace troupe::storage {

/// Where whole batches lie: those that begin in what was asked for.
struct batch_range {
  std::uint64_t begin = 0;  ///< a batch's border in the batches region
  std::uint64_t end = 0;    ///< the border behind the last of them
  record_offset first_offset;
  std::uint64_t records = 0;
};

/// Reads a sealed segment by pread, so that an error of the disk is a value and no signal. Made by segment_store::open.
/// Functions are const and may be called from several threads.
class segment_reader {
 public:
  [[nodiscard]] const format::segment_header& header() const noexcept { return header_; }
  [[nodiscard]] const format::segment_footer& footer() const noexcept { return footer_; }
  [[nodiscard]] const format::segment_summary& summary() const noexcept { return footer_.summary; }
  [[nodiscard]] const std::string& path() const noexcept { return file_.path(); }

  /// Reads everything: every crc, the offsets, the digest and the counts of the footer. `corrupted` names the first
  /// thing that is wrong.
  [[nodiscard]] result<void> verify() const;

  /// False stops; an error stops and is passed on. The batch lives until the call returns.
  using batch_callback = std::function<result<bool>(const format::batch_view&)>;
  /// Calls `each` for the batches that begin in [from, to) of the batches region, each with its crc checked.
  /// `corrupted` names file and position.
  result<void> read_batches(std::uint64_t from, std::uint64_t to, const batch_callback& each) const;

  /// Finds the borders of the batches that begin in [from, to), reading headers only near both ends.
  [[nodiscard]] result<batch_range> range(std::uint64_t from, std::uint64_t to) const;

  /// The position of the batch that holds the record, for reading from an offset on. `invalid_argument` beyond the end.
  [[nodiscard]] result<std::uint64_t> position_of(record_offset offset) const;

  /// Bytes of the batches region as they are, unchecked: to send whole batches elsewhere, where a batch_cursor checks
  /// them.
  result<void> read_raw(std::uint64_t position, char* out, std::size_t size) const;

 private:
  friend class segment_store;
  segment_reader(file f, const format::segment_header& header, format::segment_footer footer)
      : file_(std::move(f)), header_(header), footer_(std::move(footer)) {}
  static result<segment_reader> open(file_operations& operations, const std::string& path, segment_id id);
  result<void> walk(std::uint64_t from, std::uint64_t to, bool with_tables, const batch_callback& each) const;
  [[nodiscard]] result<format::batch_header> header_at(std::uint64_t position) const;
  [[nodiscard]] result<format::index_entry> first_at_or_after(std::uint64_t position) const;

  file file_;
  format::segment_header header_;
  format::segment_footer footer_;
};

/// A sealed file mapped read-only, for workers: `view()` lives as long as this. A disk that fails to read a page is a
/// SIGBUS, which a worker may die of and a daemon may not: daemons use segment_reader.
class mapped_segment {
 public:
  /// Errors as of segment_store::open. `id` must be the file's.
  static result<mapped_segment> open(const std::string& path, segment_id id);

  mapped_segment(mapped_segment&& other) noexcept;
  mapped_segment& operator=(mapped_segment&& other) noexcept;
  ~mapped_segment();

  [[nodiscard]] const format::segment_view& view() const noexcept { return view_; }

  /// Tells the kernel that [from, to) of the batches region will be read in order, now.
  void will_read(std::uint64_t from, std::uint64_t to) const noexcept;

 private:
  mapped_segment() = default;
  void* data_ = nullptr;
  std::size_t size_ = 0;
  format::segment_view view_;
};

}  // namespace troupe::storage
