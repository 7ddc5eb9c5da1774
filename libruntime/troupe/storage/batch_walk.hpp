#pragma once
#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <troupe/format/batch.hpp>
#include <troupe/format/segment.hpp>
#include <troupe/storage/file.hpp>

/// Of this room only: over the batches of a file by pread, in pieces, for files that are sealed, open or in doubt.
namespace troupe::storage {

/// Gives the bytes of [from, to) of a file's batches region a piece at a time, from a buffer that is used again: a
/// segment of small appends has hundreds of thousands of batches, and fresh memory is dearer than the page cache.
class batch_buffer {
 public:
  batch_buffer(const file& f, std::uint64_t from, std::uint64_t to) : file_(f), position_(from), to_(to) {}

  /// At least `least` bytes from the present position on; `corrupted` when the file has fewer.
  result<bytes_view> ahead(std::size_t least) {
    if (have_ - begin_ < least) TROUPE_TRY_VOID(fill(least));
    return bytes_view(buffer_.get() + begin_, have_ - begin_);
  }
  void skip(std::size_t size) {
    begin_ += size;
    position_ += size;
  }
  [[nodiscard]] std::uint64_t position() const noexcept { return position_; }
  [[nodiscard]] std::uint64_t left() const noexcept { return to_ - position_; }

 private:
  /// The first piece is small: a reader may want one record.
  static constexpr std::size_t piece_bytes_min = 64 << 10, piece_bytes_max = 1 << 20;

  result<void> fill(std::size_t least) {
    const auto rest = have_ - begin_;
    const auto want = std::max(least, static_cast<std::size_t>(std::min<std::uint64_t>(piece_, left())));
    piece_ = std::min(piece_ * 2, piece_bytes_max);
    if (want > capacity_) {
      auto larger = std::make_unique_for_overwrite<char[]>(want);
      if (rest > 0) std::memcpy(larger.get(), buffer_.get() + begin_, rest);
      buffer_ = std::move(larger);
      capacity_ = want;
    } else if (rest > 0) {
      std::memmove(buffer_.get(), buffer_.get() + begin_, rest);
    }
    begin_ = 0;
    have_ = rest;
    const auto at = format::segment_header_bytes + position_ + rest;
    // A file may be cut to its length while it is read: what is behind is missed only by who needs it.
    TROUPE_TRY(const auto got, file_.read_up_to(buffer_.get() + rest, want - rest, at));
    have_ += got;
    if (have_ >= least) return ok();
    return error{errc::corrupted, file_.path() + " ends at byte " + std::to_string(at + got) + ", " +
                                      std::to_string(least - have_) + " more were expected"};
  }

  const file& file_;
  std::uint64_t position_, to_;
  std::unique_ptr<char[]> buffer_;
  std::size_t capacity_ = 0, begin_ = 0, have_ = 0, piece_ = piece_bytes_min;
};

/// Goes over the batches of [from, to) of the batches region, each checked, until `each(header, raw)` says false.
template <class F>
result<void> walk_batches(const file& f, segment_id id, std::uint64_t from, std::uint64_t to, F&& each) {
  batch_buffer in(f, from, to);
  while (in.left() >= format::batch_header_bytes) {
    const auto at = [&] { return "position " + std::to_string(in.position()); };
    TROUPE_TRY(auto raw, in.ahead(format::batch_header_bytes));
    const auto header = format::decode_batch_header(raw, id);
    if (!header) return header.error().with_context(f.path() + ", " + at());
    const auto size = format::batch_header_bytes + std::size_t{header->payload_bytes};
    if (size > in.left()) return error{errc::corrupted, f.path() + ": the batch at " + at() + " goes beyond the end"};
    TROUPE_TRY(raw, in.ahead(size));
    raw = raw.substr(0, size);
    if (!format::batch_crc_fits(raw.data(), raw.substr(format::batch_header_bytes)))
      return error{errc::corrupted, f.path() + ": the batch at " + at() + " does not fit its checksum"};
    TROUPE_TRY(const bool go_on, each(*header, raw));
    if (!go_on) break;
    in.skip(size);
  }
  return ok();
}

}  // namespace troupe::storage
