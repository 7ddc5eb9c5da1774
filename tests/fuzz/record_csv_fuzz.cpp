/// Text that is read as CSV, or as lines of JSON, with the schema that is read off it. Input: a byte that says how (J:
/// JSON; else its lowest bit: a header, the next two: the delimiter), then the text.
#include <algorithm>
#include <string>
#include <support/fuzz.hpp>
#include <support/sample.hpp>
#include <troupe/format/record.hpp>
#include <troupe/format/record_csv.hpp>
#include <troupe/format/record_json.hpp>
#include <troupe/format/record_text.hpp>

namespace troupe::fuzz {
namespace {

using namespace format;

/// Rows in their order; the last one may lack its end.
template <class F>
void for_each_row(bytes_view text, char delimiter, F f) {
  while (!text.empty()) {
    const auto end = find_row_end(text, delimiter);
    TROUPE_INVARIANT(end == bytes_view::npos || (end > 0 && end <= text.size() && text[end - 1] == '\n'),
                     "a row ends where no newline is");
    auto row = text.substr(0, end);
    text.remove_prefix(row.size());
    if (!row.empty() && row.back() == '\n') row.remove_suffix(1);
    f(row);
  }
}

/// What was taken, as CSV and back.
bytes read_again(const schema& s, record_csv& reader, bytes_view payload) {
  const auto text = record_text::make(data_format::records, s, text_format::csv);
  bytes written, again;
  const auto shown = text->append_payload(written, payload);
  TROUPE_INVARIANT(shown.has_value(), "records that were taken do not read: " + shown.error().message());
  for_each_row(written, ',', [&](bytes_view row) {
    const auto read = reader.append(again, row);
    TROUPE_INVARIANT(read.has_value(), "what was written is refused: " + read.error().message());
  });
  return again;
}

void check_csv(bytes_view text, char delimiter, bool header) {
  const auto s = infer_csv_schema(text, true, delimiter, header);
  if (!s) {
    TROUPE_INVARIANT(!s.error().message().empty(), "refused without a word");
    return;
  }
  auto reader = record_csv::make(*s, delimiter);
  TROUPE_INVARIANT(reader.has_value(), "a schema that was read off is refused: " + reader.error().message());
  bytes payload;
  bool first = header;
  for_each_row(text, delimiter, [&](bytes_view row) {
    if (row.find_first_not_of(" \t\r") == bytes_view::npos) return;
    if (std::exchange(first, false)) return (void)reader->use_header(row);
    const auto before = payload;
    if (const auto taken = reader->append(payload, row); !taken)
      TROUPE_INVARIANT(payload == before, "a row that was refused left something behind");
  });
  auto plain = record_csv::make(*s, ',');
  // An only cell of nothing is an empty line, which is no row.
  if (!plain || s->fields.size() < 2) return;
  const auto once = read_again(*s, *plain, payload);
  TROUPE_INVARIANT(read_again(*s, *plain, once) == once, "records change when they are written and read again");
}

void check_json(bytes_view text) {
  const auto s = infer_json_schema(text, true);
  if (!s) return;
  auto reader = record_json::make(data_format::records, *s);
  TROUPE_INVARIANT(reader.has_value(), "a schema that was read off is refused: " + reader.error().message());
  bytes payload;
  if (!reader->append_lines(payload, text)) return;
  record_reader records(data_format::records, payload);
  bytes_view record;
  for (;;) {
    const auto more = records.next(record);
    TROUPE_INVARIANT(more.has_value(), "a payload of ours has no end");
    if (!*more) return;
    TROUPE_INVARIANT(check_record(*s, record).has_value(), "a record does not fit the schema of its text");
  }
}

}  // namespace

void one_input(bytes_view input) {
  if (input.empty()) return;
  const auto how = static_cast<unsigned char>(input.front());
  input.remove_prefix(1);
  if (how == 'J') return check_json(input);
  constexpr bytes_view delimiters = ",;\t|";
  check_csv(input, delimiters[how / 2 % 4], how % 2 == 1);
}

std::vector<bytes> seeds() {
  return {bytes("1id,name,size\r\n1,\"a \"\"b\"\"\",2.5\r\n2,\"two\nlines\",\r\n"), bytes("21;x;true\n2;;false\n"),
          bytes("J{\"a\":1,\"b\":{\"c\":[1,2.5]},\"d\":null}\n{\"a\":-1,\"b\":{\"c\":[]}}\n"),
          bytes("5a\tb\n\n\"\"\t\"")};
}

/// A guess of a column has a few names of types, and a value of JSON a node.
std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes) + 512 * input_bytes; }

}  // namespace troupe::fuzz
