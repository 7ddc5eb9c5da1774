#include <random>
#include <support/catch.hpp>
#include <tests/unit/format/fields.hpp>
#include <troupe/format/record.hpp>
#include <troupe/format/record_json.hpp>
#include <troupe/format/record_text.hpp>

using namespace troupe;
using namespace troupe::format;
using namespace troupe::format::testing;

namespace {

schema visit() {
  return {{plain("user", field_type::string),
           plain("count", field_type::uint8),
           plain("delta", field_type::int64),
           plain("ratio", field_type::float64),
           plain("good", field_type::boolean),
           maybe("note", field_type::string),
           {"tags", field_type::list, {plain("", field_type::string)}},
           {"place",
            field_type::record,
            {plain("lat", field_type::float32), plain("level", field_type::int8), maybe("id", field_type::uint64)}}}};
}

/// Through the encoder and back by record_text: what a user would see.
std::string back(const schema& s, bytes_view json) {
  auto reader = record_json::make(data_format::records, s);
  REQUIRE_OK(reader);
  bytes payload;
  REQUIRE_OK(reader->append(payload, json));
  record_reader records(data_format::records, payload);
  bytes_view record;
  REQUIRE(*records.next(record));
  REQUIRE_OK(check_record(s, record));
  const auto text = record_text::make(data_format::records, s, text_format::json);
  REQUIRE_OK(text);
  bytes out;
  REQUIRE_OK(text->append_value(out, record));
  REQUIRE_FALSE(*records.next(record));
  return out;
}

std::string why_not(const schema& s, bytes_view json) {
  auto reader = record_json::make(data_format::records, s);
  REQUIRE_OK(reader);
  bytes payload = "before";
  const auto put = reader->append(payload, json);
  REQUIRE_FALSE(put);
  CHECK(put.error().code() == errc::invalid_argument);
  CHECK(payload == "before");
  return put.error().message();
}

}  // namespace

TEST_CASE("a JSON object becomes a record and reads back as it was") {
  const auto whole =
      R"({"user":"alice","count":255,"delta":-9223372036854775808,"ratio":0.1,"good":true,"note":"x\ty","tags":["a","b"],"place":{"lat":1.5,"level":-128,"id":18446744073709551615}})";
  CHECK(back(visit(), whole) == whole);
  const auto without =
      R"({"user":"","count":0,"delta":0,"ratio":1E0,"good":false,"note":null,"tags":[],"place":{"lat":0,"level":0,"id":null}})";
  CHECK(back(visit(), without).find(R"("note":null,"tags":[])") != std::string::npos);
}

TEST_CASE("fields come in any order, and optional ones may be left out") {
  const schema s{{plain("a", field_type::string), maybe("b", field_type::int32), plain("c", field_type::boolean)}};
  CHECK(back(s, R"({"c":true,"a":"x"})") == R"({"a":"x","b":null,"c":true})");
  CHECK(back(s, R"( { "b" : 7 , "c" : false , "a" : "y" } )") == R"({"a":"y","b":7,"c":false})");
}

TEST_CASE("the bytes of a record are those of the page") {
  auto reader = record_json::make(data_format::records,
                                  {{plain("word", field_type::string), plain("count", field_type::uint64)}});
  REQUIRE_OK(reader);
  bytes payload;
  REQUIRE_OK(reader->append(payload, R"({"word":"the","count":300})"));
  CHECK(payload == bytes("\x06\x03the\xac\x02", 7));
}

TEST_CASE("what does not fit is named with its field, what was expected and what was found") {
  const schema s{{plain("count", field_type::uint8),
                  {"place", field_type::record, {plain("lat", field_type::float32)}},
                  {"tags", field_type::list, {plain("", field_type::string)}}}};
  const auto with = [&](const std::string& count, const std::string& lat, const std::string& tags) {
    return why_not(s, "{\"count\":" + count + ",\"place\":{\"lat\":" + lat + "},\"tags\":" + tags + "}");
  };
  CHECK(with("256", "1", "[]") == "field count: expected a whole number from 0 to 255, found 256");
  CHECK(with("-1", "1", "[]") == "field count: expected a whole number from 0 to 255, found -1");
  CHECK(with("1.5", "1", "[]").starts_with("field count: expected a whole number from 0 to 255, found 1.5"));
  CHECK(with("null", "1", "[]") == "field count: expected a whole number from 0 to 255, found null");
  CHECK(with("1", "\"x\"", "[]") == "field place.lat: expected a number, found \"x\"");
  CHECK(with("1", "1e300", "[]").starts_with("field place.lat: expected a number in range, found 1E300"));
  CHECK(with("1", "1", "[\"a\",2]") == "field tags[1]: expected a string, found 2");
  CHECK(with("1", "1", "{}") == "field tags: expected a list, found {}");
  CHECK(why_not(s, R"({"count":1})") == "field place is missing");
  CHECK(why_not(s, R"({"count":1,"place":{},"tags":[]})") == "field place.lat is missing");
  CHECK(why_not(s, R"({"count":1,"place":{"lat":1,"lon":2},"tags":[]})") == "the dataset has no field \"place.lon\"");
  CHECK(why_not(s, R"({"count":1,"cuont":2,"place":{"lat":1},"tags":[]})") == "the dataset has no field \"cuont\"");
  CHECK(why_not(s, "[1]") == "expected an object, found [1]");
  CHECK(why_not(s, "{\"count\":").starts_with("not JSON: "));
  CHECK(why_not(s, "{} {}").starts_with("not JSON: "));
  CHECK(why_not(s, std::string(1000, '[')).starts_with("not JSON: "));
}

TEST_CASE("lines are counted, empty ones are passed over, and one that is wrong leaves nothing behind") {
  const schema s{{plain("n", field_type::int32)}};
  auto reader = record_json::make(data_format::records, s);
  REQUIRE_OK(reader);
  bytes payload;
  const auto some = reader->append_lines(payload, "{\"n\":1}\r\n\n  \n{\"n\":2}\n{\"n\":3}");
  REQUIRE_OK(some);
  CHECK(*some == 3);
  const auto had = payload;
  const auto none = reader->append_lines(payload, "{\"n\":4}\n\n{\"n\":\"five\"}\n");
  REQUIRE_FALSE(none);
  CHECK(none.error().message() ==
        "line 3: field n: expected a whole number from -2147483648 to 2147483647, found \"five\"");
  CHECK(payload == had);
  CHECK(*reader->append_lines(payload, "\n\n") == 0);
}

TEST_CASE("records of format bytes are strings of base64; lines are no JSON") {
  auto reader = record_json::make(data_format::bytes, {});
  REQUIRE_OK(reader);
  std::mt19937 random(7);
  for (std::size_t size = 0; size < 40; ++size) {
    bytes data, text, payload;
    for (std::size_t i = 0; i < size; ++i) data.push_back(static_cast<char>(random()));
    append_base64(text, data);
    REQUIRE_OK(reader->append(payload, "\"" + text + "\""));
    bytes expected;
    append_record(expected, data);
    CHECK(payload == expected);
  }
  bytes out = "x";
  for (const auto* wrong : {"a", "ab=", "ab==c===", "a===", "====", "a b=", "ab=c", "/x==", "ab\n="})
    CHECK_FALSE(append_from_base64(out, wrong));
  CHECK(out == "x");
  CHECK_FALSE(reader->append(out, "\"abc\""));
  CHECK_FALSE(record_json::make(data_format::lines, {}));
  CHECK_FALSE(record_json::make(data_format::records, {{plain("", field_type::string)}}));
}
