#include "job_builder.hpp"

#include <algorithm>
#include <support/catch.hpp>

using namespace troupe;
using namespace troupe::scheduling;
using namespace troupe::scheduling::testing;

namespace {

/// Two members with one slot each and four maps with copies on `a` only. What `b` got is done; `a` runs one and has the
/// others waiting.
struct busy_and_idle {
  job_tracker tracker{make_job(4, 0), make_input(4, {{a}}), 0};
  std::vector<start_effect> at_a, at_b;
  std::uint64_t done = 0;

  busy_and_idle() {
    tracker.set_members(0, {make_member(1, 1), make_member(2, 1)});
    take_starts();
    tracker.attempt_started(0, at_a.at(0).what);
    finish_at_b(10);
    REQUIRE(at_a.size() + done == 4);
    REQUIRE(at_a.size() == 2);
  }
  std::vector<start_effect> take_starts() {
    auto starts = only<start_effect>(tracker.take_effects());
    for (const auto& s : starts) (s.where == a ? at_a : at_b).push_back(s);
    return starts;
  }
  void finish_at_b(time_ms now) {
    while (!at_b.empty()) {
      const auto s = at_b.back();
      at_b.pop_back();
      tracker.attempt_started(now, s.what);
      tracker.attempt_finished(now, s.what, commit_at(s));
      tracker.commit_answered(now, s.what, ok());
      ++done;
      take_starts();
    }
  }
};

}  // namespace

TEST_CASE("An attempt that waits at a busy member goes to one that has nothing to do, and is counted once") {
  busy_and_idle j;
  REQUIRE(j.tracker.wakeup());
  const auto due = *j.tracker.wakeup();
  CHECK(due == job_tracker::withdraw_after_ms);
  j.tracker.tick(due - 1);
  CHECK(j.tracker.take_effects().empty());
  j.tracker.tick(due);
  const auto asked = only<withdraw_effect>(j.tracker.take_effects());
  REQUIRE(asked.size() == 1);
  CHECK(asked[0] == withdraw_effect{j.at_a[1].what, a});
  CHECK(j.tracker.is_out(asked[0].what));  // until its member has let go

  j.tracker.attempt_withdrawn(due + 1, asked[0].what, true);
  const auto again = j.take_starts();
  REQUIRE(again.size() == 1);
  CHECK(again[0].where == b);
  CHECK(again[0].what.task == asked[0].what.task);
  CHECK(again[0].what.attempt != asked[0].what.attempt);
  j.finish_at_b(due + 10);
  j.tracker.attempt_finished(due + 20, j.at_a[0].what, commit_at(j.at_a[0]));
  const auto finish = only<finish_effect>(j.tracker.take_effects());
  REQUIRE(finish.size() == 1);
  CHECK(j.tracker.counted().attempts == 4);
  CHECK(j.tracker.counted().lost_attempts == 0);
}

TEST_CASE("An attempt that has begun meanwhile stays where it is") {
  busy_and_idle j;
  const auto due = job_tracker::withdraw_after_ms;
  SECTION("before it is asked for") {
    j.tracker.attempt_started(due - 1, j.at_a[1].what);
    j.tracker.tick(due);
    CHECK(j.tracker.take_effects().empty());
  }
  SECTION("when its member hears of it") {
    j.tracker.tick(due);
    const auto asked = only<withdraw_effect>(j.tracker.take_effects());
    REQUIRE(asked.size() == 1);
    j.tracker.attempt_started(due + 1, asked[0].what);
    j.tracker.attempt_withdrawn(due + 1, asked[0].what, false);
    j.tracker.tick(due * 10);
    CHECK(j.tracker.take_effects().empty());
    CHECK(j.tracker.is_out(asked[0].what));
  }
  SECTION("it is done before the answer comes") {
    j.tracker.tick(due);
    REQUIRE(only<withdraw_effect>(j.tracker.take_effects()).size() == 1);
    j.tracker.attempt_finished(due + 1, j.at_a[1].what, commit_at(j.at_a[1]));
    CHECK(only<commit_effect>(j.tracker.take_effects()).size() == 1);
    j.tracker.attempt_withdrawn(due + 2, j.at_a[1].what, true);
    CHECK(j.tracker.take_effects().empty());
    CHECK(j.tracker.counted().attempts == 4);
  }
}

TEST_CASE("A withdrawal without an answer is asked again, one that is refused a little later") {
  busy_and_idle j;
  const auto due = job_tracker::withdraw_after_ms;
  j.tracker.tick(due);
  const auto asked = only<withdraw_effect>(j.tracker.take_effects()).at(0);
  j.tracker.tick(due + job_tracker::withdraw_answer_ms - 1);
  CHECK(j.tracker.take_effects().empty());
  j.tracker.tick(due + job_tracker::withdraw_answer_ms);
  CHECK(only<withdraw_effect>(j.tracker.take_effects()) == std::vector{asked});
  j.tracker.attempt_withdrawn(5'000, asked.what, false);
  j.tracker.tick(5'000 + due - 1);
  CHECK(j.tracker.take_effects().empty());
  j.tracker.tick(5'000 + due);
  CHECK(only<withdraw_effect>(j.tracker.take_effects()) == std::vector{asked});
}

TEST_CASE("A task that moves and moves stays at last; only as many are asked back as there are free slots") {
  job_tracker tracker(make_job(8, 0), make_input(8, {{a}}), 0);
  tracker.set_members(0, {make_member(1, 4)});
  auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 8);
  // Other jobs have the slots of `a`; `b` joins with two.
  tracker.set_members(1'000, {make_member(1, 4), make_member(2, 2)});
  REQUIRE(only<withdraw_effect>(tracker.take_effects()).size() == 2);
  tracker.set_members(1'001, {make_member(1, 4)});
  static_cast<void>(tracker.take_effects());
  time_ms now = 10'000;
  std::map<task_index, std::uint32_t> moves;
  for (int i = 0; i < 1'000; ++i, now += job_tracker::withdraw_answer_ms) {
    tracker.set_members(now, {make_member(1, 4), make_member(2, 2)});
    tracker.tick(now);
    const auto asked = only<withdraw_effect>(tracker.take_effects());
    CHECK(asked.size() <= 4);
    if (asked.empty()) break;
    for (const auto& w : asked) {
      tracker.attempt_withdrawn(now, w.what, true);
      ++moves[w.what.task];
    }
  }
  CHECK_FALSE(moves.empty());
  for (const auto& [task, count] : moves) CHECK(count <= job_tracker::withdrawals_max);
  CHECK(tracker.counted().attempts == 8);
  CHECK(tracker.counted().lost_attempts == 0);
}

TEST_CASE("Nothing is taken from a member that cannot be asked") {
  busy_and_idle j;
  auto away = make_member(1, 1);
  away.reachable = false;
  j.tracker.set_members(100, {away, make_member(2, 1)});
  j.tracker.tick(10'000);
  CHECK(j.tracker.take_effects().empty());
  CHECK_FALSE(j.tracker.wakeup());
}
