#pragma once
#include <cstdint>

namespace troupe::format {

enum class text_kind : std::uint8_t {
  lines,  ///< a record is a line as it is
  csv,    ///< a record is a row of cells; RFC 4180 with any delimiter, \n or \r\n
  json,   ///< a record is a line with a JSON object
};

/// How the text of an import is to be read.
struct text_layout {
  text_kind kind = text_kind::lines;
  char delimiter = ',';     ///< of csv
  bool header = false;      ///< of csv: the first row has the names of the columns
  bool skip_wrong = false;  ///< rows that are no record are left out and kept aside; else the first of them is the end
};

}  // namespace troupe::format
