#pragma once
#include <actors/data/batcher.hpp>
#include <troupe/base/limits.hpp>

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
class line_batcher final : public batcher {
 public:
  explicit line_batcher(std::size_t batch_bytes = limits::batch_bytes,
                        std::size_t record_bytes_max = limits::record_bytes_max)
      : batch_bytes_(batch_bytes), record_bytes_max_(record_bytes_max) {}

  void set_boundary(std::optional<std::uint64_t> stream_bytes) override { boundary_ = stream_bytes; }
  /// `invalid_argument` when a record is longer than allowed, with the input's byte where it begins.
  result<std::optional<batch>> take(bytes_view& data) override;
  /// An unfinished line gets its newline.
  void end_of_source() override;
  result<std::optional<batch>> finish() override;
  void recycle(bytes&& used) override;

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
