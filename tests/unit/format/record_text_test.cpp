#include <limits>
#include <optional>
#include <random>
#include <support/catch.hpp>
#include <tests/unit/format/fields.hpp>
#include <troupe/format/record.hpp>
#include <troupe/format/record_text.hpp>

using namespace troupe;
using namespace troupe::format;
using namespace troupe::format::testing;

namespace {

std::string json(bytes_view text) {
  bytes out;
  append_json_string(out, text);
  return out;
}
std::string tsv(bytes_view text) {
  bytes out;
  append_tsv_cell(out, text);
  return out;
}
std::string csv(bytes_view text) {
  bytes out;
  append_csv_cell(out, text);
  return out;
}
std::string base64(bytes_view data) {
  bytes out;
  append_base64(out, data);
  return out;
}

void put(bytes& out, bytes_view text) {
  append_varint(out, text.size());
  out.append(text);
}

/// word, count, ratio, maybe, tags, point{x, y}
schema sample_schema() {
  return {{plain("word", field_type::string),
           plain("count", field_type::uint64),
           plain("ratio", field_type::float64),
           {"maybe", field_type::optional, {plain("", field_type::string)}},
           {"tags", field_type::list, {plain("", field_type::string)}},
           {"point", field_type::record, {plain("x", field_type::int32), plain("y", field_type::boolean)}}}};
}

bytes sample_record(bytes_view word, std::optional<std::string> maybe) {
  bytes out;
  put(out, word);
  append_varint(out, 42);
  append_le(out, 0.1);
  out.push_back(maybe ? '\1' : '\0');
  if (maybe) put(out, *maybe);
  append_varint(out, 2);
  put(out, "p");
  put(out, "q\tr");
  append_varint(out, zigzag(-7));
  out.push_back('\1');
  return out;
}

std::string text_of(const schema& s, bytes_view record, text_format text) {
  const auto made = record_text::make(data_format::records, s, text);
  REQUIRE_OK(made);
  bytes out;
  REQUIRE_OK(made->append(out, record));
  return out;
}

}  // namespace

TEST_CASE("JSON strings are right for any bytes") {
  CHECK(json("") == R"("")");
  CHECK(json("plain text") == R"("plain text")");
  CHECK(json("a\"b\\c/") == R"("a\"b\\c/")");
  CHECK(json("\b\f\n\r\t") == R"("\b\f\n\r\t")");
  CHECK(json(bytes_view("\0\x1f\x7f", 3)) == "\"\\u0000\\u001f\x7f\"");
  CHECK(json("äö€😀") == "\"äö€😀\"");
}

TEST_CASE("each maximal bad part of UTF-8 becomes one replacement character") {
  CHECK(json("a\x80z") == R"("a\ufffdz")");
  CHECK(json("\xc0\xaf") == R"("\ufffd\ufffd")");                      // overlong
  CHECK(json("\xed\xa0\x80") == R"("\ufffd\ufffd\ufffd")");            // a surrogate
  CHECK(json("\xf4\x90\x80\x80") == R"("\ufffd\ufffd\ufffd\ufffd")");  // above U+10FFFF
  CHECK(json("\xe2\x82") == R"("\ufffd")");                            // cut off at the end
  CHECK(json("\xe2\x82z") == R"("\ufffdz")");
  CHECK(json("\xf0\x9f\x98\"") == R"("\ufffd\"")");
  // Table 3-8 of the Unicode standard.
  CHECK(json("\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64") ==
        R"("a\ufffd\ufffd\ufffdb\ufffdc\ufffd\ufffdd")");
}

TEST_CASE("TSV escapes what would break a line or a cell, and nothing else") {
  CHECK(tsv("plain") == "plain");
  CHECK(tsv("a\tb\nc\\d\re") == "a\\tb\\nc\\d\\re");
  CHECK(tsv("\t") == "\\t");
  CHECK(tsv("(\\r,") == "(\\r,");  // as it stands in the text: cut and sort count it as uniq -c does
  bytes all;
  for (int c = 0; c < 256; ++c) all.push_back(static_cast<char>(c));
  const auto escaped = tsv(all);
  CHECK(escaped.size() == all.size() + 3);
  CHECK(escaped.find_first_of("\t\n\r") == bytes::npos);
}

TEST_CASE("CSV quotes as RFC 4180 says") {
  CHECK(csv("plain text") == "plain text");
  CHECK(csv("") == "\"\"");
  CHECK(csv("a,b") == "\"a,b\"");
  CHECK(csv("say \"hi\"") == "\"say \"\"hi\"\"\"");
  CHECK(csv("\"") == "\"\"\"\"");
  CHECK(csv("two\nlines\r") == "\"two\nlines\r\"");
}

TEST_CASE("base64 is that of RFC 4648") {
  CHECK(base64("") == "");
  CHECK(base64("f") == "Zg==");
  CHECK(base64("fo") == "Zm8=");
  CHECK(base64("foo") == "Zm9v");
  CHECK(base64("foobar") == "Zm9vYmFy");
  CHECK(base64(bytes_view("\xff\x00\xfe", 3)) == "/wD+");
}

TEST_CASE("a record by its schema in each format") {
  const auto s = sample_schema();
  CHECK(text_of(s, sample_record("the\tword", "yes"), text_format::json) ==
        R"({"word":"the\tword","count":42,"ratio":0.1,"maybe":"yes","tags":["p","q\tr"],"point":{"x":-7,"y":true}})"
        "\n");
  CHECK(text_of(s, sample_record("the\tword", "yes"), text_format::tsv) ==
        "the\\tword\t42\t0.1\tyes\t[\"p\",\"q\\tr\"]\t{\"x\":-7,\"y\":true}\n");
  CHECK(text_of(s, sample_record("the,word", "yes"), text_format::csv) ==
        "\"the,word\",42,0.1,yes,\"[\"\"p\"\",\"\"q\\tr\"\"]\",\"{\"\"x\"\":-7,\"\"y\"\":true}\"\n");
  CHECK(text_of(s, sample_record("w", "yes"), text_format::lines) ==
        text_of(s, sample_record("w", "yes"), text_format::tsv));
}

TEST_CASE("an absent optional differs from an empty string") {
  const schema s{{plain("a", field_type::uint8), {"b", field_type::optional, {plain("", field_type::string)}}}};
  const bytes absent("\x05\0", 2), empty("\x05\x01\0", 3), older("\x05", 1);
  for (const auto& record : {absent, older}) {
    CHECK(text_of(s, record, text_format::json) == "{\"a\":5,\"b\":null}\n");
    CHECK(text_of(s, record, text_format::tsv) == "5\t\\N\n");
    CHECK(text_of(s, record, text_format::csv) == "5,\n");
  }
  CHECK(text_of(s, empty, text_format::json) == "{\"a\":5,\"b\":\"\"}\n");
  CHECK(text_of(s, empty, text_format::tsv) == "5\t\n");
  CHECK(text_of(s, empty, text_format::csv) == "5,\"\"\n");
}

TEST_CASE("numbers of every type at their limits") {
  const schema s{{plain("a", field_type::int8), plain("b", field_type::uint8), plain("c", field_type::int16),
                  plain("d", field_type::int64), plain("e", field_type::uint64), plain("f", field_type::float32),
                  plain("g", field_type::boolean)}};
  bytes record("\x80\xff", 2);
  append_varint(record, zigzag(-32768));
  append_varint(record, zigzag(std::numeric_limits<std::int64_t>::min()));
  append_varint(record, ~0ull);
  append_le(record, 0.1f);
  record.push_back('\0');
  CHECK(text_of(s, record, text_format::tsv) ==
        "-128\t255\t-32768\t-9223372036854775808\t18446744073709551615\t0.1\tfalse\n");
}

TEST_CASE("JSON has no infinities") {
  const schema s{{plain("f", field_type::float64)}};
  bytes record;
  append_le(record, -std::numeric_limits<double>::infinity());
  CHECK(text_of(s, record, text_format::json) == "{\"f\":null}\n");
  CHECK(text_of(s, record, text_format::tsv) == "-inf\n");
}

TEST_CASE("lines and bytes have a text as well") {
  const auto text = [](data_format format, text_format out_format, bytes_view payload) {
    const auto made = record_text::make(format, {}, out_format);
    REQUIRE_OK(made);
    bytes out;
    made->append_header(out);
    const auto count = made->append_payload(out, payload);
    REQUIRE_OK(count);
    CHECK(*count == 2);
    return out;
  };
  CHECK(text(data_format::lines, text_format::lines, "a\tb\r\nc") == "a\tb\r\nc\n");
  CHECK(text(data_format::lines, text_format::tsv, "a\tb\nc\n") == "a\\tb\nc\n");
  CHECK(text(data_format::lines, text_format::csv, "a,b\nc\n") == "line\n\"a,b\"\nc\n");
  CHECK(text(data_format::lines, text_format::json, "a\"b\nc\n") == "\"a\\\"b\"\n\"c\"\n");
  CHECK(text(data_format::bytes, text_format::json, "\2a\n\1b") == "\"YQo=\"\n\"Yg==\"\n");
  CHECK(text(data_format::bytes, text_format::lines, "\2a\n\1b") == "a\\n\nb\n");
}

TEST_CASE("columns and the header line of CSV") {
  const auto made = record_text::make(
      data_format::records, {{plain("a,b", field_type::uint8), plain("c", field_type::uint8)}}, text_format::csv);
  REQUIRE_OK(made);
  CHECK(made->columns() == std::vector<std::string>{"a,b", "c"});
  bytes out;
  made->append_header(out);
  CHECK(out == "\"a,b\",c\n");
}

TEST_CASE("a payload stops at the record that does not decode, and keeps the good ones") {
  const auto made = record_text::make(data_format::records, {{plain("a", field_type::boolean)}}, text_format::json);
  REQUIRE_OK(made);
  bytes out = "before ";
  const auto count = made->append_payload(out, bytes_view("\1\1\1\7", 4));
  REQUIRE_FALSE(count);
  CHECK(count.error().code() == errc::corrupted);
  CHECK(out == "before {\"a\":true}\n");
}

TEST_CASE("names of formats") {
  for (const auto f : {text_format::lines, text_format::tsv, text_format::csv, text_format::json})
    CHECK(*parse_text_format(to_string(f)) == f);
  CHECK_FALSE(parse_text_format("xml"));
  CHECK_FALSE(record_text::make(data_format::records, {}, text_format::json));
}

TEST_CASE("record_text and check_record agree on any bytes, and neither reads beyond them") {
  const auto s = sample_schema();
  const auto good = sample_record("word", "yes");
  std::mt19937 random(20261123);
  std::size_t refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    auto bad = good.substr(0, random() % (good.size() + 1));
    for (auto flips = random() % 4; flips != 0 && !bad.empty(); --flips)
      bad[random() % bad.size()] = static_cast<char>(random());
    const std::vector<char> exact(
        bad.begin(), bad.end());  // its end is the heap block's end: AddressSanitizer sees one byte too far
    const bytes_view record(exact.data(), exact.size());
    const bool fits = check_record(s, record).has_value();
    refused += !fits;
    for (const auto format : {text_format::tsv, text_format::csv, text_format::json}) {
      const auto made = record_text::make(data_format::records, s, format);
      bytes out = "x";
      REQUIRE(made->append(out, record).has_value() == fits);
      if (!fits) REQUIRE(out == "x");
    }
  }
  CHECK(refused > 1000);
  CHECK(refused < 19'900);
}
