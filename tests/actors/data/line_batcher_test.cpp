#include <actors/data/line_batcher.hpp>
#include <support/catch.hpp>

using namespace troupe;
using data::line_batcher;

namespace {

struct cuts {
  std::vector<bytes> batches;
  std::vector<std::uint64_t> ends;
  std::uint64_t records = 0;
  [[nodiscard]] bytes all() const {
    bytes out;
    for (const auto& b : batches) out += b;
    return out;
  }
};

result<cuts> cut(line_batcher batcher, bytes_view text, std::size_t piece) {
  cuts out;
  const auto keep = [&](line_batcher::batch b) {
    CHECK(b.payload.back() == '\n');
    out.records += b.records;
    out.ends.push_back(b.end);
    out.batches.push_back(std::move(b.payload));
  };
  for (std::size_t at = 0; at < text.size(); at += piece) {
    auto data = text.substr(at, piece);
    for (;;) {
      TROUPE_TRY(auto batch, batcher.take(data));
      if (!batch) break;
      keep(std::move(*batch));
    }
    CHECK(data.empty());
  }
  TROUPE_TRY(auto last, batcher.finish());
  if (last) keep(std::move(*last));
  return out;
}

}  // namespace

TEST_CASE("batches end at line ends and lose nothing, however the text comes in") {
  bytes text;
  for (int i = 0; i < 500; ++i)
    text += "line " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 37), 'x') + "\n";
  const auto whole = cut(line_batcher(256, 4096), text, text.size());
  REQUIRE_OK(whole);
  CHECK(whole->all() == text);
  CHECK(whole->records == 500);
  CHECK(whole->batches.size() > 20);
  for (const std::size_t piece : {1U, 7U, 256U, 1000U}) {
    const auto same = cut(line_batcher(256, 4096), text, piece);
    REQUIRE_OK(same);
    CHECK(same->batches == whole->batches);
  }
}

TEST_CASE("a last line without a newline gets one") {
  const auto got = cut(line_batcher(256, 4096), "one\ntwo", 3);
  REQUIRE_OK(got);
  CHECK(got->all() == "one\ntwo\n");
  CHECK(got->records == 2);
}

TEST_CASE("no input gives no batch") {
  const auto got = cut(line_batcher(256, 4096), "", 1);
  REQUIRE_OK(got);
  CHECK(got->batches.empty());
}

TEST_CASE("a record longer than allowed is refused with the byte where it begins") {
  const bytes text = "short\n" + bytes(100, 'x') + "\n";
  for (const std::size_t piece : {1U, 5U, 200U}) {
    const auto got = cut(line_batcher(16, 100), text, piece);
    REQUIRE(!got);
    CHECK(got.error().code() == errc::invalid_argument);
    CHECK(got.error().message().find("byte 6 ") != std::string::npos);
  }
  const auto fits = cut(line_batcher(16, 101), text, 9);
  REQUIRE_OK(fits);
  CHECK(fits->all() == text);
}

TEST_CASE("a very long record does not take the short ones before it into its batch") {
  const bytes text = "a\nb\n" + bytes(10'000, 'x') + "\nc\n";
  const auto got = cut(line_batcher(64, 100'000), text, 33);
  REQUIRE_OK(got);
  REQUIRE(got->batches.size() == 3);
  CHECK(got->batches[0] == "a\nb\n");
  CHECK(got->batches[1].size() == 10'001);
}

TEST_CASE("a batch ends at the first line end at or after the boundary") {
  line_batcher batcher(1000, 4096);
  batcher.set_boundary(7);
  bytes_view data = "aaa\nbbb\nccc\n";
  auto batch = batcher.take(data);
  REQUIRE_OK(batch);
  REQUIRE(*batch);
  CHECK((*batch)->payload == "aaa\nbbb\n");
  CHECK((*batch)->end == 8);
  batcher.set_boundary(std::nullopt);
  batch = batcher.take(data);
  REQUIRE_OK(batch);
  CHECK(!*batch);
  auto last = batcher.finish();
  REQUIRE_OK(last);
  REQUIRE(*last);
  CHECK((*last)->payload == "ccc\n");
  CHECK((*last)->end == 12);
}

TEST_CASE("sources that end without a newline do not run into each other, and offsets stay those of the input") {
  line_batcher batcher(4, 20);
  bytes_view first = "ab";
  REQUIRE_OK(batcher.take(first));
  batcher.end_of_source();
  const bytes second_bytes = bytes(30, 'x');
  bytes_view second = second_bytes;
  auto batch = batcher.take(second);
  REQUIRE_OK(batch);
  // «ab\n» is below the aim of 4, so the long record is met while it is in the same buffer.
  while (batch && *batch) {
    CHECK((*batch)->payload == "ab\n");
    batch = batcher.take(second);
  }
  REQUIRE(!batch);
  CHECK(batch.error().message().find("byte 2 ") != std::string::npos);
}

TEST_CASE("bytes are counted in blocks and in the rest") {
  for (const std::size_t size : {0U, 1U, 15U, 16U, 17U, 5000U}) {
    CHECK(data::count_byte(bytes(size, 'n'), 'n') == size);
    CHECK(data::count_byte(bytes(size, 'm'), 'n') == 0);
  }
}
