#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>
#include <troupe/format/record.hpp>
#include <troupe/format/record_decode.hpp>
#include <troupe/format/record_text.hpp>

namespace troupe::format {

/// A field of the schema with its JSON key ready. The root stands for the whole record.
struct record_text::node {
  field_type type = field_type::record;
  std::string name;
  bytes json_key;  ///< «"name":», empty for elements
  std::vector<node> children;

  static node of(const field& f) {
    node n{f.type, f.name, {}, {}};
    append_json_string(n.json_key, f.name);
    n.json_key.push_back(':');
    for (const auto& child : f.children) n.children.push_back(of(child));
    return n;
  }
};

namespace {

using namespace detail;

template <class Number>
void append_number(bytes& out, Number value) {
  char raw[32];
  const auto end = std::to_chars(raw, raw + sizeof raw, value);
  out.append(raw, end.ptr);
}

/// The shortest text that reads back as the same number. JSON has no words for the others.
template <class Float>
void append_float(bytes& out, Float value, bool json) {
  if (json && !std::isfinite(value))
    out.append("null");
  else
    append_number(out, value);
}

/// Numbers and booleans look alike in all formats.
template <class Node>
bool append_scalar(const Node& n, const char*& at, const char* end, bytes& out, bool json) {
  std::uint8_t byte = 0;
  std::uint64_t number = 0;
  std::int64_t signed_number = 0;
  bool flag = false;
  float small = 0;
  double large = 0;
  switch (n.type) {
    case field_type::boolean:
      if (!load_boolean(at, end, flag)) return false;
      out.append(flag ? "true" : "false");
      return true;
    case field_type::int8:
      if (!load_byte(at, end, byte)) return false;
      append_number(out, static_cast<int>(static_cast<std::int8_t>(byte)));
      return true;
    case field_type::uint8:
      if (!load_byte(at, end, byte)) return false;
      append_number(out, static_cast<unsigned>(byte));
      return true;
    case field_type::int16:
    case field_type::int32:
    case field_type::int64:
      if (!load_signed_of(n.type, at, end, signed_number)) return false;
      append_number(out, signed_number);
      return true;
    case field_type::uint16:
    case field_type::uint32:
    case field_type::uint64:
      if (!load_unsigned(at, end, unsigned_max(n.type), number)) return false;
      append_number(out, number);
      return true;
    case field_type::float32:
      if (!load_float(at, end, small)) return false;
      append_float(out, small, json);
      return true;
    case field_type::float64:
      if (!load_float(at, end, large)) return false;
      append_float(out, large, json);
      return true;
    default:
      return false;
  }
}

template <class Node>
bool append_json(const Node& n, const char*& at, const char* end, bytes& out) {
  switch (n.type) {
    case field_type::string: {
      bytes_view text;
      if (!load_string(at, end, text)) return false;
      append_json_string(out, text);
      return true;
    }
    case field_type::optional: {
      bool present = false;
      if (!load_boolean(at, end, present)) return false;
      if (present) return append_json(n.children[0], at, end, out);
      out.append("null");
      return true;
    }
    case field_type::list: {
      std::uint64_t count = 0;
      if (!load_count(at, end, count)) return false;
      out.push_back('[');
      for (std::uint64_t i = 0; i < count; ++i) {
        if (i != 0) out.push_back(',');
        if (!append_json(n.children[0], at, end, out)) return false;
      }
      out.push_back(']');
      return true;
    }
    case field_type::record: {
      char before = '{';
      for (const auto& child : n.children) {
        out.push_back(before);
        before = ',';
        out.append(child.json_key);
        if (!append_json(child, at, end, out)) return false;
      }
      out.push_back('}');
      return true;
    }
    default:
      return append_scalar(n, at, end, out, true);
  }
}

template <class Node>
bool append_cell(const Node& n, const char*& at, const char* end, bytes& out, text_format text) {
  const auto put = [&](bytes_view cell) {
    text == text_format::csv ? append_csv_cell(out, cell) : append_tsv_cell(out, cell);
  };
  switch (n.type) {
    case field_type::string: {
      bytes_view value;
      if (!load_string(at, end, value)) return false;
      put(value);
      return true;
    }
    case field_type::optional: {
      bool present = false;
      if (!load_boolean(at, end, present)) return false;
      if (present) return append_cell(n.children[0], at, end, out, text);
      if (text != text_format::csv) out.append("\\N");
      return true;
    }
    case field_type::list:
    case field_type::record: {
      bytes json;
      if (!append_json(n, at, end, json)) return false;
      put(json);
      return true;
    }
    default:
      return append_scalar(n, at, end, out, false);
  }
}

}  // namespace

result<text_format> parse_text_format(std::string_view name) {
  for (const auto format : {text_format::lines, text_format::tsv, text_format::csv, text_format::json})
    if (to_string(format) == name) return format;
  return error{errc::invalid_argument, "format " + std::string(name) + " is none of lines, tsv, csv, json"};
}

std::string_view to_string(text_format format) noexcept {
  switch (format) {
    case text_format::lines:
      return "lines";
    case text_format::tsv:
      return "tsv";
    case text_format::csv:
      return "csv";
    case text_format::json:
      return "json";
  }
  return "unknown";
}

record_text::record_text(data_format format, text_format text)
    : format_(format), text_(text), root_(std::make_unique<node>()) {}
record_text::record_text(record_text&&) noexcept = default;
record_text& record_text::operator=(record_text&&) noexcept = default;
record_text::~record_text() = default;

result<record_text> record_text::make(data_format format, const schema& s, text_format text) {
  if (text == text_format::lines && format != data_format::lines) text = text_format::tsv;
  record_text made(format, text);
  if (format == data_format::records) {
    TROUPE_TRY_VOID(check_schema(s));
    if (s.fields.empty()) return error{errc::invalid_argument, "schema: records need at least one field"};
    for (const auto& f : s.fields) made.root_->children.push_back(node::of(f));
  }
  return made;
}

std::vector<std::string> record_text::columns() const {
  if (format_ == data_format::lines) return {"line"};
  if (format_ == data_format::bytes) return {"bytes"};
  std::vector<std::string> names;
  for (const auto& child : root_->children) names.push_back(child.name);
  return names;
}

void record_text::append_header(bytes& out) const {
  if (text_ != text_format::csv) return;
  bool first = true;
  for (const auto& name : columns()) {
    if (!first) out.push_back(',');
    first = false;
    append_csv_cell(out, name);
  }
  out.push_back('\n');
}

result<void> record_text::append(bytes& out, bytes_view record) const {
  TROUPE_TRY_VOID(append_value(out, record));
  out.push_back('\n');
  return ok();
}

result<void> record_text::append_value(bytes& out, bytes_view record) const {
  if (format_ != data_format::records) {
    if (text_ == text_format::lines) {
      out.append(record);
    } else if (text_ == text_format::tsv) {
      append_tsv_cell(out, record);
    } else if (text_ == text_format::csv) {
      append_csv_cell(out, record);
    } else if (format_ == data_format::lines) {
      append_json_string(out, record);
    } else {
      out.push_back('"');
      append_base64(out, record);
      out.push_back('"');
    }
    return ok();
  }
  const auto size_before = out.size();
  const char* at = record.data();
  const char* end = at + record.size();
  const auto& fields = root_->children;
  const bool json = text_ == text_format::json;
  const auto refuse = [&](std::string_view what) {
    out.resize(size_before);
    return error{errc::corrupted, "record of " + std::to_string(record.size()) + " bytes: " + std::string(what)};
  };
  if (json) out.push_back('{');
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto& field = fields[i];
    if (i != 0) out.push_back(json || text_ == text_format::csv ? ',' : '\t');
    if (json) out.append(field.json_key);
    // A record may end before the schema's trailing optional fields: it is older than they are.
    if (at == end && field.type == field_type::optional &&
        std::all_of(fields.begin() + static_cast<std::ptrdiff_t>(i), fields.end(),
                    [](const node& n) { return n.type == field_type::optional; })) {
      if (json) out.append("null");
      if (text_ == text_format::tsv) out.append("\\N");
      continue;
    }
    if (!(json ? append_json(field, at, end, out) : append_cell(field, at, end, out, text_)))
      return refuse("field " + field.name + " does not decode");
  }
  if (at != end) return refuse("something follows its last field");
  if (json) out.push_back('}');
  return ok();
}

result<std::uint64_t> record_text::append_payload(bytes& out, bytes_view payload) const {
  if (text_ == text_format::lines) {  // as imported: no need to cut it up
    out.append(payload);
    auto count = static_cast<std::uint64_t>(std::count(payload.begin(), payload.end(), '\n'));
    if (!payload.empty() && payload.back() != '\n') {
      out.push_back('\n');
      ++count;
    }
    return count;
  }
  record_reader reader(format_, payload);
  bytes_view record;
  std::uint64_t count = 0;
  for (;; ++count) {
    TROUPE_TRY(const bool more, reader.next(record));
    if (!more) return count;
    TROUPE_TRY_VOID(append(out, record));
  }
}

}  // namespace troupe::format
