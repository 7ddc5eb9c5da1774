#include <boost/describe/class.hpp>
#include <cmath>
#include <support/catch.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/sdk/key.hpp>
#include <troupe/sdk/record.hpp>
#include <troupe/sdk/schema_bytes.hpp>

using namespace troupe;

namespace record_test {

enum class colour : std::uint16_t { red, blue = 300 };
struct inner {
  std::int32_t x = 0;
  std::string name;
  friend bool operator==(const inner&, const inner&) = default;
};
BOOST_DESCRIBE_STRUCT(inner, (), (x, name))
struct everything {
  bool yes = false;
  std::int8_t i8 = 0;
  std::int16_t i16 = 0;
  std::int64_t i64 = 0;
  std::uint8_t u8 = 0;
  std::uint32_t u32 = 0;
  float f = 0;
  double d = 0;
  colour c = colour::red;
  std::string text;
  std::vector<inner> list;
  inner nested;
  std::optional<std::string> maybe;
  std::optional<std::int64_t> later;
  friend bool operator==(const everything&, const everything&) = default;
};
BOOST_DESCRIBE_STRUCT(everything, (), (yes, i8, i16, i64, u8, u32, f, d, c, text, list, nested, maybe, later))
struct older {
  bool yes = false;
  std::int8_t i8 = 0;
};
BOOST_DESCRIBE_STRUCT(older, (), (yes, i8))
struct newer {
  bool yes = false;
  std::int8_t i8 = 0;
  std::optional<std::string> note;
  std::optional<int> number;
};
BOOST_DESCRIBE_STRUCT(newer, (), (yes, i8, note, number))

}  // namespace record_test

namespace {

using namespace record_test;

template <class T>
std::string encode(const T& value) {
  std::string out(sdk::encoded_size(value), '#');
  REQUIRE(sdk::encode_field(out.data(), value) == out.data() + out.size());
  return out;
}

}  // namespace

TEST_CASE("record: fields have the bytes that doc/formats/record.md says") {
  using namespace std::string_literals;
  CHECK(encode(true) == "\x01");
  CHECK(encode(std::int8_t{-1}) == "\xff");
  CHECK(encode(std::uint16_t{300}) == "\xac\x02");
  CHECK(encode(std::int32_t{-1}) == "\x01");
  CHECK(encode(std::int64_t{1}) == "\x02");
  CHECK(encode(std::int64_t{INT64_MIN}) == "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  CHECK(encode(UINT64_MAX) == "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
  CHECK(encode(1.0F) == "\0\0\x80\x3f"s);
  CHECK(encode("ab"s) ==
        "\x02"
        "ab");
  CHECK(encode(std::optional<std::string>{}) == "\0"s);
  CHECK(encode(std::optional<std::string>{"x"}) == "\x01\x01x");
  CHECK(encode(std::vector<std::uint32_t>{1, 300}) == "\x02\x01\xac\x02");
  CHECK(encode(inner{-2, "n"}) == "\x03\x01n");
  CHECK(encode(std::pair<std::string, std::uint64_t>{"k", 5}) == "\x01k\x05");
  CHECK(encode(colour::blue) == "\xac\x02");
}

TEST_CASE("record: everything comes back, and every shortened record is refused") {
  const everything whole{true,
                         -5,
                         -3000,
                         INT64_MIN,
                         200,
                         4'000'000'000,
                         1.5F,
                         -2.25,
                         colour::blue,
                         std::string("a\0b", 3),
                         {{1, "one"}, {-1, ""}},
                         {7, "seven"},
                         "here",
                         -9};
  const auto bytes = encode(whole);
  everything back;
  REQUIRE(sdk::decode_record(bytes, back));
  CHECK(back == whole);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    everything cut;
    const bool read = sdk::decode_record(std::string_view(bytes).substr(0, size), cut);
    // Only where a trailing optional field begins may it end.
    const auto tail = encode(*whole.later).size() + 1;
    const auto two = tail + encode(whole.maybe).size();
    CHECK(read == (size == bytes.size() - tail || size == bytes.size() - two));
  }
  everything more;
  CHECK_FALSE(sdk::decode_record(bytes + "x", more));
}

TEST_CASE("record: fields added at the end are absent in older records") {
  newer now{true, 1, "stale", 7};
  REQUIRE(sdk::decode_record(encode(older{true, 3}), now));
  CHECK(now.i8 == 3);
  CHECK_FALSE(now.note.has_value());
  CHECK_FALSE(now.number.has_value());
}

TEST_CASE("record: rubbish is refused without taking memory for it") {
  std::vector<std::string> list;
  const std::string many = "\xff\xff\xff\xff\x0f";
  CHECK(sdk::decode_field(many.data(), many.data() + many.size(), list) == nullptr);
  std::string text;
  CHECK(sdk::decode_field(many.data(), many.data() + many.size(), text) == nullptr);
  std::uint16_t small = 0;
  CHECK(sdk::decode_field(many.data(), many.data() + many.size(), small) == nullptr);
  bool flag = false;
  const std::string two = "\x02";
  CHECK(sdk::decode_field(two.data(), two.data() + 1, flag) == nullptr);
}

TEST_CASE("record: the schema of a struct, and its bytes are the codec's") {
  const auto s = sdk::schema_of<everything>();
  REQUIRE(s.fields.size() == 14);
  CHECK(s.fields[0] == field{"yes", field_type::boolean, {}});
  CHECK(s.fields[3] == field{"i64", field_type::int64, {}});
  CHECK(s.fields[8] == field{"c", field_type::uint16, {}});
  CHECK(s.fields[10] ==
        field{"list",
              field_type::list,
              {{"", field_type::record, {{"x", field_type::int32, {}}, {"name", field_type::string, {}}}}}});
  CHECK(s.fields[12] == field{"maybe", field_type::optional, {{"", field_type::string, {}}}});
  CHECK(sdk::schema_bytes(s) == codec::encode(s));
  const auto back = codec::decode<schema>(sdk::schema_bytes(s), "schema");
  REQUIRE_OK(back);
  CHECK(*back == s);
}

TEST_CASE("key: equal keys have equal bytes, and numbers keep their order") {
  std::string scratch;
  const auto bytes = [&](auto key) { return std::string(sdk::key_bytes<decltype(key)>::of(key, scratch)); };
  CHECK(bytes(0.0) == bytes(-0.0));
  CHECK(bytes(std::nan("1")) == bytes(-std::nan("2")));
  const auto ordered = [&](auto x, auto y) {
    using key = sdk::key_bytes<decltype(x)>;
    const auto a = bytes(x), b = bytes(y);
    return key::less(a, b) && !key::less(b, a) && key::prefix(a) <= key::prefix(b);
  };
  CHECK(ordered(-1, 1));
  CHECK(ordered(INT64_MIN, INT64_MAX));
  CHECK(ordered(255u, 256u));
  CHECK(ordered(-1.5, 0.5));
  CHECK(ordered(1e300, std::nan("")));
  CHECK(ordered(std::string_view("a"), std::string_view("ab")));
  CHECK(ordered(std::string_view("abcdefgh"), std::string_view("abcdefghi")));
  CHECK(ordered(std::string_view("a"), std::string_view("\xff")));
  std::pair<std::string, int> decoded;
  REQUIRE(sdk::key_bytes<std::pair<std::string, int>>::decode(bytes(std::pair<std::string, int>{"x", -4}), decoded));
  CHECK(decoded == std::pair<std::string, int>{"x", -4});
}

TEST_CASE("record: numbers are read, skipped and packed as keys the same at every length") {
  const auto check = [](auto value) {
    using number = decltype(value);
    for (const std::string behind : {"", "\x7f", "\x80\x80\x80\x80\x80\x80\x80\x80\x80"}) {
      const auto alone = encode(value);
      const auto bytes = alone + behind;
      const char* const end = bytes.data() + bytes.size();
      number back{};
      REQUIRE(sdk::decode_field(bytes.data(), end, back) == bytes.data() + alone.size());
      CHECK(back == value);
      CHECK(sdk::skip_field<number>(bytes.data(), end) == bytes.data() + alone.size());
    }
    std::string scratch;
    sdk::packed_key packed{}, plain{};
    sdk::key_bytes<number>::pack(value, scratch, packed);
    sdk::pack_key(encode(value), plain);
    CHECK((packed.a == plain.a && packed.b == plain.b && packed.meta == plain.meta));
  };
  for (int bit = 0; bit < 64; ++bit) {
    for (const std::uint64_t off : {std::uint64_t{0}, std::uint64_t{1}, ~std::uint64_t{0}}) {
      const auto value = (std::uint64_t{1} << bit) + off;
      check(value);
      check(static_cast<std::int64_t>(value));
      check(-static_cast<std::int64_t>(value >> 1));
      check(static_cast<std::uint16_t>(value));
      check(static_cast<std::int32_t>(value));
    }
  }
}

TEST_CASE("record: skipping ends where reading does, and refuses what reading refuses") {
  const everything whole{
      true,     1,      2, 3, 4, 5, 1.5F, 2.5, colour::red, std::string(200, 't'), {{1, "one"}, {300, ""}},
      {7, "n"}, "here", -9};
  const auto bytes = encode(whole);
  CHECK(sdk::skip_field<everything>(bytes.data(), bytes.data() + bytes.size()) == bytes.data() + bytes.size());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const std::string cut = bytes.substr(0, size);
    everything back;
    CHECK((sdk::skip_field<everything>(cut.data(), cut.data() + size) == nullptr) ==
          (sdk::decode_field(cut.data(), cut.data() + size, back) == nullptr));
  }
}
