#pragma once
#include <boost/json/value.hpp>
#include <string>
#include <vector>

namespace troupe::shell {

class session;

/// How a table writes a member for people; CSV has it as JSON has it. `value` is a record's: nothing is rounded, and
/// what has parts is JSON in both.
enum class shown_as { text, bytes, time, list, hash, value };

/// A column: a member of the items by its path («tasks.done»).
struct column {
  const char* title;
  const char* member;
  shown_as how = shown_as::text;
};

/// A list in the format that the session has: aligned columns, the items as JSON, or CSV.
void show_items(session& s, const boost::json::array& items, const std::vector<column>& columns);

/// One object: a line for each member, the object as JSON, or CSV with one row.
void show_object(session& s, const boost::json::value& object, const std::vector<column>& columns);

/// A member by its path; null when it is not there.
const boost::json::value* member_at(const boost::json::value& object, std::string_view path);

/// A value as one cell: strings as they are, lists with spaces between, null as «-» (for people) or nothing.
std::string cell_text(const boost::json::value* value, shown_as how, bool for_people);

/// Rows with their columns aligned, two spaces between; `right` says which are numbers. No trailing spaces.
std::string aligned(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right);

/// A row of CSV as RFC 4180 has it, with \n at the end.
std::string csv_row(const std::vector<std::string>& cells);

/// JSON in one line; numbers are the shortest text that reads back as the same number.
std::string compact(const boost::json::value& value);

/// JSON with two spaces of indentation and \n at the end.
std::string pretty(const boost::json::value& value);

/// Columns of a terminal that the text takes (UTF-8).
std::size_t display_width(std::string_view text);

/// The text with everything that could drive a terminal replaced: control characters become «·».
std::string harmless(std::string_view text);

}  // namespace troupe::shell
