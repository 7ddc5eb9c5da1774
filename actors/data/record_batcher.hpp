#pragma once
#include <actors/data/batcher.hpp>
#include <memory>
#include <troupe/base/limits.hpp>
#include <troupe/format/record_csv.hpp>
#include <troupe/format/record_json.hpp>
#include <troupe/format/text_layout.hpp>

namespace troupe::data {

/// Reads rows of CSV or lines of JSON and cuts their records into batches: one ends with the row that fills it, or that
/// reaches the boundary in the text.
class record_batcher final : public batcher {
 public:
  /// `invalid_argument` when the schema and the layout do not go together.
  static result<std::unique_ptr<record_batcher>> make(const format::text_layout& layout, const schema& s,
                                                      std::size_t batch_bytes = limits::batch_bytes,
                                                      std::size_t row_bytes_max = limits::record_bytes_max);

  void set_boundary(std::optional<std::uint64_t> stream_bytes) override { boundary_ = stream_bytes; }
  /// `invalid_argument` for a row that is no record, unless those are skipped: with its line, counted from 1, and its
  /// column.
  result<std::optional<batch>> take(bytes_view& data) override;
  void end_of_source() override;
  result<std::optional<batch>> finish() override;
  void recycle(bytes&& used) override;
  bytes take_rejected() override;

 private:
  record_batcher(const format::text_layout& layout, std::size_t batch_bytes, std::size_t row_bytes_max)
      : layout_(layout), batch_bytes_(batch_bytes), row_bytes_max_(row_bytes_max) {}

  [[nodiscard]] std::size_t find_row() const noexcept;
  result<void> take_row(bytes_view row);
  result<void> convert(bytes_view row);
  [[nodiscard]] bool is_full() const noexcept;
  batch emit();

  const format::text_layout layout_;
  const std::size_t batch_bytes_;
  const std::size_t row_bytes_max_;
  std::optional<format::record_csv> csv_;  ///< one of the two
  std::optional<format::record_json> json_;
  std::optional<std::uint64_t> boundary_;
  bytes text_;  ///< not converted yet, from `at_` on
  std::size_t at_ = 0;
  std::size_t try_at_ = 0;  ///< bytes of an unfinished row before it is worth looking for its end again
  std::uint64_t consumed_ = 0;
  std::uint64_t line_ = 1;  ///< of the stream, where the next row begins
  bool header_due_ = false;
  bytes payload_;
  std::uint64_t records_ = 0;
  bytes spare_;
  bytes rejected_;
};

}  // namespace troupe::data
