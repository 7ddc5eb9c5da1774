#include <algorithm>
#include <boost/json/parse.hpp>
#include <charconv>
#include <map>
#include <optional>
#include <troupe/format/record.hpp>
#include <troupe/format/record_csv.hpp>

/// Schemas from the first rows of a text.
namespace troupe::format {

namespace json = boost::json;

namespace {

constexpr std::size_t rows_max = 10'000;
constexpr std::size_t depth_max = schema_depth_max - 2;
constexpr bytes_view byte_order_mark = "\xef\xbb\xbf";

/// What was seen of one field so far.
struct guess {
  std::optional<field_type> type;  ///< none: nothing but absent values
  bool absent = false;
  std::vector<std::pair<std::string, guess>> members;  ///< of a record; of a list its element, without a name
  std::size_t seen = 0;
};

field to_field(std::string name, const guess& g) {
  field f{"", g.type.value_or(field_type::string), {}};
  for (const auto& [member, what] : g.members) {
    auto child = to_field(member, what);
    f.children.push_back(std::move(child));
  }
  if (f.type == field_type::list && f.children.empty()) f.children.push_back({"", field_type::string, {}});
  if (g.absent || !g.type) f = {"", field_type::optional, {std::move(f)}};
  f.name = std::move(name);
  return f;
}

const char* to_text(field_type type) {
  switch (type) {
    case field_type::boolean:
      return "true or false";
    case field_type::int64:
    case field_type::float64:
      return "a number";
    case field_type::string:
      return "a string";
    case field_type::list:
      return "a list";
    default:
      return "an object";
  }
}

// ---- CSV ----

field_type type_of(const csv_cell& cell) {
  const auto text = cell.text;
  const auto* const end = text.data() + text.size();
  std::int64_t whole = 0;
  double number = 0;
  if (text.empty()) return field_type::string;
  // What begins with a zero is rather a name than a number: 007, a postal code.
  const bool name = text.size() > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9';
  if (!name)
    if (const auto read = std::from_chars(text.data(), end, whole); read.ec == std::errc() && read.ptr == end)
      return field_type::int64;
  const bool digits = text.find_first_not_of("+-.0123456789eE") == bytes_view::npos;
  if (!name && digits)
    if (const auto read = std::from_chars(text.data(), end, number); read.ec == std::errc() && read.ptr == end)
      return field_type::float64;
  if (text == "true" || text == "false" || text == "True" || text == "False" || text == "TRUE" || text == "FALSE")
    return field_type::boolean;
  return field_type::string;
}

/// The type that can hold both.
field_type wider(field_type a, field_type b) {
  if (a == b) return a;
  const auto number = [](field_type t) { return t == field_type::int64 || t == field_type::float64; };
  return number(a) && number(b) ? field_type::float64 : field_type::string;
}

// ---- JSON ----

bool is_number(field_type t) { return t == field_type::int64 || t == field_type::uint64 || t == field_type::float64; }

field_type type_of(const json::value& v) {
  switch (v.kind()) {
    case json::kind::bool_:
      return field_type::boolean;
    case json::kind::int64:
      return field_type::int64;
    case json::kind::uint64:
      return field_type::uint64;
    case json::kind::double_:
      return field_type::float64;
    case json::kind::array:
      return field_type::list;
    case json::kind::object:
      return field_type::record;
    default:
      return field_type::string;
  }
}

result<void> look_at(guess& g, const json::value& v, const std::string& path, std::size_t depth);

result<void> look_at_members(guess& g, const json::object& object, const std::string& path, std::size_t depth) {
  ++g.seen;
  for (const auto& [key, value] : object) {
    const std::string name(key);
    auto at = std::find_if(g.members.begin(), g.members.end(), [&](const auto& m) { return m.first == name; });
    if (at == g.members.end()) {
      if (g.members.size() >= schema_fields_max)
        return error{errc::invalid_argument, "there are more than " + std::to_string(schema_fields_max) + " fields"};
      g.members.emplace_back(name, guess{});
      at = g.members.end() - 1;
      at->second.absent = g.seen > 1;
    }
    const auto inner = path.empty() ? name : path + "." + name;
    TROUPE_TRY_VOID(look_at(at->second, value, inner, depth + 1));
  }
  for (auto& [name, what] : g.members)
    if (!object.contains(name)) what.absent = true;
  return ok();
}

result<void> look_at(guess& g, const json::value& v, const std::string& path, std::size_t depth) {
  if (depth > depth_max) return error{errc::invalid_argument, "field " + path + " is nested too deep"};
  if (v.is_null()) {
    g.absent = true;
    return ok();
  }
  const auto type = type_of(v);
  if (!g.type) {
    g.type = type;
  } else if (is_number(*g.type) && is_number(type)) {
    const bool whole = *g.type != field_type::float64 && type != field_type::float64;
    if (*g.type != type) g.type = whole ? field_type::uint64 : field_type::float64;
  } else if (*g.type != type) {
    return error{errc::invalid_argument, "field " + path + " is " + to_text(*g.type) + " before and " + to_text(type) +
                                             " here: say what it is with a schema"};
  }
  if (const auto* object = v.if_object()) return look_at_members(g, *object, path, depth);
  if (const auto* list = v.if_array()) {
    if (g.members.empty() && !list->empty()) g.members.emplace_back("", guess{});
    for (const auto& element : *list) TROUPE_TRY_VOID(look_at(g.members[0].second, element, path + "[]", depth + 1));
  }
  return ok();
}

error at_line(const error& e, std::size_t line) { return e.with_context("line " + std::to_string(line)); }

result<schema> checked(schema s) {
  if (s.fields.empty())
    return error{errc::invalid_argument, "there is no record from which the fields could be read: give a schema"};
  if (const auto good = check_schema(s); !good) return good.error().with_context("the schema that the text has");
  return s;
}

}  // namespace

result<schema> infer_csv_schema(bytes_view sample, bool whole, char delimiter, bool header) {
  if (sample.starts_with(byte_order_mark)) sample.remove_prefix(byte_order_mark.size());
  csv_row row;
  std::vector<std::string> names;
  std::vector<guess> columns;
  std::size_t line = 1;
  for (std::size_t rows = 0; !sample.empty() && rows < rows_max;) {
    auto end = find_row_end(sample, delimiter);
    if (end == bytes_view::npos && !whole) break;
    end = std::min(end, sample.size());
    auto text = sample.substr(0, end);
    sample.remove_prefix(end);
    const auto here = line;
    line += static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
    if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    if (text.find_first_not_of(" \t\r") == bytes_view::npos) continue;
    const auto split = row.split(text, delimiter);
    const bool first = columns.empty();
    if (!split) {
      if (first) return at_line(split.error(), here);
      continue;  // the import itself says what is to become of wrong rows
    }
    if (first) {
      columns.resize(row.cells().size());
      for (std::size_t i = 0; i < columns.size(); ++i) {
        std::string name(header ? row.cells()[i].text : bytes_view());
        while (!name.empty() && name.back() == ' ') name.pop_back();
        name.erase(0, std::min(name.find_first_not_of(' '), name.size()));
        names.push_back(name.empty() ? "column" + std::to_string(i + 1) : std::move(name));
      }
      if (header) continue;
    }
    ++rows;
    if (row.cells().size() != columns.size()) continue;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const auto& cell = row.cells()[i];
      if (cell.text.empty() && !cell.quoted) {
        columns[i].absent = true;
        continue;
      }
      const auto type = type_of(cell);
      columns[i].type = columns[i].type ? wider(*columns[i].type, type) : type;
    }
  }
  schema s;
  for (std::size_t i = 0; i < columns.size(); ++i) s.fields.push_back(to_field(names[i], columns[i]));
  return checked(std::move(s));
}

result<schema> infer_json_schema(bytes_view sample, bool whole) {
  if (sample.starts_with(byte_order_mark)) sample.remove_prefix(byte_order_mark.size());
  guess all;
  std::size_t line = 0;
  for (std::size_t rows = 0; !sample.empty() && rows < rows_max;) {
    const auto newline = sample.find('\n');
    if (newline == bytes_view::npos && !whole) break;
    const auto text = sample.substr(0, newline);
    sample.remove_prefix(std::min(text.size() + 1, sample.size()));
    ++line;
    if (text.find_first_not_of(" \t\r") == bytes_view::npos) continue;
    ++rows;
    json::error_code failed;
    const auto value = json::parse({text.data(), text.size()}, failed);
    const auto* object = failed ? nullptr : value.if_object();
    if (object == nullptr) {
      if (all.seen == 0) return at_line(error{errc::invalid_argument, "expected an object of JSON"}, line);
      continue;
    }
    if (const auto looked = look_at_members(all, *object, "", 0); !looked) return at_line(looked.error(), line);
  }
  schema s;
  for (const auto& [name, what] : all.members) s.fields.push_back(to_field(name, what));
  return checked(std::move(s));
}

}  // namespace troupe::format
