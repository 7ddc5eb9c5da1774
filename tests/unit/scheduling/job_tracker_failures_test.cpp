#include "job_builder.hpp"

#include <support/catch.hpp>

using namespace troupe;
using namespace troupe::scheduling;
using namespace troupe::scheduling::testing;

TEST_CASE("A task that fails goes to another member, and after four failures the job fails with the record") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1), make_member(2)});
  std::vector<member_id> where;
  for (int i = 0; i < 4; ++i) {
    const auto starts = only<start_effect>(tracker.take_effects());
    REQUIRE(starts.size() == 1);
    where.push_back(starts[0].where);
    tracker.attempt_started(i, starts[0].what);
    tracker.attempt_failed(i, starts[0].what, thrown());
  }
  CHECK(where[0] == a);
  CHECK(where[1] == b);
  const auto finish = only<finish_effect>(tracker.take_effects());
  REQUIRE(finish.size() == 1);
  CHECK(finish[0].outcome == metadata::job_state::failed);
  REQUIRE(finish[0].error);
  CHECK(finish[0].error->message.find("map task 0 failed 4 times") == 0);
  CHECK(finish[0].error->message.find("map::at") != std::string::npos);
  CHECK(finish[0].error->offset == 812);
  CHECK(finish[0].error->dataset == "corpus");
  CHECK(finish[0].error->node == (where[3] == a ? "node1" : "node2"));
  CHECK(tracker.counted().lost_attempts == 4);
}

TEST_CASE("On a single member four failures there are enough") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1)});
  for (int i = 0; i < 4; ++i) {
    const auto starts = only<start_effect>(tracker.take_effects());
    REQUIRE(starts.size() == 1);
    tracker.attempt_failed(i, starts[0].what, thrown());
  }
  CHECK(only<finish_effect>(tracker.take_effects()).size() == 1);
}

TEST_CASE("Losses are not counted as failures: a task survives ten dead members and then four failures end it") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a, b, c}}), 0);
  std::uint64_t run = 1;
  for (int i = 0; i < 10; ++i) {
    tracker.set_members(i, {make_member(1, 1, run++)});
    CHECK(only<start_effect>(tracker.take_effects()).size() == 1);
  }
  CHECK(tracker.counted().lost_attempts == 9);
  CHECK_FALSE(tracker.is_over());
}

TEST_CASE("Input without a live copy is waited for, then the job fails and names it") {
  job_tracker tracker(make_job(2, 1), make_input(2, {{a}, {b}}), 0);
  tracker.set_members(0, {make_member(1)});
  const auto first = only<start_effect>(tracker.take_effects());
  REQUIRE(first.size() == 1);
  tracker.attempt_started(0, first[0].what);
  REQUIRE(tracker.wakeup());
  CHECK(*tracker.wakeup() == job_tracker::input_wait_ms);
  SECTION("It comes back in time") {
    tracker.set_members(5'000, {make_member(1), make_member(2)});
    const auto second = only<start_effect>(tracker.take_effects());
    REQUIRE(second.size() == 1);
    tracker.attempt_started(5'000, second[0].what);
    CHECK_FALSE(tracker.wakeup());
  }
  SECTION("It does not") {
    tracker.tick(job_tracker::input_wait_ms);
    const auto effects = tracker.take_effects();
    CHECK(only<cancel_effect>(effects).size() == 1);
    const auto finish = only<finish_effect>(effects);
    REQUIRE(finish.size() == 1);
    CHECK(finish[0].error->dataset == "corpus");
    CHECK(finish[0].error->message.find("segment 101 of dataset corpus has no copy on a live node") == 0);
  }
  SECTION("Another member turns out to have a copy") {
    tracker.set_holders(100, segment_id(101), {a, b});
    const auto starts = only<start_effect>(tracker.take_effects());
    REQUIRE(starts.size() == 1);
    CHECK(starts[0].where == a);
  }
}

TEST_CASE("A damaged copy sends the task elsewhere; input damaged everywhere fails the job") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a, b}}), 0);
  tracker.set_members(0, {make_member(1), make_member(2)});
  auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 1);
  tracker.attempt_failed(0, starts[0].what, {failure_kind::input_lost, errc::corrupted, "bad checksum", {}, {}});
  CHECK(only<start_effect>(tracker.take_effects()).empty());
  REQUIRE(tracker.wakeup());
  tracker.tick(*tracker.wakeup());
  const auto again = only<start_effect>(tracker.take_effects());
  REQUIRE(again.size() == 1);
  CHECK(again[0].where != starts[0].where);
  tracker.attempt_failed(100, again[0].what, {failure_kind::input_lost, errc::data_loss, "no copy is intact", {}, {}});
  const auto finish = only<finish_effect>(tracker.take_effects());
  REQUIRE(finish.size() == 1);
  CHECK(finish[0].error->message.find("segment 100 of dataset corpus") == 0);
}

TEST_CASE("A member with trouble of its own is left alone for a while, unless it is the only one") {
  job_tracker tracker(make_job(20, 1), make_input(20, {{a}}), 0);
  SECTION("with another member") {
    tracker.set_members(0, {make_member(1, 2), make_member(2, 2)});
    auto starts = only<start_effect>(tracker.take_effects());
    int failed = 0;
    for (const auto& s : starts)
      if (s.where == a && failed < 3) {
        ++failed;
        tracker.attempt_failed(0, s.what, {failure_kind::engine, errc::io_error, "no space left on device", {}, {}});
      }
    REQUIRE(failed == 3);
    static_cast<void>(tracker.take_effects());
    tracker.tick(5'000);
    for (const auto& s : only<start_effect>(tracker.take_effects())) CHECK(s.where == b);
    tracker.tick(job_tracker::quarantine_ms);
    const auto later = only<start_effect>(tracker.take_effects());
    CHECK(std::any_of(later.begin(), later.end(), [](const auto& s) { return s.where == a; }));
  }
  SECTION("alone") {
    tracker.set_members(0, {make_member(1, 2)});
    for (const auto& s : only<start_effect>(tracker.take_effects()))
      tracker.attempt_failed(0, s.what, {failure_kind::engine, errc::io_error, "no space left on device", {}, {}});
    CHECK_FALSE(only<start_effect>(tracker.take_effects()).empty());
  }
}

TEST_CASE("An attempt whose input stays away without blame is given up after 64 tries") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1)});
  std::uint32_t tries = 0;
  for (;;) {
    const auto effects = tracker.take_effects();
    if (const auto finish = only<finish_effect>(effects); !finish.empty()) {
      CHECK(finish[0].error->message.find("was tried 64 times") != std::string::npos);
      break;
    }
    const auto starts = only<start_effect>(effects);
    if (starts.empty()) {
      REQUIRE(tracker.wakeup());
      tracker.tick(*tracker.wakeup());
      continue;
    }
    ++tries;
    tracker.attempt_failed(tries, starts[0].what, {failure_kind::input_lost, errc::unavailable, "trouble", {}, {}});
  }
  CHECK(tries == 64);
}

TEST_CASE("A task that the engine fails 16 times in a row fails the job with the reason, not at once") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1)});
  time_ms now = 0;
  int tries = 0;
  for (;;) {
    const auto effects = tracker.take_effects();
    if (const auto finish = only<finish_effect>(effects); !finish.empty()) {
      CHECK(finish[0].error->message.find("was tried 16 times") != std::string::npos);
      CHECK(finish[0].error->message.find("no space left on device") != std::string::npos);
      break;
    }
    const auto starts = only<start_effect>(effects);
    if (starts.empty()) {
      REQUIRE(tracker.wakeup());
      now = std::max(now, *tracker.wakeup());
      tracker.tick(now);
      continue;
    }
    ++tries;
    tracker.attempt_failed(now, starts[0].what,
                           {failure_kind::engine, errc::io_error, "no space left on device", {}, {}});
  }
  CHECK(tries == job_tracker::engine_losses_max);
  CHECK(now > 15'000);  // what frees itself has that long
}

TEST_CASE("A commit that metadata refuses for another digest fails the job with its words") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1)});
  const auto start = only<start_effect>(tracker.take_effects()).at(0);
  tracker.attempt_finished(1, start.what, commit_at(start));
  static_cast<void>(tracker.take_effects());
  tracker.commit_answered(
      2, start.what,
      error{errc::failed_precondition, "task 0 gave digest x before and y now: the job is not deterministic"});
  const auto finish = only<finish_effect>(tracker.take_effects());
  REQUIRE(finish.size() == 1);
  CHECK(finish[0].error->message.find("not deterministic") != std::string::npos);
}
