#pragma once
#include <cstdint>
#include <optional>
#include <troupe/base/bytes.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/base/result.hpp>

namespace troupe::data {

/// Cuts a stream of text into batches of whole lines. Pure; used by one import. The cuts depend on the bytes and the
/// boundaries only, not on the pieces they come in.
///
/// A batch ends at the first newline at or after `batch_bytes` from its beginning, or at or after the boundary,
/// whichever comes first:
///
///     ….line\n….line\n….li|ne\n….          | = batch_bytes, or a partition's planned end
///     └────────── batch ─────┘└ next
///
/// A line that stretches far past that point gets a batch of its own, so no batch is longer than twice batch_bytes or
/// one record.
class line_batcher {
 public:
  struct batch {
    bytes payload;              ///< ends with a newline
    std::uint64_t records = 0;  ///< newlines in it
    std::uint64_t end = 0;      ///< bytes of the stream up to its end, added newlines included
  };

  explicit line_batcher(std::size_t batch_bytes = limits::batch_bytes,
                        std::size_t record_bytes_max = limits::record_bytes_max)
      : batch_bytes_(batch_bytes), record_bytes_max_(record_bytes_max) {}

  /// The next batch must not reach past the first record border at or after this byte of the stream. It must lie after
  /// the last batch's end.
  void set_boundary(std::optional<std::uint64_t> stream_bytes) { boundary_ = stream_bytes; }

  /// Takes bytes from the front of `data` until a batch is complete or nothing is left: call again until the answer is
  /// empty. `invalid_argument` when a record is longer than allowed, with the input's byte where it begins.
  result<std::optional<batch>> take(bytes_view& data);

  /// The source ended: an unfinished line gets its newline.
  void end_of_source();
  /// What is left, as a batch, or nothing.
  std::optional<batch> finish();

  /// A used payload's memory for the next batch: fresh pages cost more than the copy.
  void recycle(bytes&& used);

  /// Bytes held back because their batch is not complete.
  [[nodiscard]] std::size_t held() const noexcept { return buffer_.size(); }

 private:
  [[nodiscard]] std::size_t goal() const noexcept;
  batch emit(std::size_t size);

  std::size_t batch_bytes_;
  std::size_t record_bytes_max_;
  std::optional<std::uint64_t> boundary_;
  bytes buffer_;
  bytes spare_;
  std::uint64_t base_ = 0;  ///< of the buffer, in the stream
  std::uint64_t newlines_added_ = 0;
  std::optional<std::size_t>
      open_record_;  ///< where the unfinished record begins in the buffer; known once the goal is reached
};

/// How often `byte` occurs; 16 bytes at a step.
std::uint64_t count_byte(bytes_view data, char byte) noexcept;

}  // namespace troupe::data
