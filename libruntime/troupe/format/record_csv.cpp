#include <algorithm>
#include <charconv>
#include <troupe/format/record.hpp>
#include <troupe/format/record_csv.hpp>

namespace troupe::format {

namespace {

constexpr std::size_t shown_cell_bytes_max = 60;

std::string shown(const csv_cell& cell) {
  if (cell.text.empty()) return cell.quoted ? "\"\"" : "nothing";
  std::string text(cell.text.substr(0, shown_cell_bytes_max));
  return "\"" + text + (cell.text.size() > shown_cell_bytes_max ? "…\"" : "\"");
}

bytes_view trim(bytes_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// All of the text as a number.
template <class Number>
bool read(bytes_view text, Number& out) {
  text = trim(text);
  if (!text.empty() && text.front() == '+') text.remove_prefix(1);
  const auto done = std::from_chars(text.data(), text.data() + text.size(), out);
  return done.ec == std::errc() && done.ptr == text.data() + text.size() && !text.empty();
}

bool equal_in_lower_case(bytes_view text, bytes_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) {
           return (a >= 'A' && a <= 'Z' ? static_cast<char>(a - 'A' + 'a') : a) == b;
         });
}

template <class Int>
const char* put_integer(bytes& out, bytes_view text, const char* expected) {
  Int value{};
  if (!read(text, value)) return expected;
  if constexpr (sizeof(Int) == 1)
    out.push_back(static_cast<char>(value));
  else if constexpr (std::is_signed_v<Int>)
    append_varint(out, zigzag(value));
  else
    append_varint(out, value);
  return nullptr;
}

template <class Float>
const char* put_float(bytes& out, bytes_view text) {
  Float value{};
  if (!read(text, value)) return "a number";
  append_le(out, value);
  return nullptr;
}

/// What was expected, where the cell is none of it; null when it was put.
const char* put_cell(bytes& out, const field& f, const csv_cell& cell) {
  switch (f.type) {
    case field_type::optional:
      if (cell.text.empty() && !cell.quoted) {
        out.push_back('\0');
        return nullptr;
      }
      out.push_back('\1');
      return put_cell(out, f.children[0], cell);
    case field_type::boolean: {
      const auto text = trim(cell.text);
      const bool yes = equal_in_lower_case(text, "true") || text == "1";
      if (!yes && !equal_in_lower_case(text, "false") && text != "0") return "true or false";
      out.push_back(yes ? '\1' : '\0');
      return nullptr;
    }
    case field_type::int8:
      return put_integer<std::int8_t>(out, cell.text, "a whole number from -128 to 127");
    case field_type::int16:
      return put_integer<std::int16_t>(out, cell.text, "a whole number from -32768 to 32767");
    case field_type::int32:
      return put_integer<std::int32_t>(out, cell.text, "a whole number of 32 bits");
    case field_type::int64:
      return put_integer<std::int64_t>(out, cell.text, "a whole number of 64 bits");
    case field_type::uint8:
      return put_integer<std::uint8_t>(out, cell.text, "a whole number from 0 to 255");
    case field_type::uint16:
      return put_integer<std::uint16_t>(out, cell.text, "a whole number from 0 to 65535");
    case field_type::uint32:
      return put_integer<std::uint32_t>(out, cell.text, "a whole number of 32 bits, not negative");
    case field_type::uint64:
      return put_integer<std::uint64_t>(out, cell.text, "a whole number of 64 bits, not negative");
    case field_type::float32:
      return put_float<float>(out, cell.text);
    case field_type::float64:
      return put_float<double>(out, cell.text);
    case field_type::string:
      append_record(out, cell.text);
      return nullptr;
    case field_type::list:
    case field_type::record:
      break;
  }
  return "what a cell can hold";  // make() refuses these
}

bool fits_a_cell(const field& f) {
  if (f.type == field_type::optional) return f.children[0].type != field_type::optional && fits_a_cell(f.children[0]);
  return f.type != field_type::list && f.type != field_type::record;
}

}  // namespace

record_csv::record_csv(schema s, char delimiter)
    : schema_(std::move(s)), delimiter_(delimiter), columns_(schema_.fields.size()) {
  for (std::size_t i = 0; i < schema_.fields.size(); ++i) column_of_.push_back(i);
}

result<record_csv> record_csv::make(const schema& s, char delimiter) {
  TROUPE_TRY_VOID(check_schema(s));
  if (delimiter == '"' || delimiter == '\n' || delimiter == '\r')
    return error{errc::invalid_argument, "cells cannot be separated by quotes or line ends"};
  for (const auto& f : s.fields)
    if (!fits_a_cell(f))
      return error{errc::invalid_argument,
                   "field " + f.name + " is a list or a record, which a cell of CSV cannot hold; use JSON lines"};
  return record_csv(s, delimiter);
}

result<void> record_csv::use_header(bytes_view row) {
  TROUPE_TRY_VOID(row_.split(row, delimiter_));
  const auto& cells = row_.cells();
  columns_ = cells.size();
  for (std::size_t i = 0; i < schema_.fields.size(); ++i) {
    const auto& f = schema_.fields[i];
    const auto named = [&](const csv_cell& cell) { return trim(cell.text) == f.name; };
    const auto found = std::find_if(cells.begin(), cells.end(), named);
    if (found == cells.end() && f.type != field_type::optional)
      return error{errc::invalid_argument, "the header has no column \"" + f.name + "\""};
    if (found != cells.end() && std::find_if(found + 1, cells.end(), named) != cells.end())
      return error{errc::invalid_argument, "the header has two columns \"" + f.name + "\""};
    column_of_[i] = found == cells.end() ? no_column : static_cast<std::size_t>(found - cells.begin());
  }
  return ok();
}

result<void> record_csv::append(bytes& out, bytes_view row) {
  TROUPE_TRY_VOID(row_.split(row, delimiter_));
  const auto& cells = row_.cells();
  if (cells.size() != columns_)
    return error{errc::invalid_argument,
                 "expected " + std::to_string(columns_) + " columns, found " + std::to_string(cells.size())};
  fields_.clear();
  const csv_cell nothing;
  for (std::size_t i = 0; i < schema_.fields.size(); ++i) {
    const auto column = column_of_[i];
    const auto& cell = column == no_column ? nothing : cells[column];
    if (const auto* expected = put_cell(fields_, schema_.fields[i], cell); expected != nullptr)
      return error{errc::invalid_argument, "column " + std::to_string(column + 1) + " (" + schema_.fields[i].name +
                                               "): expected " + expected + ", found " + shown(cell)};
  }
  append_record(out, fields_);
  return ok();
}

}  // namespace troupe::format
