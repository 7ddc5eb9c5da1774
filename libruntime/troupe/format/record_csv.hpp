#pragma once
#include <string>
#include <troupe/base/schema.hpp>
#include <troupe/format/csv.hpp>
#include <vector>

namespace troupe::format {

/// The way back of record_text's csv: rows become records by the schema of one dataset. doc/formats/record.md has the
/// rules.
///
/// One a stream, one thread at a time.
class record_csv {
 public:
  /// `invalid_argument` for a schema that check_schema refuses, or with lists or records in it, which a cell cannot
  /// hold.
  static result<record_csv> make(const schema& s, char delimiter);

  /// The row with the names of the columns: from here on cells go by name. Columns that the schema does not have are
  /// left out; a field without a column must be optional. Without a header cells go by position.
  result<void> use_header(bytes_view row);

  /// Appends one record behind its varint length. `invalid_argument` with the column and its name, what was expected
  /// and what was found; `out` is then as before.
  result<void> append(bytes& out, bytes_view row);

 private:
  record_csv(schema s, char delimiter);

  static constexpr std::size_t no_column = SIZE_MAX;
  schema schema_;
  char delimiter_;
  std::vector<std::size_t> column_of_;  ///< by field
  std::size_t columns_;
  csv_row row_;
  bytes fields_;
};

/// What can be read off a text without its schema, by its first rows. Types: int64, float64, boolean, string; optional
/// where a value was absent. `sample` begins with the text's first byte; a last row without an end is not looked at
/// unless the sample is the `whole` text. `invalid_argument` with the line when there is no making sense of it.
result<schema> infer_csv_schema(bytes_view sample, bool whole, char delimiter, bool header);
/// The same of JSON lines, nested objects and lists included; the fields in the order in which they are seen first.
result<schema> infer_json_schema(bytes_view sample, bool whole);

}  // namespace troupe::format
