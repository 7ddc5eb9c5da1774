/// Records by a schema that came from elsewhere, and their text. Input: the codec's bytes of a schema, then a payload.
#include <algorithm>
#include <string>
#include <support/codec_property.hpp>
#include <troupe/format/record.hpp>
#include <troupe/format/record_text.hpp>

namespace troupe::fuzz {
namespace {

using namespace format;

/// Text and check must agree on what fits the schema; where it does, a record is one line.
void check_text(data_format format, const schema& s, text_format into, bytes_view payload) {
  const auto text = record_text::make(format, s, into);
  TROUPE_INVARIANT(text.has_value(), "a schema that was checked is refused: " + text.error().message());
  bytes out;
  text->append_header(out);
  out.clear();
  const auto count = text->append_payload(out, payload);
  bool all_fit = true;
  std::uint64_t records = 0;
  record_reader reader(format, payload);
  bytes_view record;
  auto more = reader.next(record);
  for (; more && *more; more = reader.next(record), ++records) {
    TROUPE_INVARIANT(reader.position() <= payload.size(), "a record beyond its payload");
    all_fit = all_fit && (format != data_format::records || check_record(s, record).has_value());
  }
  TROUPE_INVARIANT(count.has_value() == (all_fit && more.has_value()), "text and check disagree");
  TROUPE_INVARIANT(!count || *count == records, "text and reader count differently");
  if (count && into == text_format::json)
    TROUPE_INVARIANT(static_cast<std::uint64_t>(std::count(out.begin(), out.end(), '\n')) == records,
                     "a line break within a JSON value");
}

bytes scalar_fields() {
  bytes fields("\x01\x80\x03\x05\x07", 5);
  append_le(fields, 1.5F);
  append_le(fields, -0.1);
  return fields += bytes("\x02\x01p\x02\xff\"\x09\x0a\x01\x01z", 11);
}

}  // namespace

void one_input(bytes_view input) {
  codec::reader in(input);
  schema s;
  if (!in.get(s)) return;
  check_encodes_again(s, input.size() - in.left());
  if (!check_schema(s) || s.fields.empty()) return;
  const auto payload = input.substr(input.size() - in.left());
  for (const auto format : {data_format::lines, data_format::records, data_format::bytes})
    for (const auto into : {text_format::lines, text_format::tsv, text_format::csv, text_format::json})
      check_text(format, s, into, payload);
}

std::vector<bytes> seeds() {
  const auto plain = [](std::string name, field_type type) { return field{std::move(name), type, {}}; };
  std::vector<bytes> made;
  const schema words{{plain("word", field_type::string), plain("count", field_type::uint64)}};
  made.push_back(codec::encode(words) + bytes("\x05\x03the\x07\x03\x01\x61\x02", 10));
  const schema all{{plain("a", field_type::boolean),
                    plain("b", field_type::int8),
                    plain("c", field_type::int16),
                    plain("d", field_type::int64),
                    plain("e", field_type::uint32),
                    plain("f", field_type::float32),
                    plain("g", field_type::float64),
                    {"h", field_type::list, {plain("", field_type::string)}},
                    {"i", field_type::record, {plain("x", field_type::uint8), plain("y", field_type::uint16)}},
                    {"j", field_type::optional, {plain("", field_type::string)}}}};
  const auto fields = scalar_fields();
  bytes payload;
  append_record(payload, fields);
  append_record(payload, fields.substr(0, fields.size() - 3));
  made.push_back(codec::encode(all) + payload);
  made.push_back(codec::encode(schema{{plain("t", field_type::string)}}) + "one line\nand \"another\", with\ttab\n");
  field deep = plain("", field_type::uint8);
  for (int i = 0; i < 12; ++i) deep = field{"l", i % 2 == 0 ? field_type::list : field_type::optional, {deep}};
  made.push_back(codec::encode(schema{{deep}}) + bytes("\x04\x01\x01\x01\x00", 5));
  return made;
}

/// A field's name stands in the JSON of every element of a list: text may be the square of the input.
std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes) + input_bytes * input_bytes; }

}  // namespace troupe::fuzz
