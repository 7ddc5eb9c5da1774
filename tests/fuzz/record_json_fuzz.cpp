/// Lines of JSON that become records, and schemas as people write them. Input: a byte that says which; then the codec's
/// bytes of a schema and the lines, or the schema's text.
#include <algorithm>
#include <string>
#include <support/codec_property.hpp>
#include <troupe/api/schema_text.hpp>
#include <troupe/format/record.hpp>
#include <troupe/format/record_json.hpp>
#include <troupe/format/record_text.hpp>

namespace troupe::fuzz {
namespace {

using namespace format;

/// A name that is not UTF-8 can't stand in JSON, so records with it can't be appended that way.
bool is_plain(const std::vector<field>& fields) {
  return std::all_of(fields.begin(), fields.end(), [](const field& f) {
    return std::all_of(f.name.begin(), f.name.end(), [](char c) { return c >= 0; }) && is_plain(f.children);
  });
}

bytes read_again(record_json& reader, const schema& s, data_format format, bytes_view payload, std::uint64_t count) {
  const auto text = record_text::make(format, s, text_format::json);
  bytes written, again;
  const auto shown = text->append_payload(written, payload);
  TROUPE_INVARIANT(shown.has_value() && *shown == count, "records that were taken do not read");
  const auto read = reader.append_lines(again, written);
  TROUPE_INVARIANT(read.has_value(), "what was written is refused: " + read.error().message());
  return again;
}

/// What was taken fits the schema, and reads back from its own text as the same bytes.
void check_records(const schema& s, data_format format, bytes_view lines) {
  auto reader = record_json::make(format, s);
  TROUPE_INVARIANT(reader.has_value(), "a schema that was checked is refused: " + reader.error().message());
  bytes payload = "before";
  const auto count = reader->append_lines(payload, lines);
  if (!count) {
    TROUPE_INVARIANT(payload == "before", "a line that was refused left something behind");
    TROUPE_INVARIANT(!count.error().message().empty(), "refused without a word");
    return;
  }
  payload.erase(0, 6);
  // Once written and read, nothing changes any more (at first -0.0 may: JSON's readers take -0 for a whole number).
  const auto once = read_again(*reader, s, format, payload, *count);
  const auto twice = read_again(*reader, s, format, once, *count);
  TROUPE_INVARIANT(twice == once, "records change when they are written and read again");
}

void check_schema_text(bytes_view text) {
  const auto read = api::parse_schema(text);
  if (!read) return;
  const auto written = api::schema_text(*read);
  const auto again = api::parse_schema(written);
  TROUPE_INVARIANT(again.has_value() && *again == *read, "a schema changes when it is written: " + written);
}

}  // namespace

void one_input(bytes_view input) {
  if (input.empty()) return;
  const auto which = input.front();
  input.remove_prefix(1);
  if (which == 'T') return check_schema_text(input);
  codec::reader in(input);
  schema s;
  if (!in.get(s) || !check_schema(s) || s.fields.empty() || !is_plain(s.fields)) return;
  const auto lines = input.substr(input.size() - in.left());
  check_records(s, data_format::records, lines);
  check_records(s, data_format::bytes, lines);
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  const auto* text = "a:string, b:int8, c:uint64?, d:[float32], e:{x:boolean, y:float64?}";
  made.push_back("T" + bytes(text));
  made.push_back(bytes("T\n u:bool , v:[[int?]]? "));
  made.push_back("R" + codec::encode(*api::parse_schema(text)) +
                 "{\"a\":\"x\\u00e9\",\"b\":-128,\"c\":null,\"d\":[0.1,1e3],\"e\":{\"x\":true}}\n\n"
                 "{\"e\":{\"y\":0.1,\"x\":false},\"d\":[],\"c\":18446744073709551615,\"b\":1,\"a\":\"\"}");
  made.push_back("R" + codec::encode(*api::parse_schema("a:string")) + "\"aGVsbG8=\"\n\"\"\n");
  return made;
}

/// A value of a few bytes has a node of JSON of its own.
std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes) + 64 * input_bytes; }

}  // namespace troupe::fuzz
