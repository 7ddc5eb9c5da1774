#include <cmath>
#include <support/catch.hpp>
#include <troupe/sdk.hpp>
#include <troupe/sdk/testing.hpp>

namespace approximate_test {
TROUPE_JOB(estimate, troupe::read_lines() | troupe::approximate_distinct() | troupe::write("about"));
TROUPE_JOB(of_numbers,
           troupe::read_lines() | troupe::map([](std::string_view line) {
             return line == "nan" ? std::nan("") : line == "-nan" ? -std::nan("1") : line == "-0" ? -0.0 : 0.0;
           }) | troupe::approximate_distinct() |
               troupe::write("about"));
}  // namespace approximate_test

namespace {
std::uint64_t number_of(const troupe::testing::outcome& out) {
  REQUIRE(out.message == "");
  REQUIRE(out.encoded.size() == 1);
  std::uint64_t found = 0;
  const auto& bytes = out.encoded[0];
  REQUIRE(troupe::sdk::decode_field(bytes.data(), bytes.data() + bytes.size(), found) == bytes.data() + bytes.size());
  return found;
}
}  // namespace

TEST_CASE(
    "approximate_distinct: within its error, from nothing to a million, and the same however the work is divided") {
  std::vector<double> errors;
  for (const std::size_t distinct : {0, 1, 2, 10, 100, 1'000, 10'000, 100'000, 400'000}) {
    for (const std::uint64_t salt : {1, 2, 3}) {
      std::vector<std::string> lines;
      for (std::size_t i = 0; i < distinct; ++i) lines.push_back(std::to_string(i * 2654435761u + salt));
      const auto once = lines;
      if (distinct <= 10'000) lines.insert(lines.end(), once.begin(), once.end());
      troupe::testing::options one, many;
      one.map_tasks = 1;
      many.map_tasks = 7;
      many.memory_bytes = 64 << 10;
      many.block_records = 1'000;
      const auto found = number_of(troupe::testing::run(approximate_test::troupe_jobs::estimate, lines, {}, one));
      CHECK(found == number_of(troupe::testing::run(approximate_test::troupe_jobs::estimate, lines, {}, many)));
      if (distinct <= 10) CHECK(found == distinct);
      if (distinct > 0)
        errors.push_back((static_cast<double>(found) - static_cast<double>(distinct)) / static_cast<double>(distinct));
    }
  }
  double sum = 0, squares = 0;
  for (const auto e : errors) {
    CHECK(std::abs(e) < 0.03);
    sum += e;
    squares += e * e;
  }
  CHECK(std::sqrt(squares / static_cast<double>(errors.size())) < 0.0081 * 1.3);
  CHECK(std::abs(sum / static_cast<double>(errors.size())) < 0.005);
}

TEST_CASE("approximate_distinct: equal keys are those of distinct(): one NaN, one zero") {
  CHECK(number_of(troupe::testing::run(approximate_test::troupe_jobs::of_numbers, {"nan", "-nan", "0", "-0"})) == 2);
}
