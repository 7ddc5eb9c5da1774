#include <support/catch.hpp>
#include <troupe/base/checksum.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/random.hpp>
#include <troupe/base/sha256.hpp>
#include <troupe/base/text.hpp>
#include <troupe/base/utf8.hpp>

using namespace troupe;

TEST_CASE("checksums give their published check values") {
  CHECK(crc32c("123456789") == 0xE3069283u);
  CHECK(crc32c("6789", crc32c("12345")) == 0xE3069283u);
  CHECK(crc32c("") == 0u);
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  digest128_stream pieces;
  pieces.update("one ");
  pieces.update("two");
  CHECK(pieces.finish() == xxh3_128("one two"));
  CHECK(xxh3_128("one two").to_string().size() == 32);
}

TEST_CASE("a UUID survives the way through text and refuses what is none") {
  const auto id = uuid::random();
  CHECK(id.to_string().size() == 36);
  CHECK(id.to_string()[14] == '4');
  REQUIRE_OK(uuid::parse(id.to_string()));
  CHECK(*uuid::parse(id.to_string()) == id);
  for (const auto* wrong : {"", "123", "00000000-0000-0000-0000-00000000000g", "00000000x0000-0000-0000-000000000000"})
    CHECK(uuid::parse(wrong).error().code() == errc::invalid_argument);
  CHECK(uuid::random() != uuid::random());
}

TEST_CASE("varints round-trip at their borders and refuse what is cut off") {
  for (const std::uint64_t value : {0ull, 1ull, 127ull, 128ull, 300ull, 1ull << 35, ~0ull}) {
    bytes out;
    append_varint(out, value);
    std::uint64_t back = 0;
    CHECK(load_varint(out.data(), out.data() + out.size(), back) == out.data() + out.size());
    CHECK(back == value);
    CHECK(load_varint(out.data(), out.data() + out.size() - 1, back) == nullptr);
  }
  const std::string endless(11, '\x80');
  std::uint64_t ignored = 0;
  CHECK(load_varint(endless.data(), endless.data() + endless.size(), ignored) == nullptr);
}

TEST_CASE("sizes, times and names are read and written as people write them") {
  CHECK(*parse_bytes("512") == 512);
  CHECK(*parse_bytes("64KiB") == 64 << 10);
  CHECK(*parse_bytes("1g") == 1u << 30);
  CHECK(*parse_bytes("2 MB") == 2 << 20);
  for (const auto* wrong : {"", "x", "1x", "-1", "1kk", "99999999999t"}) CHECK_FALSE(parse_bytes(wrong));
  CHECK(format_bytes(999) == "999 B");
  CHECK(format_bytes(1536) == "1.50 KiB");
  CHECK(format_bytes(64 << 20) == "64.0 MiB");
  CHECK(format_time(0) == "1970-01-01T00:00:00.000Z");
  CHECK(format_time(-1) == "1969-12-31T23:59:59.999Z");
  CHECK(check_name("dataset", "word_count.v2"));
  for (const auto* wrong : {"", "Word", "2x", "a b", "a/b", "..", "-x"})
    CHECK(check_name("dataset", wrong).error().code() == errc::invalid_argument);
}

TEST_CASE("text that is not UTF-8 becomes UTF-8, one mark for each part that could not be") {
  CHECK(valid_utf8("plain") == "plain");
  CHECK(valid_utf8("caf\xc3\xa9 \xf0\x9f\x8e\xad") == "caf\xc3\xa9 \xf0\x9f\x8e\xad");
  const std::string mark = "\xef\xbf\xbd";
  CHECK(valid_utf8("a\xff"
                   "b") == "a" + mark + "b");
  CHECK(valid_utf8("\xe2\x82") == mark);                    // cut off
  CHECK(valid_utf8("\xed\xa0\x80") == mark + mark + mark);  // a surrogate
  CHECK(valid_utf8("\xc0\xaf") == mark + mark);             // longer than it need be
}

TEST_CASE("hexadecimal text round-trips, and tokens compare whole") {
  CHECK(to_hex(std::string("\x00\xff", 2)) == "00ff");
  CHECK(*from_hex("00fF") == std::string("\x00\xff", 2));
  CHECK_FALSE(from_hex("0"));
  CHECK_FALSE(from_hex("zz"));
  CHECK(random_hex(16).size() == 32);
  CHECK(equal_constant_time("abc", "abc"));
  CHECK_FALSE(equal_constant_time("abc", "abd"));
  CHECK_FALSE(equal_constant_time("abc", "ab"));
  CHECK_FALSE(equal_constant_time("", "a"));
}

TEST_CASE("an error keeps its code when context is added") {
  const auto e = error::from_errno("open", "/x", 28).with_context("segment 7");
  CHECK(e.code() == errc::resource_exhausted);
  CHECK(e.message() == "segment 7: open /x: No space left on device");
}
