#include <boost/describe/class.hpp>
#include <support/catch.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/base/schema.hpp>

using namespace troupe;

namespace {

struct inner {
  std::string name;
  std::vector<std::uint32_t> values;
  friend bool operator==(const inner&, const inner&) = default;
};
BOOST_DESCRIBE_STRUCT(inner, (), (name, values))

struct outer {
  segment_id segment;
  member_id member;
  bool flag = false;
  std::optional<inner> maybe;
  std::map<std::string, inner> named;
  std::variant<std::monostate, std::int64_t, inner> one_of;
  std::pair<errc, double> pair;
  std::set<partition_index> set;
  friend bool operator==(const outer&, const outer&) = default;
};
BOOST_DESCRIBE_STRUCT(outer, (), (segment, member, flag, maybe, named, one_of, pair, set))

outer sample() {
  outer o;
  o.segment = segment_id{7};
  o.member = member_id::random();
  o.flag = true;
  o.maybe = inner{"x", {1, 2, 3}};
  o.named["y"] = inner{"", {}};
  o.one_of = inner{"z", {9}};
  o.pair = {errc::aborted, 0.5};
  o.set = {partition_index{1}, partition_index{4}};
  return o;
}

}  // namespace

TEST_CASE("described structs round-trip") {
  const auto o = sample();
  const auto back = codec::decode<outer>(codec::encode(o), "outer");
  REQUIRE_OK(back);
  CHECK(*back == o);
}

TEST_CASE("every cut and every trailing byte is refused, and no length is believed") {
  const auto data = codec::encode(sample());
  for (std::size_t size = 0; size < data.size(); ++size)
    CHECK(codec::decode<outer>(data.substr(0, size), "outer").error().code() == errc::corrupted);
  CHECK_FALSE(codec::decode<outer>(data + "x", "outer"));
  bytes huge;
  append_varint(huge, ~0ull);
  CHECK_FALSE(codec::decode<std::vector<std::uint64_t>>(huge, "numbers"));
  CHECK_FALSE(codec::decode<std::string>(huge, "text"));
}

TEST_CASE("damaged bytes never crash the decoder") {
  const auto data = codec::encode(sample());
  for (std::size_t at = 0; at < data.size(); ++at)
    for (const int flip : {1, 0x80, 0xff}) {
      auto damaged = data;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      (void)codec::decode<outer>(damaged, "outer");
    }
  SUCCEED();
}

TEST_CASE("nesting beyond its limit is refused instead of using up the stack") {
  const auto nested = [](int depth) {
    field f{"f", field_type::string, {}};
    for (int i = 1; i < depth; ++i) f = field{"f", field_type::record, {f}};
    return codec::encode(f);
  };
  CHECK(codec::decode<field>(nested(codec::nesting_max), "field"));
  CHECK(codec::decode<field>(nested(codec::nesting_max + 1), "field").error().code() == errc::corrupted);
}
