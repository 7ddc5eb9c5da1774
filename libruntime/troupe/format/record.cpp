#include <algorithm>
#include <cstring>
#include <set>
#include <string>
#include <troupe/format/record.hpp>
#include <troupe/format/record_decode.hpp>

namespace troupe::format {
namespace {

result<void> check_fields(const std::vector<field>& fields, const std::string& path, std::size_t depth,
                          std::size_t& seen);

result<void> check_field(const field& f, const std::string& path, std::size_t depth, std::size_t& seen) {
  const auto refuse = [&](std::string_view why) {
    return error{errc::invalid_argument, "schema: " + path + " " + std::string(why)};
  };
  if (depth > schema_depth_max) return refuse("is nested deeper than " + std::to_string(schema_depth_max));
  if (++seen > schema_fields_max)
    return refuse("is one field too many, " + std::to_string(schema_fields_max) + " are allowed");
  if (f.type > field_type::record) return refuse("has an unknown type, " + std::to_string(static_cast<int>(f.type)));
  if (f.type == field_type::record) {
    if (f.children.empty()) return refuse("is a record without fields");
    return check_fields(f.children, path + ".", depth + 1, seen);
  }
  const bool wraps = f.type == field_type::optional || f.type == field_type::list;
  if (f.children.size() != (wraps ? 1u : 0u))
    return refuse("has " + std::to_string(f.children.size()) + " children where " + (wraps ? "one is" : "none are") +
                  " expected");
  return wraps ? check_field(f.children[0], path + "[]", depth + 1, seen) : ok();
}

result<void> check_fields(const std::vector<field>& fields, const std::string& path, std::size_t depth,
                          std::size_t& seen) {
  std::set<std::string_view> names;
  for (const auto& f : fields) {
    if (f.name.empty()) return error{errc::invalid_argument, "schema: " + path + " has a field without a name"};
    if (!names.insert(f.name).second)
      return error{errc::invalid_argument, "schema: " + path + f.name + " is there twice"};
    TROUPE_TRY_VOID(check_field(f, path + f.name, depth, seen));
  }
  return ok();
}

bool skip_value(const field& f, const char*& at, const char* end) {
  using namespace detail;
  std::uint8_t byte = 0;
  std::uint64_t number = 0;
  std::int64_t signed_number = 0;
  bool flag = false;
  float small = 0;
  double large = 0;
  bytes_view text;
  switch (f.type) {
    case field_type::boolean:
      return load_boolean(at, end, flag);
    case field_type::int8:
    case field_type::uint8:
      return load_byte(at, end, byte);
    case field_type::int16:
    case field_type::int32:
    case field_type::int64:
      return load_signed_of(f.type, at, end, signed_number);
    case field_type::uint16:
    case field_type::uint32:
    case field_type::uint64:
      return load_unsigned(at, end, unsigned_max(f.type), number);
    case field_type::float32:
      return load_float(at, end, small);
    case field_type::float64:
      return load_float(at, end, large);
    case field_type::string:
      return load_string(at, end, text);
    case field_type::optional:
      return load_boolean(at, end, flag) && (!flag || skip_value(f.children[0], at, end));
    case field_type::list:
      if (!load_count(at, end, number)) return false;
      for (; number != 0; --number)
        if (!skip_value(f.children[0], at, end)) return false;
      return true;
    case field_type::record:
      return std::all_of(f.children.begin(), f.children.end(), [&](const field& c) { return skip_value(c, at, end); });
  }
  return false;
}

}  // namespace

result<void> check_schema(const schema& s) {
  std::size_t seen = 0;
  return check_fields(s.fields, "", 1, seen);
}

result<bool> record_reader::next(bytes_view& out) {
  if (at_ == end_) return false;
  const auto left = static_cast<std::size_t>(end_ - at_);
  if (format_ == data_format::lines) {
    const auto* newline = static_cast<const char*>(std::memchr(at_, '\n', left));
    out = {at_, newline == nullptr ? left : static_cast<std::size_t>(newline - at_)};
    at_ = newline == nullptr ? end_ : newline + 1;
    return true;
  }
  const char* at = at_;
  if (!detail::load_string(at, end_, out))
    return error{errc::corrupted, "record at byte " + std::to_string(position()) +
                                      " of its batch: its length goes beyond the " + std::to_string(left) +
                                      " bytes that are left"};
  at_ = at;
  return true;
}

result<void> check_record(const schema& s, bytes_view record) {
  const char* at = record.data();
  const char* end = at + record.size();
  const auto refuse = [&](std::string_view what) {
    return error{errc::corrupted, "record of " + std::to_string(record.size()) + " bytes: " + std::string(what)};
  };
  for (std::size_t i = 0; i < s.fields.size(); ++i) {
    if (at == end && std::all_of(s.fields.begin() + static_cast<std::ptrdiff_t>(i), s.fields.end(),
                                 [](const field& f) { return f.type == field_type::optional; }))
      return ok();
    if (!skip_value(s.fields[i], at, end)) return refuse("field " + s.fields[i].name + " does not decode");
  }
  return at == end ? ok() : result<void>(refuse("something follows its last field"));
}

void append_record(bytes& out, bytes_view fields) {
  append_varint(out, fields.size());
  out.append(fields);
}

}  // namespace troupe::format
