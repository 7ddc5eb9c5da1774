#include <cstring>
#include <string>
#include <troupe/format/csv.hpp>

namespace troupe::format {

namespace {

/// Where the quoted cell whose opening quote is at `at` ends: the position of its closing quote; npos when it has none
/// (or `at_end_undecided` and the last quote may be the first of two).
std::size_t closing_quote(bytes_view text, std::size_t at, bool at_end_undecided) noexcept {
  for (++at;;) {
    const auto quote = text.find('"', at);
    if (quote == bytes_view::npos) return quote;
    if (quote + 1 == text.size()) return at_end_undecided ? bytes_view::npos : quote;
    if (text[quote + 1] != '"') return quote;
    at = quote + 2;
  }
}

}  // namespace

std::size_t find_row_end(bytes_view text, char delimiter) noexcept {
  const auto newline = text.find('\n');
  if (newline == bytes_view::npos) return newline;
  if (std::memchr(text.data(), '"', newline) == nullptr) return newline + 1;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == '"') {
      const auto quote = closing_quote(text, at, true);
      if (quote == bytes_view::npos) return quote;
      at = quote + 1;
    }
    // To the end of the cell.
    while (at < text.size() && text[at] != delimiter && text[at] != '\n') ++at;
    if (at == text.size()) return bytes_view::npos;
    if (text[at++] == '\n') return at;
  }
  return bytes_view::npos;
}

result<void> csv_row::split(bytes_view row, char delimiter) {
  cells_.clear();
  unescaped_.clear();
  unescaped_.reserve(row.size());  // what is undone is never longer: the cells' views stay good
  if (!row.empty() && row.back() == '\r') row.remove_suffix(1);
  for (std::size_t at = 0;;) {
    if (at == row.size() || row[at] != '"') {
      const auto end = std::min(row.find(delimiter, at), row.size());
      cells_.push_back({row.substr(at, end - at), false});
      at = end;
    } else {
      const auto quote = closing_quote(row, at, false);
      const auto column = std::to_string(cells_.size() + 1);
      if (quote == bytes_view::npos)
        return error{errc::invalid_argument, "column " + column + ": the quoted cell does not end"};
      const auto inside = row.substr(at + 1, quote - at - 1);
      at = quote + 1;
      if (at < row.size() && row[at] != delimiter)
        return error{errc::invalid_argument, "column " + column + ": text follows the closing quote"};
      if (inside.find('"') == bytes_view::npos) {
        cells_.push_back({inside, true});
      } else {
        const auto begin = unescaped_.size();
        for (std::size_t i = 0; i < inside.size(); ++i) {
          unescaped_.push_back(inside[i]);
          if (inside[i] == '"') ++i;
        }
        cells_.push_back({bytes_view(unescaped_).substr(begin), true});
      }
    }
    if (at == row.size()) return ok();
    ++at;  // the delimiter; another cell follows, be it empty
  }
}

}  // namespace troupe::format
