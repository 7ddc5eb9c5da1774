#include <support/catch.hpp>
#include <troupe/transport/request_rate.hpp>

using namespace troupe::transport;
using namespace std::chrono_literals;

namespace {
const request_rate::time_point start{std::chrono::hours(1)};
}

TEST_CASE("a burst passes, then one request for every part of a second") {
  request_rate rate({.per_second = 2, .burst = 3, .callers_max = 10});
  for (int i = 0; i < 3; ++i) CHECK(rate.ask("ann", start) == 0ns);
  CHECK(rate.ask("ann", start) == 500ms);
  // Asking early costs nothing: the time to wait only passes.
  CHECK(rate.ask("ann", start + 100ms) == 400ms);
  CHECK(rate.ask("ann", start + 500ms) == 0ns);
  CHECK(rate.ask("ann", start + 500ms) == 500ms);
  // Another caller is not concerned.
  CHECK(rate.ask("bob", start + 500ms) == 0ns);
  // After a long pause the burst is there again, and no more than it.
  for (int i = 0; i < 3; ++i) CHECK(rate.ask("ann", start + 1h) == 0ns);
  CHECK(rate.ask("ann", start + 1h) == 500ms);
}

TEST_CASE("over a long time nobody gets more than the rate and one burst") {
  request_rate rate({.per_second = 1'000, .burst = 50, .callers_max = 10});
  int passed = 0;
  for (auto now = start; now < start + 10s; now += 100us) passed += rate.ask("ann", now) == 0ns;
  CHECK(passed >= 10'000);
  CHECK(passed <= 10'050);
}

TEST_CASE("whoever waits as long as told may then ask") {
  request_rate rate({.per_second = 3, .burst = 1, .callers_max = 10});
  auto now = start;
  for (int i = 0; i < 1'000; ++i) {
    REQUIRE(rate.ask("ann", now) == 0ns);
    const auto wait = rate.ask("ann", now);
    REQUIRE(wait > 0ns);
    now += wait;
  }
}

TEST_CASE("a clock that stands still or comes late does no harm") {
  request_rate rate({.per_second = 1, .burst = 1, .callers_max = 10});
  CHECK(rate.ask("ann", start) == 0ns);
  CHECK(rate.ask("ann", start - 10s) == 1s);  // taken before another thread's, asked after it
  CHECK(rate.ask("ann", start + 1s) == 0ns);
}

TEST_CASE("buckets are bounded: full ones are forgotten first, then the fullest") {
  request_rate rate({.per_second = 1, .burst = 10, .callers_max = 3});
  for (int i = 0; i < 10; ++i) CHECK(rate.ask("greedy", start) == 0ns);
  for (int i = 0; i < 5; ++i) CHECK(rate.ask("medium", start) == 0ns);
  CHECK(rate.ask("modest", start) == 0ns);
  CHECK(rate.callers() == 3);
  CHECK(rate.ask("new", start) == 0ns);  // in the place of the modest one, which loses nothing by it
  CHECK(rate.callers() == 3);
  CHECK(rate.ask("greedy", start) == 1s);
  // Much later only the one that asks counts.
  CHECK(rate.ask("another", start + 1h) == 0ns);
  CHECK(rate.callers() == 1);
}

TEST_CASE("no rate, no limit") {
  request_rate rate({.per_second = 0, .burst = 0, .callers_max = 1});
  for (int i = 0; i < 1'000; ++i) REQUIRE(rate.ask("caller " + std::to_string(i), start) == 0ns);
  CHECK(rate.callers() == 0);
}
