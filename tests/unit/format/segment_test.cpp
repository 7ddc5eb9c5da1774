#include <support/catch.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/format/segment.hpp>

using namespace troupe;
using namespace troupe::format;

namespace {

segment_header sample_header() {
  return {cluster_id::random(), member_id::random(),  dataset_id{3},    partition_index{4}, segment_id{5}, epoch{6},
          schema_id{7},         data_format::records, 1'700'000'000'000};
}

/// A sealed file in memory: `batches` batches of `payload_bytes` each, one record a batch.
bytes sealed_file(std::size_t batches, std::size_t payload_bytes, const segment_header& header) {
  bytes out = encode_segment_header(header);
  segment_builder builder(header.segment);
  for (std::size_t i = 0; i < batches; ++i) {
    batch_header b;
    b.segment = header.segment;
    b.first_offset = builder.next_offset();
    b.count = 1;
    const bytes payload(payload_bytes, static_cast<char>('a' + i % 26));
    char raw[batch_header_bytes];
    encode_batch_header(b, payload, raw);
    builder.add(b, raw, payload);
    out.append(raw, sizeof raw);
    out += payload;
  }
  return out + encode_segment_footer(builder.footer());
}

}  // namespace

TEST_CASE("a segment header is 4096 bytes and reads back as written") {
  const auto header = sample_header();
  const auto data = encode_segment_header(header);
  REQUIRE(data.size() == segment_header_bytes);
  const auto back = decode_segment_header(data);
  REQUIRE_OK(back);
  CHECK(*back == header);
}

TEST_CASE("no flipped bit of a segment header passes, nor a short one") {
  const auto data = encode_segment_header(sample_header());
  for (std::size_t at = 0; at < data.size(); ++at) {
    auto bad = data;
    bad[at] = static_cast<char>(bad[at] ^ (1 << (at % 8)));
    CHECK_FALSE(decode_segment_header(bad));
  }
  CHECK_FALSE(decode_segment_header(bytes_view(data).substr(0, 4095)));
  CHECK_FALSE(decode_segment_header({}));
}

TEST_CASE("a newer version of a segment is unsupported, not corrupted") {
  auto data = encode_segment_header(sample_header());
  store_le(data.data() + 8, segment_version + 1);
  store_le(data.data() + 4092, crc32c(bytes_view(data).substr(0, 4092)));
  const auto back = decode_segment_header(data);
  REQUIRE_FALSE(back);
  CHECK(back.error().code() == errc::unsupported);
}

TEST_CASE("a schema's id is that of its content") {
  const schema a{{{"word", field_type::string, {}}}};
  const schema b{{{"ward", field_type::string, {}}}};
  CHECK(schema_id_of(schema{}).value == 0);
  CHECK(schema_id_of(a) == schema_id_of(schema(a)));
  CHECK(schema_id_of(a) != schema_id_of(b));
}

TEST_CASE("the footer's sums, index and digest are those of the batches") {
  const auto header = sample_header();
  const auto file = sealed_file(100, 1000, header);
  const auto view = segment_view::of(file);
  REQUIRE_OK(view);
  CHECK(view->header == header);
  const auto& footer = view->footer;
  CHECK(footer.summary.records == 100);
  CHECK(footer.summary.payload_bytes == 100'000);
  CHECK(footer.summary.file_bytes == 107'200);
  CHECK(view->batches.size() == 107'200);
  CHECK(footer.summary.digest == xxh3_128(view->batches));
  REQUIRE(footer.index.size() == 7);  // every 16 batches of 1072 bytes are the first to pass 16 KiB
  CHECK(footer.index[1] == index_entry{17'152, record_offset{16}});
  CHECK(footer.before(std::uint64_t{17'151}) == index_entry{});
  CHECK(footer.before(std::uint64_t{17'152}).position == 17'152);
  CHECK(footer.before(record_offset{99}).first_offset.value == 96);
}

TEST_CASE("a footer knows the last sequence of each producer") {
  segment_builder builder(segment_id{1});
  const auto a = uuid::random(), b = uuid::random();
  char raw[batch_header_bytes];
  for (const auto& [producer, sequence] : {std::pair{a, 1ull}, {b, 7ull}, {a, 2ull}, {uuid{}, 99ull}}) {
    batch_header header;
    header.segment = segment_id{1};
    header.first_offset = builder.next_offset();
    header.count = 1;
    header.producer = producer;
    header.producer_sequence = sequence;
    encode_batch_header(header, "x", raw);
    builder.add(header, raw, "x");
  }
  const auto footer = decode_segment_footer(encode_segment_footer(builder.footer()));
  REQUIRE_OK(footer);
  REQUIRE(footer->producers.size() == 2);
  for (const auto& entry : footer->producers) CHECK(entry.last_sequence == (entry.producer == a ? 2 : 7));
  CHECK(builder.knows(a));
  CHECK_FALSE(builder.knows(uuid::random()));
}

TEST_CASE("splits that meet end to end see every batch exactly once") {
  const auto file = sealed_file(40, 3000, sample_header());
  const auto view = segment_view::of(file);
  REQUIRE_OK(view);
  for (const std::uint64_t split : {1ull, 50ull, 3072ull, 3073ull, 20'000ull, 1'000'000ull}) {
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t from = 0; from < view->batches.size(); from += split) {
      auto cursor = view->cursor(from, from + split);
      REQUIRE_OK(cursor);
      batch_view batch;
      for (;;) {
        const auto more = cursor->next(batch);
        REQUIRE_OK(more);
        if (!*more) break;
        REQUIRE(batch.position >= from);
        REQUIRE(batch.position < from + split);
        offsets.push_back(batch.header.first_offset.value);
      }
    }
    REQUIRE(offsets.size() == 40);
    for (std::size_t i = 0; i < offsets.size(); ++i) CHECK(offsets[i] == i);
  }
}

TEST_CASE("an empty segment is sealed and read like any other") {
  const auto file = sealed_file(0, 0, sample_header());
  const auto view = segment_view::of(file);
  REQUIRE_OK(view);
  CHECK(view->batches.empty());
  CHECK(view->footer.summary.digest == xxh3_128({}));
  auto cursor = view->cursor();
  REQUIRE_OK(cursor);
  batch_view batch;
  CHECK_FALSE(*cursor->next(batch));
}

TEST_CASE("no flipped byte of a footer passes, and every cut is refused") {
  const auto file = sealed_file(60, 600, sample_header());
  const auto begin = segment_header_bytes + 60 * 672;
  for (std::size_t at = begin; at < file.size(); ++at) {
    for (const int bit : {0, 3, 7}) {
      auto bad = file;
      bad[at] = static_cast<char>(bad[at] ^ (1 << bit));
      CHECK_FALSE(segment_view::of(bad));
    }
  }
  for (std::size_t size = 0; size < file.size(); size += size < 4000 ? 97 : 1) {
    const auto view = segment_view::of(bytes_view(file).substr(0, size));
    CHECK_FALSE(view);
  }
  CHECK(segment_view::of(bytes_view(file).substr(0, begin)).error().code() == errc::failed_precondition);
}

TEST_CASE("a flipped byte of the batches is found by the cursor that comes by") {
  const auto header = sample_header();
  const auto file = sealed_file(10, 500, header);
  for (std::size_t at = segment_header_bytes; at < segment_header_bytes + 5720; ++at) {
    auto bad = file;
    bad[at] = static_cast<char>(bad[at] ^ 0x20);
    const auto view = segment_view::of(bad);
    REQUIRE_OK(view);
    auto cursor = view->cursor();
    REQUIRE_OK(cursor);
    batch_view batch;
    std::size_t good = 0;
    result<bool> more = true;
    while ((more = cursor->next(batch)) && *more) ++good;
    REQUIRE_FALSE(more);
    CHECK(good == (at - segment_header_bytes) / 572);
  }
}
