#pragma once
#include <cstddef>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <vector>

/// Rows and cells of CSV: RFC 4180 with any delimiter, and with \n or \r\n as the end of a row. Pure.
namespace troupe::format {

/// Where the row with which the text begins has its end, behind its newline; npos when it is not in the text. A newline
/// in a quoted cell ends no row. Quotes count only where a cell begins with one.
std::size_t find_row_end(bytes_view text, char delimiter) noexcept;

struct csv_cell {
  bytes_view text;      ///< without quotes, doubled ones undone
  bool quoted = false;  ///< so that "" is a text without letters, and nothing at all is nothing
};

/// The cells of one row. Keeps its memory from row to row.
class csv_row {
 public:
  /// `row` without its newline; a \r at its end is none of it. The cells live as long as `row`, or until the next call.
  /// `invalid_argument` with the column, counted from 1, when a quoted cell has no end or text behind it.
  result<void> split(bytes_view row, char delimiter);
  [[nodiscard]] const std::vector<csv_cell>& cells() const noexcept { return cells_; }

 private:
  std::vector<csv_cell> cells_;
  bytes unescaped_;
};

}  // namespace troupe::format
