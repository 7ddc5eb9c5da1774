#include "job_builder.hpp"

#include <support/catch.hpp>

using namespace troupe;
using namespace troupe::scheduling;
using namespace troupe::scheduling::testing;

namespace {

std::vector<worker_member> three(std::uint32_t slots = 2) {
  return {make_member(1, slots), make_member(2, slots), make_member(3, slots)};
}

/// Runs every attempt that is started until none is; gives the last effects.
std::vector<effect> run_all(job_tracker& tracker, std::vector<effect> effects, time_ms now) {
  for (;;) {
    const auto starts = only<start_effect>(effects);
    if (starts.empty()) return effects;
    for (const auto& s : starts) {
      tracker.attempt_started(now, s.what);
      tracker.attempt_finished(now + 10, s.what, commit_at(s));
      tracker.commit_answered(now + 10, s.what, ok());
    }
    effects = tracker.take_effects();
  }
}

}  // namespace

TEST_CASE("Map tasks go where a copy is") {
  job_tracker tracker(make_job(6, 1), make_input(6, {{a, b}, {b, c}, {c, a}}), 0);
  tracker.set_members(0, three());
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 6);
  for (const auto& s : starts) {
    const std::vector<std::vector<member_id>> holders{{a, b}, {b, c}, {c, a}};
    const auto& h = holders[s.what.task.value % 3];
    CHECK(std::count(h.begin(), h.end(), s.where) == 1);
    CHECK(s.what.attempt == attempt_number(1));
    CHECK(s.replicas.empty());
  }
}

TEST_CASE("One task goes to the member with its copy, though all are idle") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{c}}), 0);
  tracker.set_members(0, three());
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 1);
  CHECK(starts[0].where == c);
}

TEST_CASE("Idle members read from afar rather than do nothing, and nobody gets more than two rounds of slots") {
  job_tracker tracker(make_job(100, 1), make_input(100, {{a}}), 0);
  tracker.set_members(0, three());
  std::map<member_id, int> count;
  for (const auto& s : only<start_effect>(tracker.take_effects())) ++count[s.where];
  CHECK(count[a] == 4);  // two slots, two to prefetch
  CHECK(count[b] == 3);
  CHECK(count[c] == 3);
}

TEST_CASE("Reduces start when every map is committed, spread, with replicas elsewhere; then the job ends") {
  job_tracker tracker(make_job(3, 3, 2), make_input(3, {{a}, {b}, {c}}), 0);
  tracker.set_members(0, three());
  auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 3);
  for (const auto& s : starts) tracker.attempt_finished(10, s.what, commit_at(s));
  CHECK(only<commit_effect>(tracker.take_effects()).size() == 3);
  tracker.commit_answered(11, starts[0].what, ok());
  tracker.commit_answered(11, starts[1].what, ok());
  CHECK(tracker.take_effects().empty());
  tracker.commit_answered(11, starts[2].what, ok());
  starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 3);
  std::set<member_id> where;
  for (const auto& s : starts) {
    where.insert(s.where);
    REQUIRE(s.replicas.size() == 1);
    CHECK(s.replicas[0] != s.where);
  }
  CHECK(where.size() == 3);
  auto effects = run_all(tracker, {starts.begin(), starts.end()}, 20);
  const auto finish = only<finish_effect>(effects);
  REQUIRE(finish.size() == 1);
  CHECK(finish[0].outcome == metadata::job_state::succeeded);
  tracker.finish_answered(30, ok());
  CHECK(tracker.is_over());
  CHECK(tracker.counted().attempts == 6);
  CHECK(tracker.counted().lost_attempts == 0);
}

TEST_CASE("The last commit and the end are proposed together") {
  job_tracker tracker(make_job(1, 0), make_input(1, {{a}}), 0);
  tracker.set_members(0, three());
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 1);
  tracker.attempt_finished(1, starts[0].what, commit_at(starts[0]));
  const auto effects = tracker.take_effects();
  REQUIRE(effects.size() == 2);
  CHECK(std::holds_alternative<commit_effect>(effects[0]));
  CHECK(std::holds_alternative<finish_effect>(effects[1]));
}

TEST_CASE("A job without input ends with its empty partitions") {
  job_tracker tracker(make_job(0, 2), make_input(0, {{}}), 0);
  tracker.set_members(0, three());
  auto effects = run_all(tracker, tracker.take_effects(), 0);
  REQUIRE(only<finish_effect>(effects).size() == 1);
  job_tracker empty(make_job(0, 0), make_input(0, {{}}), 0);
  empty.set_members(0, three());
  CHECK(only<finish_effect>(empty.take_effects()).size() == 1);
}

TEST_CASE("A member that dies takes its attempts along; their seconds are counted") {
  job_tracker tracker(make_job(2, 1), make_input(2, {{a, b}}), 0);
  tracker.set_members(0, {make_member(1, 1), make_member(2, 1)});
  auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 2);
  for (const auto& s : starts) tracker.attempt_started(1'000, s.what);
  tracker.set_members(3'500, {make_member(2, 1)});
  const auto effects = tracker.take_effects();
  const auto losses = only<loss_effect>(effects);
  REQUIRE(losses.size() == 1);
  CHECK(losses[0].kind == failure_kind::member_lost);
  CHECK(losses[0].text.find("on node1: the node is gone") != std::string::npos);
  CHECK(tracker.counted().lost_task_seconds == 2.5);
  const auto again = only<start_effect>(effects);
  REQUIRE(again.size() == 1);
  CHECK(again[0].where == b);
}

TEST_CASE("A member that cannot be reached gets nothing new and keeps what it has") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  auto members = three();
  tracker.set_members(0, members);
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 1);
  members[0].reachable = false;
  tracker.set_members(10, members);
  CHECK(tracker.take_effects().empty());
  CHECK(tracker.is_out(starts[0].what));
}

TEST_CASE("A finished map whose member died is done again while a reduce needs it") {
  job_tracker tracker(make_job(2, 1), make_input(2, {{a, b}, {b, a}}), 0);
  auto job = make_job(2, 1);
  tracker.set_members(0, {make_member(1), make_member(2)});
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 2);
  for (const auto& s : starts) {
    tracker.attempt_started(0, s.what);
    tracker.attempt_finished(1'000, s.what, commit_at(s));
    tracker.commit_answered(1'000, s.what, ok());
    job.stages[0].committed[s.what.task] = commit_at(s);
  }
  const auto reduce = only<start_effect>(tracker.take_effects());
  REQUIRE(reduce.size() == 1);

  const auto dead = reduce[0].where == a ? b : a;
  const auto alive = reduce[0].where;
  std::erase_if(job.stages[0].committed, [&](const auto& entry) { return entry.second.where == dead; });
  REQUIRE(job.stages[0].committed.size() == 1);

  SECTION("The reduce waits for its input") {
    tracker.set_members(2'000, {make_member(alive == a ? 1 : 2)});
    tracker.sync_commits(2'000, job.stages);
    const auto again = only<start_effect>(tracker.take_effects());
    REQUIRE(again.size() == 1);
    CHECK(again[0].what.stage == stage_index(0));
    CHECK(tracker.counted().lost_attempts == 1);
    CHECK(tracker.counted().lost_task_seconds == 1.0);
  }
  SECTION("The reduce has its slot, and so all of its input") {
    tracker.attempt_started(1'500, reduce[0].what);
    tracker.set_members(2'000, {make_member(alive == a ? 1 : 2)});
    tracker.sync_commits(2'000, job.stages);
    CHECK(only<start_effect>(tracker.take_effects()).empty());
    SECTION("… until it fails") {
      tracker.attempt_failed(2'100, reduce[0].what, thrown());
      const auto again = only<start_effect>(tracker.take_effects());
      REQUIRE(again.size() == 1);
      CHECK(again[0].what.stage == stage_index(0));
    }
    SECTION("… and the job ends without the map") {
      tracker.attempt_finished(2'100, reduce[0].what, commit_at(reduce[0]));
      CHECK(only<finish_effect>(tracker.take_effects()).size() == 1);
    }
  }
}

TEST_CASE("A map output that is gone is revoked at once, one that is out of reach after the third report") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1), make_member(2)});
  const auto map = only<start_effect>(tracker.take_effects()).at(0);
  tracker.attempt_finished(1, map.what, commit_at(map));
  tracker.commit_answered(1, map.what, ok());
  const auto fail_reduce = [&](time_ms now, errc code) {
    tracker.tick(now);
    const auto reduce = only<start_effect>(tracker.take_effects());
    REQUIRE(reduce.size() == 1);
    tracker.attempt_failed(now, reduce[0].what, {failure_kind::input_lost, code, "cannot be had", {}, {map.what}});
    return only<revoke_effect>(tracker.take_effects());
  };
  SECTION("gone") {
    const auto revoked = fail_reduce(10, errc::not_found);
    REQUIRE(revoked.size() == 1);
    CHECK(revoked[0].what == map.what);
    tracker.revoke_answered(20, map.what, ok());
    const auto again = only<start_effect>(tracker.take_effects());
    REQUIRE(again.size() == 1);
    CHECK(again[0].what.stage == stage_index(0));
    CHECK(again[0].what.attempt == map.what.attempt.next());
  }
  SECTION("out of reach") {
    CHECK(fail_reduce(10, errc::unavailable).empty());
    CHECK(fail_reduce(5'000, errc::unavailable).empty());
    CHECK(fail_reduce(10'000, errc::unavailable).size() == 1);
  }
  SECTION("an old report says nothing about the present attempt") {
    tracker.revoke_answered(5, map.what, ok());  // nobody asked: ignored
    const auto reduce = only<start_effect>(tracker.take_effects());
    REQUIRE(reduce.size() == 1);
    auto other = map.what;
    other.attempt = other.attempt.next();
    tracker.attempt_failed(10, reduce[0].what, {failure_kind::input_lost, errc::not_found, "gone", {}, {other}});
    CHECK(only<revoke_effect>(tracker.take_effects()).empty());
  }
}

TEST_CASE("The next supervisor goes on from what is committed, with attempt numbers of its own") {
  auto job = make_job(2, 1);
  metadata::task_commit commit;
  commit.attempt = attempt_number(1);
  commit.where = a;
  commit.where_incarnation = troupe::incarnation(1);
  job.stages[0].committed[task_index(0)] = commit;
  job.stages[0].first_digests[task_index(1)] = {};
  job.supervisor_epoch = epoch(2);
  job_tracker tracker(job, make_input(2, {{a}, {b}}), 0);
  tracker.set_prior(5, 1.5);
  tracker.set_members(0, {make_member(1), make_member(2)});
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 1);
  CHECK(starts[0].what == attempt_ref{stage_index(0), task_index(1), attempt_number(9)});
  CHECK(tracker.counted().attempts == 6);
  CHECK(tracker.counted().lost_attempts == 4);  // five were started, one is committed
  CHECK(tracker.counted().lost_task_seconds == 1.5);
}

TEST_CASE("Output whose only copy died with its member is made again before the job ends") {
  job_tracker tracker(make_job(2, 0), make_input(2, {{a, b}, {b, a}}), 0);
  tracker.set_members(0, {make_member(1), make_member(2)});
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 2);
  auto commit = commit_at(starts[0]);
  commit.output.emplace();
  commit.output->holders = {starts[0].where};
  tracker.attempt_finished(1, starts[0].what, commit);
  tracker.commit_answered(1, starts[0].what, ok());
  tracker.set_members(2, {make_member(starts[0].where == a ? 2 : 1)});
  const auto revoked = only<revoke_effect>(tracker.take_effects());
  REQUIRE(revoked.size() == 1);
  CHECK(revoked[0].what == starts[0].what);
  tracker.revoke_answered(3, revoked[0].what, ok());
  const auto again = only<start_effect>(tracker.take_effects());
  REQUIRE(again.size() == 1);
  CHECK(again[0].what.task == starts[0].what.task);
}

TEST_CASE("What comes late or twice changes nothing") {
  job_tracker tracker(make_job(1, 1), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1)});
  const auto start = only<start_effect>(tracker.take_effects()).at(0);
  auto other = start.what;
  other.attempt = other.attempt.next();
  tracker.attempt_failed(0, other, thrown());
  tracker.attempt_started(0, {stage_index(5), task_index(0), attempt_number(1)});
  tracker.attempt_finished(1, start.what, commit_at(start));
  CHECK(only<commit_effect>(tracker.take_effects()).size() == 1);
  tracker.attempt_finished(1, start.what, commit_at(start));
  tracker.attempt_failed(1, start.what, thrown());
  CHECK(tracker.take_effects().empty());
  tracker.commit_answered(2, start.what, ok());
  static_cast<void>(tracker.take_effects());
  tracker.commit_answered(2, start.what, ok());
  CHECK(tracker.take_effects().empty());
  CHECK(tracker.counted().lost_attempts == 0);
}
