#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <troupe/base/schema.hpp>
#include <vector>

/// Records as text, by schema alone: what `head`, `export` and the HTTP API print. doc/formats/record.md has the rules
/// and examples.
namespace troupe::format {

/// One record is one line in each of them (a CSV cell may hold line breaks inside quotes).
enum class text_format : std::uint8_t {
  lines,  ///< format lines: as imported. Others: as tsv
  tsv,  ///< cells separated by tabs; tab, \n and \r in a cell escaped, a backslash is itself; an absent optional is \N.
        ///< No header line
  csv,  ///< RFC 4180 with \n as line end and a header line; an absent optional is an empty cell, an empty string is ""
  json,  ///< one JSON value a line: an object by field names for records, a string for lines, base64 for bytes
};

/// «lines», «tsv», «csv» or «json»; else `invalid_argument` that names them.
result<text_format> parse_text_format(std::string_view name);
std::string_view to_string(text_format format) noexcept;

/// Appends `text` as a JSON string with its quotes. Valid JSON for any bytes: what is not UTF-8 becomes \ufffd, one for
/// each maximal bad part.
void append_json_string(bytes& out, bytes_view text);
/// Appends `text` with tab, newline, carriage return and backslash as \t \n \r \\. Any bytes, reversible.
void append_tsv_cell(bytes& out, bytes_view text);
/// Appends `text` as a CSV cell, in quotes where RFC 4180 needs them (and for an empty string, to tell it from
/// nothing).
void append_csv_cell(bytes& out, bytes_view text);
/// Appends base64 with padding (RFC 4648, section 4), without quotes.
void append_base64(bytes& out, bytes_view data);

/// Turns records of one dataset into text. Holds the schema in a form made for speed; const after `make`, so threads
/// may share it.
class record_text {
 public:
  /// Refuses a schema that check_schema refuses, for format records; `schema` is ignored for the others.
  static result<record_text> make(data_format format, const schema& s, text_format text);

  record_text(record_text&&) noexcept;
  record_text& operator=(record_text&&) noexcept;
  ~record_text();

  /// The header line of CSV with its \n; nothing for the other formats.
  void append_header(bytes& out) const;

  /// Appends one record (as record_reader gives it) and a \n. `corrupted`: it does not fit the schema; `out` is then as
  /// before.
  result<void> append(bytes& out, bytes_view record) const;

  /// The same without the \n: a JSON value to be put into something larger.
  result<void> append_value(bytes& out, bytes_view record) const;

  /// Appends every record of a payload and returns how many there were. On `corrupted` the good ones before it stay in
  /// `out`.
  result<std::uint64_t> append_payload(bytes& out, bytes_view payload) const;

  /// Names of the columns: the schema's fields; «line» or «bytes» for the formats without a schema.
  [[nodiscard]] std::vector<std::string> columns() const;

 private:
  struct node;
  record_text(data_format format, text_format text);

  data_format format_;
  text_format text_;
  std::unique_ptr<node> root_;
};

}  // namespace troupe::format
