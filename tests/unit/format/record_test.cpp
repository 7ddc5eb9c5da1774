#include <support/catch.hpp>
#include <troupe/format/record.hpp>

using namespace troupe;
using namespace troupe::format;

namespace {

std::vector<std::string> cut(data_format format, bytes_view payload) {
  record_reader reader(format, payload);
  bytes_view record;
  std::vector<std::string> out;
  for (;;) {
    const auto more = reader.next(record);
    REQUIRE_OK(more);
    if (!*more) return out;
    out.emplace_back(record);
  }
}

field of(field_type type) { return {"f", type, {}}; }
schema one(field f) { return {{std::move(f)}}; }

bytes varint(std::uint64_t value) {
  bytes out;
  append_varint(out, value);
  return out;
}

}  // namespace

TEST_CASE("lines are cut at newlines; a last one without counts") {
  CHECK(cut(data_format::lines, "a\n\nbc\n") == std::vector<std::string>{"a", "", "bc"});
  CHECK(cut(data_format::lines, "a\nb") == std::vector<std::string>{"a", "b"});
  CHECK(cut(data_format::lines, "").empty());
}

TEST_CASE("records and bytes are cut by their lengths") {
  bytes payload;
  append_record(payload, "abc");
  append_record(payload, "");
  append_record(payload, bytes(300, 'x'));
  for (const auto format : {data_format::records, data_format::bytes})
    CHECK(cut(format, payload) == std::vector<std::string>{"abc", "", std::string(300, 'x')});
  for (std::size_t size = 6; size < payload.size(); ++size) {
    record_reader reader(data_format::records, bytes_view(payload).substr(0, size));
    bytes_view record;
    CHECK(*reader.next(record));
    CHECK(*reader.next(record));
    const auto at = reader.position();
    CHECK(reader.next(record).error().code() == errc::corrupted);
    CHECK(reader.position() == at);
  }
}

TEST_CASE("zigzag keeps small numbers small") {
  CHECK(zigzag(0) == 0);
  CHECK(zigzag(-1) == 1);
  CHECK(zigzag(1) == 2);
  for (const std::int64_t value : {INT64_MIN, INT64_MIN + 1, std::int64_t{-1}, std::int64_t{0}, INT64_MAX})
    CHECK(unzigzag(zigzag(value)) == value);
}

TEST_CASE("a record is checked against its schema") {
  SECTION("booleans are 0 or 1") {
    CHECK(check_record(one(of(field_type::boolean)), bytes_view("\1", 1)));
    CHECK_FALSE(check_record(one(of(field_type::boolean)), bytes_view("\2", 1)));
  }
  SECTION("numbers stay in their range") {
    CHECK(check_record(one(of(field_type::uint16)), varint(65535)));
    CHECK_FALSE(check_record(one(of(field_type::uint16)), varint(65536)));
    CHECK(check_record(one(of(field_type::uint32)), varint(0xffffffff)));
    CHECK_FALSE(check_record(one(of(field_type::uint32)), varint(0x100000000)));
    CHECK(check_record(one(of(field_type::uint64)), varint(~0ull)));
    CHECK(check_record(one(of(field_type::int16)), varint(zigzag(-32768))));
    CHECK_FALSE(check_record(one(of(field_type::int16)), varint(zigzag(-32769))));
    CHECK(check_record(one(of(field_type::int32)), varint(zigzag(INT32_MIN))));
    CHECK_FALSE(check_record(one(of(field_type::int32)), varint(zigzag(std::int64_t{INT32_MAX} + 1))));
    CHECK(check_record(one(of(field_type::int64)), varint(zigzag(INT64_MIN))));
  }
  SECTION("what is cut off is refused") {
    CHECK_FALSE(check_record(one(of(field_type::float32)), "abc"));
    CHECK_FALSE(check_record(one(of(field_type::float64)), "abcdefg"));
    CHECK_FALSE(check_record(one(of(field_type::int8)), ""));
    CHECK_FALSE(check_record(one(of(field_type::string)), "\5abcd"));
    CHECK_FALSE(check_record(one(of(field_type::uint64)), "\x80"));
  }
  SECTION("a list's count is not believed") {
    const auto s = one({"f", field_type::list, {of(field_type::uint8)}});
    CHECK(check_record(s, "\3abc"));
    CHECK_FALSE(check_record(s, "\4abc"));
    CHECK_FALSE(check_record(s, varint(~0ull) + "abc"));
  }
  SECTION("trailing optional fields may be missing, others not") {
    const field maybe{"g", field_type::optional, {of(field_type::uint8)}};
    CHECK(check_record(schema{{of(field_type::uint8), maybe}}, "a"));
    CHECK(check_record(schema{{of(field_type::uint8), maybe}}, bytes_view("a\0", 2)));
    CHECK(check_record(schema{{of(field_type::uint8), maybe}}, "a\1b"));
    CHECK_FALSE(check_record(schema{{of(field_type::uint8), maybe}}, "a\1"));
    CHECK_FALSE(check_record(schema{{of(field_type::uint8), maybe, {"h", field_type::uint8, {}}}}, "a"));
  }
  SECTION("nothing follows the last field") { CHECK_FALSE(check_record(one(of(field_type::uint8)), "abc")); }
}

TEST_CASE("schemas that cannot be are refused") {
  CHECK(check_schema(schema{}));
  CHECK(check_schema(one(
      {"f", field_type::optional, {{"", field_type::list, {{"", field_type::record, {of(field_type::string)}}}}}})));
  CHECK_FALSE(check_schema(one({"", field_type::string, {}})));
  CHECK_FALSE(check_schema(schema{{of(field_type::string), of(field_type::uint8)}}));
  CHECK_FALSE(check_schema(one({"f", field_type::optional, {}})));
  CHECK_FALSE(check_schema(one({"f", field_type::string, {of(field_type::string)}})));
  CHECK_FALSE(check_schema(one({"f", field_type::record, {}})));
  CHECK_FALSE(check_schema(one({"f", static_cast<field_type>(200), {}})));
  field deep = of(field_type::string);
  for (std::size_t i = 0; i < schema_depth_max; ++i) deep = {"f", field_type::list, {deep}};
  const auto refused = check_schema(one(deep));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("deeper") != std::string::npos);
  schema wide;
  for (std::size_t i = 0; i <= schema_fields_max; ++i)
    wide.fields.push_back({"f" + std::to_string(i), field_type::uint8, {}});
  CHECK_FALSE(check_schema(wide));
}
