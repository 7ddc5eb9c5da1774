#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/parser.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <troupe/format/record.hpp>
#include <troupe/format/record_json.hpp>
#include <vector>

namespace troupe::format {
namespace json = boost::json;
namespace {

constexpr std::size_t document_buffer_bytes = 16 << 10;  ///< most records are parsed without asking for memory
constexpr std::size_t parser_buffer_bytes = 4 << 10;
constexpr std::size_t shown_value_bytes_max = 60;  ///< of a wrong value in a sentence

/// What was wrong, and the path to it, innermost name first.
struct wrong_value {
  enum class kind { value, missing, unknown } what = kind::value;
  std::string expected;
  std::string found;
  std::vector<std::string> path;
};

std::string shown(const json::value& value) {
  auto text = json::serialize(value);
  if (text.size() > shown_value_bytes_max) text = text.substr(0, shown_value_bytes_max) + "…";
  return text;
}

struct integer_range {
  std::int64_t least;
  std::uint64_t most;
};

template <class Int>
constexpr integer_range range_of() {
  return {static_cast<std::int64_t>(std::numeric_limits<Int>::min()),
          static_cast<std::uint64_t>(std::numeric_limits<Int>::max())};
}

integer_range range_of(field_type type) {
  switch (type) {
    case field_type::int8:
      return range_of<std::int8_t>();
    case field_type::int16:
      return range_of<std::int16_t>();
    case field_type::int32:
      return range_of<std::int32_t>();
    case field_type::int64:
      return range_of<std::int64_t>();
    case field_type::uint8:
      return range_of<std::uint8_t>();
    case field_type::uint16:
      return range_of<std::uint16_t>();
    case field_type::uint32:
      return range_of<std::uint32_t>();
    default:
      return range_of<std::uint64_t>();
  }
}

bool is_signed(field_type type) {
  return type == field_type::int8 || type == field_type::int16 || type == field_type::int32 ||
         type == field_type::int64;
}

/// Writes values as the schema has them. The first thing that does not fit ends it.
class encoder {
 public:
  encoder(bytes& out, wrong_value& wrong) : out_(out), wrong_(wrong) {}

  bool put(const field& f, const json::value& value) {
    switch (f.type) {
      case field_type::boolean:
        if (!value.is_bool()) return refuse("true or false", value);
        out_.push_back(value.get_bool() ? '\1' : '\0');
        return true;
      case field_type::float32:
        return put_float<float>(value);
      case field_type::float64:
        return put_float<double>(value);
      case field_type::string: {
        const auto* text = value.if_string();
        if (text == nullptr) return refuse("a string", value);
        append_record(out_, std::string_view(*text));
        return true;
      }
      case field_type::optional:
        out_.push_back(value.is_null() ? '\0' : '\1');
        return value.is_null() || put(f.children[0], value);
      case field_type::list:
        return put_list(f, value);
      case field_type::record:
        return put_fields(f.children, value);
      default:
        return put_integer(f.type, value);
    }
  }

  bool put_fields(const std::vector<field>& fields, const json::value& value) {
    const auto* object = value.if_object();
    if (object == nullptr) return refuse("an object", value);
    std::size_t used = 0;
    for (std::size_t i = 0; i < fields.size(); ++i) {
      const auto& f = fields[i];
      // Mostly the members come in the schema's order.
      const json::value* member = used < object->size() && (object->begin() + used)->key() == f.name
                                      ? &(object->begin() + used)->value()
                                      : object->if_contains(f.name);
      if (member != nullptr) {
        ++used;
        if (!put(f, *member)) return at(f.name);
      } else if (f.type == field_type::optional) {
        out_.push_back('\0');
      } else {
        wrong_ = {wrong_value::kind::missing, {}, {}, {f.name}};
        return false;
      }
    }
    if (used == object->size()) return true;
    for (const auto& [name, member] : *object) {
      bool known = false;
      for (const auto& f : fields) known = known || f.name == name;
      if (known) continue;
      wrong_ = {wrong_value::kind::unknown, {}, {}, {std::string(name)}};
      return false;
    }
    return true;
  }

 private:
  bool refuse(std::string expected, const json::value& found) {
    wrong_ = {wrong_value::kind::value, std::move(expected), shown(found), {}};
    return false;
  }
  bool at(std::string name) {
    wrong_.path.push_back(std::move(name));
    return false;
  }

  bool put_list(const field& f, const json::value& value) {
    const auto* list = value.if_array();
    if (list == nullptr) return refuse("a list", value);
    append_varint(out_, list->size());
    for (std::size_t i = 0; i < list->size(); ++i)
      if (!put(f.children[0], (*list)[i])) return at("[" + std::to_string(i) + "]");
    return true;
  }

  template <class Float>
  bool put_float(const json::value& value) {
    if (!value.is_number()) return refuse("a number", value);
    json::error_code failed;
    const auto number = static_cast<Float>(value.to_number<double>(failed));
    if (failed || !std::isfinite(number)) return refuse("a number in range", value);
    append_le(out_, number);
    return true;
  }

  bool put_integer(field_type type, const json::value& value) {
    const auto range = range_of(type);
    const auto* small = value.if_int64();
    const auto* large = value.if_uint64();
    const bool negative = small != nullptr && *small < 0;
    const bool fits = negative           ? *small >= range.least
                      : small != nullptr ? static_cast<std::uint64_t>(*small) <= range.most
                                         : large != nullptr && *large <= range.most;
    if (!fits)
      return refuse("a whole number from " + std::to_string(range.least) + " to " + std::to_string(range.most), value);
    const auto number = small != nullptr ? static_cast<std::uint64_t>(*small) : *large;
    if (type == field_type::int8 || type == field_type::uint8)
      out_.push_back(static_cast<char>(number));
    else
      append_varint(out_, is_signed(type) ? zigzag(static_cast<std::int64_t>(number)) : number);
    return true;
  }

  bytes& out_;
  wrong_value& wrong_;
};

error sentence(const wrong_value& wrong) {
  std::string path;
  for (auto name = wrong.path.rbegin(); name != wrong.path.rend(); ++name)
    path += (path.empty() || name->starts_with('[') ? "" : ".") + *name;
  if (wrong.what == wrong_value::kind::unknown)
    return {errc::invalid_argument, "the dataset has no field \"" + path + "\""};
  if (wrong.what == wrong_value::kind::missing) return {errc::invalid_argument, "field " + path + " is missing"};
  return {errc::invalid_argument,
          (path.empty() ? "" : "field " + path + ": ") + "expected " + wrong.expected + ", found " + wrong.found};
}

/// Digits of base64 by their characters; 64: none of them.
constexpr auto base64_digits = [] {
  std::array<std::uint8_t, 256> table{};
  table.fill(64);
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (std::size_t i = 0; i < letters.size(); ++i)
    table[static_cast<unsigned char>(letters[i])] = static_cast<std::uint8_t>(i);
  return table;
}();

}  // namespace

bool append_from_base64(bytes& out, bytes_view text) {
  if (text.size() % 4 != 0) return false;
  const auto had = out.size();
  for (std::size_t at = 0; at < text.size(); at += 4) {
    const bool last = at + 4 == text.size();
    const std::size_t padding = !last || text[at + 3] != '=' ? 0 : text[at + 2] != '=' ? 1 : 2;
    std::uint32_t group = 0;
    bool good = true;
    for (std::size_t i = 0; i < 4 - padding; ++i) {
      const auto digit = base64_digits[static_cast<unsigned char>(text[at + i])];
      good = good && digit < 64;
      group |= static_cast<std::uint32_t>(digit & 63) << (18 - 6 * i);
    }
    if (!good || (group & (padding == 2 ? 0xffffU : padding == 1 ? 0xffU : 0U)) != 0) {
      out.resize(had);
      return false;
    }
    for (std::size_t i = 0; i < 3 - padding; ++i) out.push_back(static_cast<char>(group >> (16 - 8 * i)));
  }
  return true;
}

struct record_json::impl {
  data_format format;
  troupe::schema schema;
  bytes fields;  ///< of the record that is being made
  wrong_value wrong;
  std::array<unsigned char, document_buffer_bytes> document_buffer;
  std::array<unsigned char, parser_buffer_bytes> parser_buffer;
  json::monotonic_resource memory{document_buffer.data(), document_buffer.size()};
  json::parser parser{{}, {}, parser_buffer.data(), parser_buffer.size()};

  result<void> encode(bytes_view text) {
    fields.clear();
    memory.release();
    parser.reset(&memory);
    json::error_code failed;
    parser.write(text.data(), text.size(), failed);
    if (failed) return error{errc::invalid_argument, "not JSON: " + failed.message()};
    const auto value = parser.release();
    if (format == data_format::bytes) {
      const auto* encoded = value.if_string();
      if (encoded == nullptr || !append_from_base64(fields, std::string_view(*encoded)))
        return error{errc::invalid_argument, "expected a string of base64, found " + shown(value)};
      return ok();
    }
    encoder to(fields, wrong);
    if (!to.put_fields(schema.fields, value)) return sentence(wrong);
    return ok();
  }
};

record_json::record_json(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
record_json::record_json(record_json&&) noexcept = default;
record_json& record_json::operator=(record_json&&) noexcept = default;
record_json::~record_json() = default;

result<record_json> record_json::make(data_format format, const schema& s) {
  if (format == data_format::lines)
    return error{errc::invalid_argument, "records of a dataset of lines are text as it is, not JSON"};
  if (format == data_format::records) TROUPE_TRY_VOID(check_schema(s));
  auto made = std::make_unique<impl>();
  made->format = format;
  made->schema = s;
  return record_json(std::move(made));
}

result<void> record_json::append(bytes& out, bytes_view text) {
  TROUPE_TRY_VOID(impl_->encode(text));
  append_record(out, impl_->fields);
  return ok();
}

result<std::uint64_t> record_json::append_lines(bytes& out, bytes_view text) {
  const auto had = out.size();
  std::uint64_t records = 0;
  std::size_t line = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    ++line;
    const auto end = std::min(text.find('\n', begin), text.size());
    const auto one = text.substr(begin, end - begin);
    begin = end + 1;
    if (one.find_first_not_of(" \t\r") == bytes_view::npos) continue;
    if (const auto appended = append(out, one); !appended) {
      out.resize(had);
      return appended.error().with_context("line " + std::to_string(line));
    }
    ++records;
  }
  return records;
}

}  // namespace troupe::format
