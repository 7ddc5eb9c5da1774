#include <actors/data/record_batcher.hpp>
#include <support/catch.hpp>
#include <troupe/format/record_text.hpp>

using namespace troupe;
using data::record_batcher;

namespace {

const schema numbers{{{"n", field_type::int64, {}}, {"word", field_type::string, {}}}};

struct read_text {
  std::vector<bytes> batches;
  std::vector<std::uint64_t> ends;
  std::uint64_t records = 0;
  bytes rejected;
  [[nodiscard]] std::string rows() const {
    const auto text = format::record_text::make(data_format::records, numbers, format::text_format::tsv);
    bytes out;
    for (const auto& b : batches) REQUIRE_OK(text->append_payload(out, b));
    return out;
  }
};

result<read_text> read(const format::text_layout& layout, bytes_view text, std::size_t piece,
                       std::size_t batch_bytes = 64, std::optional<std::uint64_t> boundary = {}) {
  TROUPE_TRY(auto batcher, record_batcher::make(layout, numbers, batch_bytes, 1'000));
  batcher->set_boundary(boundary);
  read_text out;
  const auto keep = [&](data::batcher::batch b) {
    out.records += b.records;
    out.ends.push_back(b.end);
    out.batches.push_back(std::move(b.payload));
    if (boundary && b.end >= *boundary) batcher->set_boundary({});
  };
  for (std::size_t at = 0; at < text.size(); at += piece) {
    auto data = text.substr(at, piece);
    for (;;) {
      TROUPE_TRY(auto batch, batcher->take(data));
      if (!batch) break;
      keep(std::move(*batch));
    }
    CHECK(data.empty());
  }
  TROUPE_TRY(auto last, batcher->finish());
  if (last) keep(std::move(*last));
  out.rejected = batcher->take_rejected();
  return out;
}

format::text_layout csv(bool header = false, bool skip = false) { return {format::text_kind::csv, ',', header, skip}; }

}  // namespace

TEST_CASE("rows become the same batches, however the text comes in") {
  bytes text = "\xef\xbb\xbfword,n\r\n";
  std::string expected;
  for (int i = 0; i < 300; ++i) {
    text += (i % 3 == 0 ? "\"a\n\"\"" + std::to_string(i) + "\"," : "w,") + std::to_string(i) + "\r\n";
    expected += std::to_string(i) + "\t" + (i % 3 == 0 ? "a\\n\"" + std::to_string(i) : "w") + "\n";
  }
  const auto whole = read(csv(true), text, text.size());
  REQUIRE_OK(whole);
  CHECK(whole->records == 300);
  CHECK(whole->rows() == expected);
  CHECK(whole->batches.size() > 10);
  CHECK(whole->ends.back() == text.size());
  for (const std::size_t piece : {1u, 2u, 3u, 7u, 64u, 1000u}) {
    const auto same = read(csv(true), text, piece);
    REQUIRE_OK(same);
    CHECK(same->batches == whole->batches);
    CHECK(same->ends == whole->ends);
  }
}

TEST_CASE("a batch ends with the row that reaches the boundary") {
  const bytes text = "1,a\n2,b\n3,c\n4,d\n";
  const auto got = read(csv(), text, 5, 1'000, 6);
  REQUIRE_OK(got);
  CHECK(got->ends == std::vector<std::uint64_t>{8, 16});
  CHECK(got->rows() == "1\ta\n2\tb\n3\tc\n4\td\n");
}

TEST_CASE("the last row needs no newline, and rows of nothing are passed over") {
  const auto got = read(csv(), "\n1,a\n \r\n2,b", 3);
  REQUIRE_OK(got);
  CHECK(got->rows() == "1\ta\n2\tb\n");
  const auto none = read(csv(), "", 3);
  REQUIRE_OK(none);
  CHECK(none->batches.empty());
  CHECK_FALSE(read(csv(true), "", 3));
}

TEST_CASE("a wrong row ends the import with its line, or is kept aside") {
  const bytes text = "n,word\n1,\"a\nb\"\nx,c\n2,d\n3\n\"open";
  const auto ended = read(csv(true), text, 4);
  REQUIRE_FALSE(ended);
  CHECK(ended.error().message() == "line 4: column 1 (n): expected a whole number of 64 bits, found \"x\"");
  const auto skipped = read(csv(true, true), text, 4);
  REQUIRE_OK(skipped);
  CHECK(skipped->rows() == "1\ta\\nb\n2\td\n");
  CHECK(skipped->rejected == "x,c\n3\n\"open\n");
}

TEST_CASE("a row without end is refused before it fills the memory") {
  const auto got = read(csv(false, true), "1,\"" + std::string(3'000, 'x'), 100);
  REQUIRE_FALSE(got);
  CHECK(got.error().message().find("line 1: the row that begins here is longer than 1000 bytes") == 0);
}

TEST_CASE("lines of JSON become records") {
  const format::text_layout json{format::text_kind::json, ',', false, true};
  const auto got = read(json, "{\"n\":1,\"word\":\"a\"}\r\n{\"word\":\"b\",\"n\":2}\n{\"n\":3}\nno", 5);
  REQUIRE_OK(got);
  CHECK(got->rows() == "1\ta\n2\tb\n");
  CHECK(got->rejected == "{\"n\":3}\nno\n");
}
