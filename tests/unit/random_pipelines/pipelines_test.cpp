#include <rapidcheck.h>

#include <iostream>
#include <support/catch.hpp>
#include <troupe/sdk/testing.hpp>

#include "steps.hpp"

/// Random pipelines over random records, held against plain sequential code: the same records whatever the tasks, the
/// partitions, the blocks and the memory; and the same bytes whatever the memory. A pipeline is a type, so it is the
/// compiler that draws it, from TROUPE_PIPELINE_SEED; one begins with each step. RapidCheck draws records and ways of
/// running, from RC_PARAMS="seed=… max_success=…", and makes a failing case small.
#ifndef TROUPE_PIPELINE_SEED
#define TROUPE_PIPELINE_SEED 1
#endif
#ifndef TROUPE_PIPELINE_STEPS
#define TROUPE_PIPELINE_STEPS 2
#endif

namespace random_pipelines {
namespace {  // each part of the test is a file of its own

/// Whether this file has the pipelines that begin with this step; CMake divides them over several.
constexpr bool is_here(std::size_t first) { return first % TROUPE_PIPELINE_PARTS == TROUPE_PIPELINE_PART; }

constexpr std::size_t drawn(std::size_t pipeline, std::size_t place) {
  auto z = 0x9e3779b97f4a7c15 * (TROUPE_PIPELINE_SEED * 1'000'003ULL + pipeline * 101 + place + 1);  // SplitMix64
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return place == 0 ? pipeline : (z ^ z >> 31) % step_count;
}
template <std::size_t Pipeline, std::size_t Place>
using step_at = std::tuple_element_t<drawn(Pipeline, Place), steps>;

constexpr auto source = troupe::read_bytes() | troupe::map([](std::string_view bytes) {
                          record out;
                          troupe::sdk::decode_record(bytes, out);
                          return out;
                        });

template <std::size_t Pipeline, std::size_t Place = 0, class P>
constexpr auto grown(P p) {
  if constexpr (Place == TROUPE_PIPELINE_STEPS)
    return p;
  else
    return grown<Pipeline, Place + 1>(step_at<Pipeline, Place>::apply(p));
}
template <std::size_t Pipeline, std::size_t Place = 0>
records expected(const records& in) {
  if constexpr (Place == TROUPE_PIPELINE_STEPS)
    return in;
  else
    return expected<Pipeline, Place + 1>(step_at<Pipeline, Place>::model(in));
}
template <std::size_t Pipeline, std::size_t... Places>
constexpr bool any_reorders(std::index_sequence<Places...>) {
  return (reorders<step_at<Pipeline, Places>> || ...);
}
template <std::size_t Pipeline, std::size_t... Places>
constexpr bool any_broadcasts(std::index_sequence<Places...>) {
  return (broadcasts<step_at<Pipeline, Places>> || ...);
}

std::string encoded(const record& r) {
  std::string out(troupe::sdk::encoded_size(r), '\0');
  troupe::sdk::encode_field(out.data(), r);
  return out;
}

rc::Gen<record> any_record() {
  const auto key = rc::gen::weightedOneOf<std::string>(
      {{6, rc::gen::map(rc::gen::inRange(0, 8), [](int n) { return "key" + std::to_string(n); })},
       {2, rc::gen::element(std::string(), std::string("\0", 1), std::string("a\0b", 3), std::string("\xff\xfe"),
                            std::string("\xc3\x28 no UTF-8"), std::string("exactly 16 bytes"),
                            std::string("seventeen bytes!!"))},
       {2, rc::gen::arbitrary<std::string>()},
       {1, rc::gen::map(rc::gen::inRange(100, 6'000),
                        [](int n) { return std::string(static_cast<std::size_t>(n), 'x'); })}});
  const auto number = rc::gen::weightedOneOf<std::int64_t>(
      {{6, rc::gen::inRange<std::int64_t>(-4, 5)},
       {1, rc::gen::arbitrary<std::int64_t>()},
       {1, rc::gen::element(std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max())}});
  const auto real = rc::gen::element(0.0, -0.0, 1.5, -2.25, std::numeric_limits<double>::quiet_NaN(),
                                     -std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
                                     std::numeric_limits<double>::denorm_min());
  return rc::gen::pair(key, rc::gen::pair(number, real));
}
/// Many of them come with empty partitions, one record, one key or all records equal.
rc::Gen<records> any_records() {
  const auto some = rc::gen::container<records>(any_record());
  const auto alike = [](bool whole) {
    return [whole](records all) {
      for (auto& r : all) whole ? void(r = all.front()) : void(r.first = all.front().first);
      return all;
    };
  };
  return rc::gen::weightedOneOf<records>(
      {{6, some}, {1, rc::gen::map(some, alike(true))}, {1, rc::gen::map(some, alike(false))}});
}

troupe::testing::options any_options() {
  troupe::testing::options o;
  o.map_tasks = *rc::gen::inRange<std::uint32_t>(1, 7);
  o.partitions = *rc::gen::inRange<std::uint32_t>(1, 6);
  o.block_records = *rc::gen::inRange<std::uint64_t>(1, 30);
  o.chunk_bytes = *rc::gen::element<std::uint64_t>(16, 1'000, 65'536);
  return o;
}

template <std::size_t Pipeline>
bool holds() {
  static const troupe::job what("drawn", grown<Pipeline>(source) | troupe::write("key", "value"));
  return rc::check("pipeline " + std::to_string(Pipeline), [] {
    const auto in = *any_records();
    std::vector<std::string> texts;
    for (const auto& r : in) texts.push_back(encoded(r));
    std::vector<std::string> wanted;
    for (const auto& r : expected<Pipeline>(in)) wanted.push_back(encoded(r));
    auto chosen = any_options();
    chosen.memory_bytes = 256 << 20;
    const auto roomy = troupe::testing::run(what, texts, {}, chosen);
    RC_ASSERT(roomy.message == "");
    constexpr auto places = std::make_index_sequence<TROUPE_PIPELINE_STEPS>{};
    // A broadcast must still fit, which the records of this test do into 4 MiB.
    chosen.memory_bytes =
        any_broadcasts<Pipeline>(places) ? 4 << 20 : *rc::gen::element<std::uint64_t>(4 << 10, 64 << 10, 1 << 20);
    const auto tight = troupe::testing::run(what, texts, {}, chosen);
    RC_ASSERT(tight.message == "");
    RC_ASSERT(tight.encoded == roomy.encoded);
    chosen.map_tasks = *rc::gen::inRange<std::uint32_t>(1, 7);
    const auto divided = troupe::testing::run(what, texts, {}, chosen);
    RC_ASSERT(divided.message == "");
    if constexpr (!any_reorders<Pipeline>(places)) RC_ASSERT(divided.encoded == roomy.encoded);
    // Sorting comes to an order, everything else to a set; both are checked as far as they are said.
    using last = step_at<Pipeline, TROUPE_PIPELINE_STEPS - 1>;
    auto found = roomy.encoded;
    if constexpr (!std::same_as<last, best>) {
      std::sort(found.begin(), found.end());
      std::sort(wanted.begin(), wanted.end());
    }
    RC_ASSERT(found == wanted);
    if constexpr (std::same_as<last, sort>) {
      records sorted;
      for (const auto& bytes : roomy.encoded) {
        record r;
        RC_ASSERT(troupe::sdk::decode_record(bytes, r));
        sorted.push_back(r);
      }
      const auto rank_of = [](const record& r) { return std::pair(r.second.first, bits(r.second.second)); };
      RC_ASSERT(std::is_sorted(sorted.begin(), sorted.end(),
                               [&](const record& a, const record& b) { return rank_of(a) < rank_of(b); }));
    }
  });
}

template <std::size_t... Pipelines>
void all_hold(std::index_sequence<Pipelines...>) {
  const auto one = []<std::size_t Pipeline>(std::integral_constant<std::size_t, Pipeline>) {
    if constexpr (is_here(Pipeline)) {
      INFO("pipeline " << Pipeline << ": steps " << drawn(Pipeline, 0) << ", " << drawn(Pipeline, 1)
                       << " of steps.hpp");
      CHECK(holds<Pipeline>());
    }
  };
  (one(std::integral_constant<std::size_t, Pipelines>{}), ...);
}

}  // namespace
}  // namespace random_pipelines

#define TROUPE_NAME_(part) "random pipelines give what plain code gives, part " #part
#define TROUPE_NAME(part) TROUPE_NAME_(part)
TEST_CASE(TROUPE_NAME(TROUPE_PIPELINE_PART)) {
  random_pipelines::all_hold(std::make_index_sequence<random_pipelines::step_count>{});
}
