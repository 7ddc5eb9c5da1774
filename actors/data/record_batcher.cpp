#include <actors/data/line_batcher.hpp>
#include <actors/data/record_batcher.hpp>
#include <algorithm>

namespace troupe::data {

namespace {
constexpr bytes_view byte_order_mark = "\xef\xbb\xbf";
}

result<std::unique_ptr<record_batcher>> record_batcher::make(const format::text_layout& layout, const schema& s,
                                                             std::size_t batch_bytes, std::size_t row_bytes_max) {
  std::unique_ptr<record_batcher> made(new record_batcher(layout, batch_bytes, row_bytes_max));
  if (layout.kind == format::text_kind::csv) {
    TROUPE_TRY(auto csv, format::record_csv::make(s, layout.delimiter));
    made->csv_.emplace(std::move(csv));
    made->header_due_ = layout.header;
  } else {
    TROUPE_TRY(auto json, format::record_json::make(data_format::records, s));
    made->json_.emplace(std::move(json));
  }
  return made;
}

/// The length of the next row, its newline included; npos while it has no end.
std::size_t record_batcher::find_row() const noexcept {
  auto rest = bytes_view(text_).substr(at_);
  const auto mark = consumed_ == 0 && rest.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
  rest.remove_prefix(mark);
  if (!csv_) {
    const auto newline = rest.find('\n');
    return newline == bytes_view::npos ? newline : newline + 1 + mark;
  }
  const auto size = format::find_row_end(rest, layout_.delimiter);
  return size == bytes_view::npos ? size : size + mark;
}

bool record_batcher::is_full() const noexcept {
  return payload_.size() >= batch_bytes_ || (boundary_ && consumed_ >= *boundary_ && records_ != 0);
}

result<std::optional<batcher::batch>> record_batcher::take(bytes_view& data) {
  if (!data.empty()) {
    text_.erase(0, at_);
    at_ = 0;
    text_.append(data);
    data = {};
  }
  while (text_.size() - at_ > try_at_) {
    const auto size = find_row();
    if (size == bytes_view::npos) {
      const auto pending = text_.size() - at_;
      if (pending > row_bytes_max_)
        return error{errc::invalid_argument,
                     "line " + std::to_string(line_) +
                         ": the row that begins here is longer "
                         "than " +
                         std::to_string(row_bytes_max_) +
                         " bytes, the longest that is allowed; does a quoted cell lack its end?"};
      try_at_ = std::max<std::size_t>(2 * pending, 1);  // looked through twice at most, however long it gets
      break;
    }
    try_at_ = 0;
    const auto row = bytes_view(text_).substr(at_, size);
    at_ += size;
    consumed_ += size;
    TROUPE_TRY_VOID(take_row(row));
    if (is_full()) return std::optional<batch>{emit()};
  }
  return std::optional<batch>{};
}

result<void> record_batcher::take_row(bytes_view row) {
  const auto line = line_;
  if (consumed_ == row.size() && row.starts_with(byte_order_mark)) row.remove_prefix(byte_order_mark.size());
  line_ += count_byte(row, '\n');
  if (!row.empty() && row.back() == '\n') row.remove_suffix(1);
  if (row.find_first_not_of(" \t\r") == bytes_view::npos) return ok();
  const auto at_line = [&](const error& e) { return e.with_context("line " + std::to_string(line)); };
  if (header_due_) {
    header_due_ = false;
    const auto used = csv_->use_header(row);
    return used ? ok() : result<void>(at_line(used.error()));
  }
  const auto converted =
      row.size() <= row_bytes_max_
          ? convert(row)
          : result<void>(
                error{errc::invalid_argument, "the row is longer than " + std::to_string(row_bytes_max_) + " bytes"});
  if (converted) {
    ++records_;
    return ok();
  }
  if (!layout_.skip_wrong) return at_line(converted.error());
  rejected_.append(row);
  rejected_.push_back('\n');
  return ok();
}

result<void> record_batcher::convert(bytes_view row) {
  if (csv_) return csv_->append(payload_, row);
  if (row.back() == '\r') row.remove_suffix(1);
  return json_->append(payload_, row);
}

batcher::batch record_batcher::emit() {
  batch out;
  out.payload = std::move(payload_);
  out.records = records_;
  out.end = consumed_;
  payload_ = std::move(spare_);
  payload_.clear();
  spare_ = bytes();
  records_ = 0;
  return out;
}

void record_batcher::end_of_source() {
  try_at_ = 0;
  if (at_ < text_.size() && text_.back() != '\n') text_.push_back('\n');
}

result<std::optional<batcher::batch>> record_batcher::finish() {
  end_of_source();
  while (at_ < text_.size()) {
    // A row without an end here is one whose quoted cell has none: what is wrong with it is said as for any other.
    const auto size = std::min(find_row(), text_.size() - at_);
    const auto row = bytes_view(text_).substr(at_, size);
    at_ += size;
    consumed_ += size;
    TROUPE_TRY_VOID(take_row(row));
  }
  if (header_due_) return error{errc::invalid_argument, "there is no header: the text is empty"};
  if (records_ == 0) return std::optional<batch>{};
  return std::optional<batch>{emit()};
}

void record_batcher::recycle(bytes&& used) {
  if (used.capacity() > 4 * batch_bytes_) return;  // a long record's: not worth keeping
  spare_ = std::move(used);
}

bytes record_batcher::take_rejected() { return std::exchange(rejected_, bytes()); }

}  // namespace troupe::data
