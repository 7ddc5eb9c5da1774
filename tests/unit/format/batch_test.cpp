#include <support/catch.hpp>
#include <troupe/format/batch.hpp>

using namespace troupe;
using namespace troupe::format;

namespace {

constexpr segment_id id{77};

bytes batch_at(std::uint64_t first, std::uint32_t count, bytes_view payload, std::uint64_t high_water_mark = 0) {
  batch_header header;
  header.segment = id;
  header.first_offset = record_offset{first};
  header.count = count;
  header.high_water_mark = record_offset{high_water_mark};
  header.append_time_unix_ms = 1'700'000'000'123;
  header.producer_sequence = 9;
  return encode_batch(header, payload);
}

/// Three batches of 2, 3 and 1 records.
bytes three() { return batch_at(0, 2, "a\nb\n") + batch_at(2, 3, "c\nd\ne\n") + batch_at(5, 1, "f\n"); }

}  // namespace

TEST_CASE("a batch header is 72 bytes and reads back as written") {
  batch_header header;
  header.segment = id;
  header.first_offset = record_offset{1ull << 40};
  header.count = 3;
  header.high_water_mark = record_offset{12};
  header.append_time_unix_ms = -5;
  header.producer = uuid::random();
  header.producer_sequence = ~0ull;
  char raw[batch_header_bytes];
  encode_batch_header(header, "payload", raw);
  CHECK(header.payload_bytes == 7);
  const auto back = decode_batch_header({raw, sizeof raw}, id);
  REQUIRE_OK(back);
  CHECK(*back == header);
  CHECK(batch_crc_fits(raw, "payload"));
  CHECK_FALSE(batch_crc_fits(raw, "payloae"));
}

TEST_CASE("the bytes of a batch are those that doc/formats/segment.md draws") {
  const auto data = batch_at(2, 1, "x\n", 1);
  REQUIRE(data.size() == 74);
  CHECK(load_le<std::uint32_t>(data.data()) == 2);
  CHECK(load_le<std::uint64_t>(data.data() + 8) == 77);
  CHECK(load_le<std::uint64_t>(data.data() + 16) == 2);
  CHECK(load_le<std::uint64_t>(data.data() + 24) == 1);
  CHECK(load_le<std::int64_t>(data.data() + 32) == 1'700'000'000'123);
  CHECK(load_le<std::uint64_t>(data.data() + 56) == 9);
  CHECK(load_le<std::uint32_t>(data.data() + 64) == 1);
  CHECK(data.substr(68, 4) == bytes(4, '\0'));
  CHECK(data.substr(72) == "x\n");
}

TEST_CASE("a cursor gives every batch once, with its place") {
  const auto data = three();
  batch_cursor cursor(data, id);
  batch_view batch;
  std::vector<std::string> payloads;
  std::uint64_t end = 0;
  for (;;) {
    const auto more = cursor.next(batch);
    REQUIRE_OK(more);
    if (!*more) break;
    CHECK(batch.position == end);
    end = batch.end();
    payloads.emplace_back(batch.payload);
  }
  CHECK(end == data.size());
  CHECK(payloads == std::vector<std::string>{"a\nb\n", "c\nd\ne\n", "f\n"});
}

TEST_CASE("a batch that begins before the end of the range belongs to it, whole") {
  const auto data = three();
  const auto second = 72 + 4ull;
  batch_view batch;
  batch_cursor until_second(data, id, 0, second);
  CHECK(*until_second.next(batch));
  CHECK_FALSE(*until_second.next(batch));
  batch_cursor with_second(data, id, 0, second + 1);
  CHECK(*with_second.next(batch));
  CHECK(*with_second.next(batch));
  CHECK(batch.payload == "c\nd\ne\n");
  CHECK_FALSE(*with_second.next(batch));
}

TEST_CASE("no flipped bit of a batch passes the cursor") {
  const auto good = batch_at(0, 2, "a\nb\n");
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    auto bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    batch_cursor cursor(bad, id);
    batch_view batch;
    const auto more = cursor.next(batch);
    REQUIRE_FALSE(more);
    CHECK(more.error().code() == errc::corrupted);
  }
}

TEST_CASE("a batch that is cut off anywhere is refused, and the error says where") {
  const auto good = three();
  const auto third = good.size() - 74;
  for (std::size_t size = third + 1; size < good.size(); ++size) {
    batch_cursor cursor(bytes_view(good).substr(0, size), id);
    batch_view batch;
    CHECK(*cursor.next(batch));
    CHECK(*cursor.next(batch));
    const auto more = cursor.next(batch);
    REQUIRE_FALSE(more);
    CHECK(more.error().message().find("position " + std::to_string(third)) != std::string::npos);
    CHECK(cursor.position() == third);
  }
}

TEST_CASE("a batch of another segment is refused") {
  const auto data = three();
  batch_cursor cursor(data, segment_id{78});
  batch_view batch;
  const auto more = cursor.next(batch);
  REQUIRE_FALSE(more);
  CHECK(more.error().message().find("belongs to segment 77, not 78") != std::string::npos);
}

TEST_CASE("whole, torn or damaged") {
  const auto good = three();
  const auto second = std::size_t{72 + 4};
  const auto third = good.size() - 74;
  SECTION("all good is whole, with or without a preallocated tail") {
    for (const auto& data : {good, good + bytes(5000, '\0')}) {
      const auto scan = scan_batches(data, id);
      CHECK(scan.state == scan_state::whole);
      CHECK(scan.intact_bytes == good.size());
      CHECK(scan.records == 6);
      CHECK(scan.reason.empty());
    }
    CHECK(scan_batches({}, id).state == scan_state::whole);
  }
  SECTION("a cut tail is torn at every length") {
    for (std::size_t size = third + 1; size < good.size(); ++size) {
      if (bytes_view(good).substr(third, size - third).find_first_not_of('\0') == bytes_view::npos) continue;
      const auto scan = scan_batches(bytes_view(good).substr(0, size), id);
      CHECK(scan.state == scan_state::torn);
      CHECK(scan.intact_bytes == third);
      CHECK(scan.records == 5);
    }
  }
  SECTION("a flipped bit in the last batch is torn, in an earlier one damaged") {
    for (std::size_t at = 0; at < good.size(); ++at) {
      auto bad = good;
      bad[at] = static_cast<char>(bad[at] ^ 0x10);
      const auto scan = scan_batches(bad, id);
      CHECK(scan.state == (at >= third ? scan_state::torn : scan_state::damaged));
      CHECK(scan.intact_bytes == (at >= third ? third : at >= second ? second : 0));
      CHECK_FALSE(scan.reason.empty());
    }
  }
  SECTION("what lies below a known high-water mark cannot be torn") {
    const auto cut = bytes_view(good).substr(0, good.size() - 1);
    CHECK(scan_batches(cut, id, record_offset{5}).state == scan_state::torn);
    CHECK(scan_batches(cut, id, record_offset{6}).state == scan_state::damaged);
    CHECK(scan_batches(bytes_view(good).substr(0, third), id, record_offset{6}).state == scan_state::damaged);
  }
  SECTION("a missing batch in the middle is damage") {
    const auto scan = scan_batches(good.substr(0, second) + good.substr(third), id);
    CHECK(scan.state == scan_state::damaged);
    CHECK(scan.records == 2);
  }
}
