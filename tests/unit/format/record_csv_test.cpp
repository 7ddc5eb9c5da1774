#include <random>
#include <support/catch.hpp>
#include <tests/unit/format/fields.hpp>
#include <troupe/format/record.hpp>
#include <troupe/format/record_csv.hpp>
#include <troupe/format/record_text.hpp>

using namespace troupe;
using namespace troupe::format;
using namespace troupe::format::testing;

namespace {

schema sale() {
  return {{plain("id", field_type::int64), plain("what", field_type::string), maybe("price", field_type::float64),
           plain("sold", field_type::boolean), maybe("note", field_type::string)}};
}

/// The records of a payload as record_text writes them.
std::string as_text(const schema& s, bytes_view payload, text_format format) {
  const auto text = record_text::make(data_format::records, s, format);
  REQUIRE_OK(text);
  bytes out;
  REQUIRE_OK(text->append_payload(out, payload));
  return out;
}

std::vector<std::string> cells(bytes_view row, char delimiter = ',') {
  csv_row r;
  REQUIRE_OK(r.split(row, delimiter));
  std::vector<std::string> out;
  for (const auto& cell : r.cells()) out.emplace_back(cell.text);
  return out;
}

std::string shown(const schema& s) {
  std::string out;
  for (const auto& f : s.fields) {
    const bool optional = f.type == field_type::optional;
    const auto type = optional ? f.children[0].type : f.type;
    const char* names[] = {"boolean", "int8",    "int16",   "int32",  "int64",    "uint8", "uint16", "uint32",
                           "uint64",  "float32", "float64", "string", "optional", "list",  "record"};
    out += (out.empty() ? "" : " ") + f.name + ":" + names[static_cast<int>(type)] + (optional ? "?" : "");
  }
  return out;
}

}  // namespace

TEST_CASE("a row ends at a newline that is in no quoted cell") {
  CHECK(find_row_end("a,b\nc", ',') == 4);
  CHECK(find_row_end("a,b", ',') == bytes_view::npos);
  CHECK(find_row_end("\"a\nb\",c\nd", ',') == 8);
  CHECK(find_row_end("\"a\"\"\n\",c\nd", ',') == 9);
  CHECK(find_row_end("\"a\nb", ',') == bytes_view::npos);
  CHECK(find_row_end("\"a\n\"", ',') == bytes_view::npos);  // may go on with another quote
  CHECK(find_row_end("5\" pipe,b\nc\n", ',') == 10);        // a quote within a cell is a letter
  CHECK(find_row_end("x;\"a;\nb\"\n", ';') == 9);
}

TEST_CASE("cells are what stands between delimiters, quotes undone") {
  CHECK(cells("") == std::vector<std::string>{""});
  CHECK(cells("a,,c,") == std::vector<std::string>{"a", "", "c", ""});
  CHECK(cells("\"a,\"\"b\"\"\",\"\",c\r") == std::vector<std::string>{"a,\"b\"", "", "c"});
  CHECK(cells("5\" pipe\tb", '\t') == std::vector<std::string>{"5\" pipe", "b"});
  csv_row r;
  CHECK(r.split("a,\"b", ',').error().message() == "column 2: the quoted cell does not end");
  CHECK(r.split("\"a\"b,c", ',').error().message() == "column 1: text follows the closing quote");
}

TEST_CASE("a row becomes a record, and says what does not fit") {
  auto csv = record_csv::make(sale(), ',');
  REQUIRE_OK(csv);
  bytes out;
  REQUIRE_OK(csv->append(out, "7,\"nails, small\",1.5,true,"));
  REQUIRE_OK(csv->append(out, " -8 ,,,FALSE,\"\""));
  CHECK(as_text(sale(), out, text_format::json) ==
        "{\"id\":7,\"what\":\"nails, small\",\"price\":1.5,\"sold\":true,\"note\":null}\n"
        "{\"id\":-8,\"what\":\"\",\"price\":null,\"sold\":false,\"note\":\"\"}\n");
  const auto before = out;
  CHECK(csv->append(out, "1,a,b,true,").error().message() == "column 3 (price): expected a number, found \"b\"");
  CHECK(csv->append(out, ",a,1,true,").error().message() ==
        "column 1 (id): expected a whole number of 64 bits, found nothing");
  CHECK(csv->append(out, "9223372036854775808,a,1,true,").error().message().find("64 bits") != std::string::npos);
  CHECK(csv->append(out, "1,a,1,yes,").error().message().find("expected true or false") != std::string::npos);
  CHECK(csv->append(out, "1,a").error().message() == "expected 5 columns, found 2");
  CHECK(out == before);
}

TEST_CASE("with a header cells go by name; other columns are left out, optional ones may lack") {
  auto csv = record_csv::make(sale(), ';');
  REQUIRE_OK(csv);
  REQUIRE_OK(csv->use_header("sold;extra; id;\"what\"\r"));
  bytes out;
  REQUIRE_OK(csv->append(out, "true;x;3;y\r"));
  CHECK(as_text(sale(), out, text_format::tsv) == "3\ty\t\\N\ttrue\t\\N\n");
  CHECK(csv->use_header("sold;id").error().message() == "the header has no column \"what\"");
  CHECK(csv->use_header("sold;id;what;id").error().message() == "the header has two columns \"id\"");
}

TEST_CASE("what a cell cannot hold is refused at once") {
  CHECK_FALSE(record_csv::make({{{"tags", field_type::list, {plain("", field_type::string)}}}}, ','));
  CHECK_FALSE(record_csv::make(sale(), '"'));
  CHECK_FALSE(record_csv::make({}, '\n'));
}

TEST_CASE("what record_text writes as CSV comes back as it was, whatever is in it") {
  std::mt19937 random(7);
  const std::string letters = "ab ,\"\n\r\\;é0";
  auto csv = record_csv::make(sale(), ',');
  REQUIRE_OK(csv);
  const auto text = record_text::make(data_format::records, sale(), text_format::csv);
  REQUIRE_OK(text);
  for (int round = 0; round < 2'000; ++round) {
    bytes fields;
    const auto word = [&] {
      std::string w;
      for (auto n = random() % 6; n > 0; --n) w += letters[random() % letters.size()];
      return w;
    };
    append_varint(fields, zigzag(static_cast<std::int64_t>(random()) - 2'000'000'000));
    append_record(fields, word());
    fields.push_back('\1');
    append_le(fields, static_cast<double>(random()) / 7);
    fields.push_back(static_cast<char>(random() % 2));
    fields.push_back('\1');
    append_record(fields, word());
    bytes line;
    REQUIRE_OK(text->append(line, fields));
    REQUIRE(find_row_end(line, ',') == line.size());
    line.pop_back();
    bytes payload, expected;
    REQUIRE_OK(csv->append(payload, line));
    append_record(expected, fields);
    INFO(line);
    CHECK(payload == expected);
  }
}

TEST_CASE("the schema of CSV is read off its first rows") {
  const bytes_view text =
      "\xef\xbb\xbfid,name , "
      "size,good,zip,empty\r\n1,a,2,true,01234,\r\n-2,\"b\nc\",2.5,false,99999,\r\n,x,1e3,true,5,\r\n";
  const auto with = infer_csv_schema(text, true, ',', true);
  REQUIRE_OK(with);
  CHECK(shown(*with) == "id:int64? name:string size:float64 good:boolean zip:string empty:string?");
  const auto without = infer_csv_schema("1,a\n2,b\n", true, ',', false);
  REQUIRE_OK(without);
  CHECK(shown(*without) == "column1:int64 column2:string");
  // The last row of a part of the text may be cut anywhere.
  const auto part = infer_csv_schema("1,2\n3,4\n5,so", false, ',', false);
  REQUIRE_OK(part);
  CHECK(shown(*part) == "column1:int64 column2:int64");
  CHECK_FALSE(infer_csv_schema("", true, ',', true));
  CHECK_FALSE(infer_csv_schema("a,a\n1,2\n", true, ',', true));
}

TEST_CASE("the schema of JSON lines is read off its first objects") {
  const auto s = infer_json_schema(
      "{\"id\":1,\"name\":\"a\",\"at\":{\"lat\":1,\"lon\":2.5},\"tags\":[]}\n"
      "{\"id\":2.5,\"at\":{\"lat\":2,\"lon\":1},\"tags\":[\"x\"],\"later\":true}\n\n",
      true);
  REQUIRE_OK(s);
  CHECK(shown(*s) == "id:float64 name:string? at:record tags:list later:boolean?");
  CHECK(shown({s->fields[2].children}) == "lat:int64 lon:float64");
  CHECK(s->fields[3].children[0].type == field_type::string);
  const auto mixed = infer_json_schema("{\"a\":1}\n{\"a\":\"x\"}\n", true);
  REQUIRE_FALSE(mixed);
  CHECK(mixed.error().message() ==
        "line 2: field a is a number before and a string here: say what it is with a schema");
  CHECK_FALSE(infer_json_schema("[1]\n", true));
  CHECK_FALSE(infer_json_schema("", true));
}
