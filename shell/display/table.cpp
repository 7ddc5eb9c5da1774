#include <wchar.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cstdio>
#include <shell/display/table.hpp>
#include <shell/session.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace json = boost::json;

std::size_t display_width(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const std::size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    wchar_t c = lead < 0x80 ? lead : lead & (0xff >> (length + 1));
    for (std::size_t i = 1; i < length && at + i < text.size(); ++i)
      c = (c << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3f);
    const int columns = ::wcwidth(c);
    width += columns < 0 ? 1 : static_cast<std::size_t>(columns);
    at += length;
  }
  return width;
}

std::string harmless(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if ((c >= 0 && c < 0x20 && c != '\t') || c == 0x7f)
      out += "·";
    else
      out += c;
  }
  return out;
}

const json::value* member_at(const json::value& object, std::string_view path) {
  const auto* at = &object;
  while (at != nullptr && !path.empty()) {
    const auto dot = std::min(path.find('.'), path.size());
    const auto* inside = at->if_object();
    at = inside == nullptr ? nullptr : inside->if_contains(path.substr(0, dot));
    path.remove_prefix(std::min(dot + 1, path.size()));
  }
  return at;
}

std::string compact(const json::value& value) {
  const auto between = [](const std::string& out) { return out.size() > 1 ? "," : ""; };
  if (const auto* real = value.if_double()) {
    char text[32];  // the shortest that reads back as the same number; the library writes 1.5 as 1.5E0
    return {text, std::to_chars(text, text + sizeof text, *real).ptr};
  }
  if (const auto* list = value.if_array()) {
    std::string out = "[";
    for (const auto& element : *list) out += between(out) + compact(element);
    return out + "]";
  }
  if (const auto* object = value.if_object()) {
    std::string out = "{";
    for (const auto& [name, member] : *object)
      out += between(out) + json::serialize(json::string(name)) + ":" + compact(member);
    return out + "}";
  }
  return json::serialize(value);
}

std::string cell_text(const json::value* value, shown_as how, bool for_people) {
  if (value == nullptr || value->is_null()) return for_people ? "-" : "";
  if (how == shown_as::value && !value->is_string()) return for_people ? harmless(compact(*value)) : compact(*value);
  if (for_people && how == shown_as::bytes && value->is_number()) {
    json::error_code failed;
    const auto bytes = value->to_number<std::uint64_t>(failed);
    if (!failed) return format_bytes(bytes);
  }
  if (const auto* text = value->if_string()) {
    std::string out(*text);
    if (for_people && how == shown_as::time && out.size() >= 19)
      out = out.substr(0, 10) + " " + out.substr(11, 8) + "Z";
    if (for_people && how == shown_as::hash) out = out.substr(0, 12);
    if (for_people && out.empty()) out = "-";
    return for_people ? harmless(out) : out;
  }
  if (const auto* flag = value->if_bool(); flag != nullptr && for_people) return *flag ? "yes" : "-";
  if (const auto* list = value->if_array()) {
    std::string out;
    for (const auto& element : *list) out += (out.empty() ? "" : " ") + cell_text(&element, how, for_people);
    return for_people && out.empty() ? "-" : out;
  }
  if (const auto* object = value->if_object()) {
    std::string out;
    for (const auto& [name, element] : *object)
      out += (out.empty() ? "" : " ") + std::string(name) + "=" + cell_text(&element, how, for_people);
    return for_people && out.empty() ? "-" : out;
  }
  if (const auto* real = value->if_double(); real != nullptr && for_people) {
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", *real);
    return text;
  }
  return compact(*value);
}

std::string aligned(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size());
  for (const auto& row : rows)
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i)
      widths[i] = std::max(widths[i], display_width(row[i]));
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size() && i < widths.size(); ++i) {
      const std::string space(widths[i] - display_width(row[i]), ' ');
      line += (i == 0 ? "" : "  ") + (right[i] ? space + row[i] : row[i] + space);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  }
  return out;
}

std::string csv_row(const std::vector<std::string>& cells) {
  std::string out;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i != 0) out += ',';
    const auto& cell = cells[i];
    // A lone empty cell would read as an empty line.
    if (cell.find_first_of(",\"\r\n") == std::string::npos && !(cell.empty() && cells.size() == 1)) {
      out += cell;
      continue;
    }
    out += '"';
    for (const char c : cell) {
      if (c == '"') out += '"';
      out += c;
    }
    out += '"';
  }
  return out + "\n";
}

namespace {

void write_pretty(std::string& out, const json::value& value, const std::string& indent) {
  const auto deeper = indent + "  ";
  const auto* object = value.if_object();
  const auto* array = value.if_array();
  if (object != nullptr && !object->empty()) {
    out += '{';
    bool first = true;
    for (const auto& [name, member] : *object) {
      out += (first ? "\n" : ",\n") + deeper + json::serialize(json::string(name)) + ": ";
      write_pretty(out, member, deeper);
      first = false;
    }
    out += "\n" + indent + "}";
  } else if (array != nullptr &&
             std::any_of(array->begin(), array->end(), [](const auto& e) { return e.is_structured(); })) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      out += (i == 0 ? "\n" : ",\n") + deeper;
      write_pretty(out, (*array)[i], deeper);
    }
    out += "\n" + indent + "]";
  } else {
    out += compact(value);
  }
}

std::vector<std::string> cells_of(const json::value& item, const std::vector<column>& columns, bool for_people) {
  std::vector<std::string> cells;
  for (const auto& c : columns) cells.push_back(cell_text(member_at(item, c.member), c.how, for_people));
  return cells;
}

std::vector<std::string> members_of(const std::vector<column>& columns) {
  std::vector<std::string> names;
  for (const auto& c : columns) names.emplace_back(c.member);
  return names;
}

}  // namespace

std::string pretty(const json::value& value) {
  std::string out;
  write_pretty(out, value, "");
  return out + "\n";
}

void show_items(session& s, const json::array& items, const std::vector<column>& columns) {
  if (s.settings.output == output_format::json) return s.print(pretty(items));
  if (s.settings.output == output_format::csv) {
    auto out = csv_row(members_of(columns));
    for (const auto& item : items) out += csv_row(cells_of(item, columns, false));
    return s.print(out);
  }
  std::vector<std::vector<std::string>> rows(1);
  std::vector<bool> right(columns.size(), !items.empty());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    rows[0].emplace_back(columns[i].title);
    for (const auto& item : items) {
      const auto* value = member_at(item, columns[i].member);
      right[i] = right[i] && value != nullptr && (value->is_number() || value->is_null());
    }
  }
  for (const auto& item : items) rows.push_back(cells_of(item, columns, true));
  s.print(aligned(rows, right));
}

void show_object(session& s, const json::value& object, const std::vector<column>& columns) {
  if (s.settings.output == output_format::json) return s.print(pretty(object));
  if (s.settings.output == output_format::csv)
    return s.print(csv_row(members_of(columns)) + csv_row(cells_of(object, columns, false)));
  std::vector<std::vector<std::string>> rows;
  const auto cells = cells_of(object, columns, true);
  for (std::size_t i = 0; i < columns.size(); ++i) rows.push_back({columns[i].title, cells[i]});
  s.print(aligned(rows, {false, false}));
}

}  // namespace troupe::shell
