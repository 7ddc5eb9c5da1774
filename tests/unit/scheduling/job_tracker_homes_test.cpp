#include "job_builder.hpp"

#include <algorithm>
#include <support/catch.hpp>

using namespace troupe;
using namespace troupe::scheduling;
using namespace troupe::scheduling::testing;

namespace {

std::map<member_id, std::vector<task_index>> homes_in(const std::vector<effect>& effects) {
  std::map<member_id, std::vector<task_index>> homes;
  for (const auto& e : only<prefetch_effect>(effects)) homes[e.where] = e.reduces;
  return homes;
}

}  // namespace

TEST_CASE("Reduces have homes from the beginning, by slots, and start there when all maps are committed") {
  job_tracker tracker(make_job(2, 8), make_input(2, {{a}, {b}}), 0);
  tracker.set_members(0, {make_member(1, 2), make_member(2, 2), make_member(3, 4)});
  auto effects = tracker.take_effects();
  const auto homes = homes_in(effects);
  REQUIRE(homes.size() == 3);
  CHECK(homes.at(a).size() == 2);
  CHECK(homes.at(b).size() == 2);
  CHECK(homes.at(c).size() == 4);
  for (const auto& s : only<start_effect>(effects)) {
    tracker.attempt_started(1, s.what);
    tracker.attempt_finished(1, s.what, commit_at(s));
    tracker.commit_answered(1, s.what, ok());
  }
  effects = tracker.take_effects();
  const auto starts = only<start_effect>(effects);
  REQUIRE(starts.size() == 8);
  for (const auto& s : starts) {
    const auto& list = homes.at(s.where);
    CHECK(std::count(list.begin(), list.end(), s.what.task) == 1);
  }
  CHECK(only<prefetch_effect>(effects).empty());
}

TEST_CASE("When a member dies its reduces move, and who has them now is told; nobody else's do") {
  job_tracker tracker(make_job(2, 6), make_input(2, {{a, b, c}}), 0);
  tracker.set_members(0, {make_member(1), make_member(2), make_member(3)});
  const auto before = homes_in(tracker.take_effects());
  tracker.set_members(10, {make_member(1), make_member(3)});
  const auto after = homes_in(tracker.take_effects());
  REQUIRE(after.size() == 2);
  for (const auto m : {a, c}) {
    CHECK(after.at(m).size() == 3);
    for (const auto reduce : before.at(m)) CHECK(std::count(after.at(m).begin(), after.at(m).end(), reduce) == 1);
  }
}

TEST_CASE("A member that was out of reach is told again what is at home there") {
  job_tracker tracker(make_job(2, 2), make_input(2, {{a, b}}), 0);
  tracker.set_members(0, {make_member(1), make_member(2)});
  const auto before = homes_in(tracker.take_effects());
  auto away = make_member(2);
  away.reachable = false;
  tracker.set_members(10, {make_member(1), away});
  CHECK(only<prefetch_effect>(tracker.take_effects()).empty());
  tracker.set_members(20, {make_member(1), make_member(2)});
  const auto again = homes_in(tracker.take_effects());
  REQUIRE(again.size() == 1);
  CHECK(again.at(b) == before.at(b));
}

TEST_CASE("A reduce that starts away from home is not fetched for there any more") {
  job_tracker tracker(make_job(1, 2), make_input(1, {{a}}), 0);
  tracker.set_members(0, {make_member(1, 2), make_member(2, 2)});
  const auto effects = tracker.take_effects();
  const auto homes = homes_in(effects);
  const auto map = only<start_effect>(effects).at(0);
  const auto moved = homes.at(b).at(0);
  auto away = make_member(2, 2);
  away.reachable = false;
  tracker.set_members(1, {make_member(1, 2), away});
  tracker.attempt_started(1, map.what);
  tracker.attempt_finished(1, map.what, commit_at(map));
  tracker.commit_answered(1, map.what, ok());
  const auto starts = only<start_effect>(tracker.take_effects());
  REQUIRE(starts.size() == 2);
  for (const auto& s : starts) CHECK(s.where == a);
  tracker.set_members(2, {make_member(1, 2), make_member(2, 2)});
  const auto told = homes_in(tracker.take_effects());
  REQUIRE(told.contains(b));
  CHECK(std::count(told.at(b).begin(), told.at(b).end(), moved) == 0);
}

TEST_CASE("Without reduces, without maps, or alone, nothing is fetched ahead") {
  job_tracker maps_only(make_job(2, 0), make_input(2, {{a, b}}), 0);
  auto away = make_member(2);
  away.reachable = false;
  maps_only.set_members(0, {make_member(1), away});
  maps_only.set_members(1, {make_member(1), make_member(2)});
  CHECK(only<prefetch_effect>(maps_only.take_effects()).empty());
  job_tracker no_maps(make_job(0, 2), make_input(0, {{}}), 0);
  no_maps.set_members(0, {make_member(1), make_member(2)});
  CHECK(only<prefetch_effect>(no_maps.take_effects()).empty());
  job_tracker alone(make_job(2, 2), make_input(2, {{a}}), 0);
  alone.set_members(0, {make_member(1)});
  CHECK(only<prefetch_effect>(alone.take_effects()).empty());
}
