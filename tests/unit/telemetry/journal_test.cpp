#include <support/catch.hpp>
#include <troupe/telemetry/journal.hpp>

using namespace troupe::telemetry;

TEST_CASE("events get ids without gaps and are found after an id") {
  journal events(100);
  CHECK(events.last_id() == 0);
  CHECK(events.after(0, 10).empty());
  for (int i = 1; i <= 5; ++i) CHECK(events.append("k", "node1", "event " + std::to_string(i)) == std::uint64_t(i));
  const auto two = events.after(2, 2);
  REQUIRE(two.size() == 2);
  CHECK(two[0].id == 3);
  CHECK(two[0].text == "event 3");
  CHECK(two[0].time_unix_ms > 1'600'000'000'000);
  CHECK(two[1].id == 4);
  CHECK(events.after(5, 10).empty());
  CHECK(events.after(99, 10).empty());
}

TEST_CASE("the oldest events are forgotten, ids go on") {
  journal events(3);
  for (int i = 0; i < 10; ++i) events.append("k", "n", "t", {{"i", std::to_string(i)}});
  const auto all = events.after(0, 100);
  REQUIRE(all.size() == 3);
  CHECK(all.front().id == 8);
  CHECK(all.back().fields.at("i") == "9");
  CHECK(events.last_id() == 10);
}

TEST_CASE("an observer sees what is appended until it is taken away, and may look into the journal") {
  journal events(10);
  std::vector<std::uint64_t> seen;
  auto remove = events.observe([&](const event& e) {
    seen.push_back(e.id);
    CHECK(events.last_id() >= e.id);
  });
  events.append("a", "n", "t");
  events.append("b", "n", "t");
  remove();
  events.append("c", "n", "t");
  CHECK(seen == std::vector<std::uint64_t>{1, 2});
}

TEST_CASE("an observer may be taken away after the journal has gone") {
  std::function<void()> remove;
  {
    journal events;
    remove = events.observe([](const event&) {});
  }
  CHECK_NOTHROW(remove());
}

TEST_CASE("a long text is cut") {
  journal events;
  events.append("k", "n", std::string(100'000, 'x'));
  CHECK(events.after(0, 1).at(0).text.size() == 4096);
}
