#include <tests/unit/metadata/cluster.hpp>
#include <troupe/replication/placement.hpp>
#include <troupe/replication/repair.hpp>

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;
using namespace troupe::replication;
using namespace std::chrono_literals;

namespace {

struct planned {
  metadata::testing::cluster c;
  time_point now{};

  explicit planned(std::uint8_t members) {
    for (std::uint8_t n = 1; n <= members; ++n) c.join(n);
  }
  static member_id id(std::uint8_t n) { return identity_of<member_id>(n); }
  replica_ref ref(std::uint8_t n) const { return {id(n), c.state.find_member(id(n))->incarnation}; }
  void die(std::uint8_t n) { c.must(set_member_state{id(n), ref(n).incarnation, member_state::dead, "gone"}); }
};

}  // namespace

TEST_CASE("leaders and copies are spread over the members, and a new member gets its share and moves nothing else") {
  planned p(3);
  std::map<std::uint32_t, member_id> before;
  std::map<member_id, int> leads;
  for (std::uint32_t i = 0; i < 300; ++i) {
    before[i] = placement::ranked(p.c.state, {dataset_id{1}, partition_index{i}}).front().member;
    ++leads[before[i]];
  }
  for (std::uint8_t n = 1; n <= 3; ++n) CHECK(leads[p.id(n)] > 70);
  p.c.join(4);
  int moved = 0;
  for (std::uint32_t i = 0; i < 300; ++i) {
    const auto now = placement::ranked(p.c.state, {dataset_id{1}, partition_index{i}}).front().member;
    if (now == before[i]) continue;
    ++moved;
    CHECK(now == p.id(4));
  }
  CHECK(moved > 40);
  CHECK(moved < 120);
}

TEST_CASE("a dead or draining member leads nothing and gets no copies") {
  planned p(3);
  create_dataset d;
  d.name = "log";
  d.copies = 2;
  d.partitions = 12;
  const auto made = p.c.must(d);
  for (std::uint32_t i = 0; i < 12; ++i) {
    const partition_key where{made.dataset, partition_index{i}};
    const auto leader = *placement::next_leader(p.c.state, where);
    const auto taken = p.c.must(take_over{made.dataset, partition_index{i}, {}, leader});
    const auto replicas = placement::choose_replicas(p.c.state, where, leader, {});
    REQUIRE(replicas.size() == 2);
    CHECK(replicas.front() == leader);
    p.c.must(seal_and_open{made.dataset, partition_index{i}, taken.epoch, leader, std::nullopt, replicas});
  }
  p.die(1);
  p.c.must(drain_member{p.id(2), true});
  std::size_t to_lead = 0;
  for (std::uint32_t i = 0; i < 12; ++i) {
    const auto next = placement::next_leader(p.c.state, {made.dataset, partition_index{i}});
    REQUIRE(next);
    CHECK(next->member == p.id(3));
  }
  to_lead = placement::to_lead(p.c.state, p.id(3)).size();
  CHECK(to_lead == 12);
  CHECK(placement::to_lead(p.c.state, p.id(2)).size() < 12);
}

TEST_CASE("who leads more than its share gives one partition away at a time") {
  planned p(1);
  create_dataset d;
  d.name = "log";
  d.partitions = 9;
  const auto made = p.c.must(d);
  for (std::uint32_t i = 0; i < 9; ++i) p.c.must(take_over{made.dataset, partition_index{i}, {}, p.ref(1)});
  CHECK(!placement::to_give_away(p.c.state, p.id(1)));
  p.c.join(2);
  p.c.join(3);
  int given = 0;
  while (const auto gift = placement::to_give_away(p.c.state, p.id(1))) {
    REQUIRE(++given < 9);
    const auto& log = p.c.state.find_partition(made.dataset, gift->where.partition)->log;
    p.c.must(release_partition{made.dataset, gift->where.partition, log.epoch, p.ref(1), gift->to});
  }
  CHECK(given >= 2);
}

TEST_CASE("the least replicated segment is repaired first, from live holders only, and by one target for each copy") {
  planned p(4);
  p.c.import("one", {{100, 200}}, {p.id(1), p.id(2)});
  p.c.import("two", {{300}}, {p.id(1)});
  alter_dataset a;
  a.name = "one";
  a.copies = 3;
  p.c.must(a);
  a.name = "two";
  a.copies = 3;
  p.c.must(a);
  std::size_t tasks = 0;
  for (std::uint8_t n = 1; n <= 4; ++n) {
    repair_planner planner({});
    const auto plan = planner.plan(p.now, p.c.state, p.id(n));
    tasks += plan.size();
    for (std::size_t i = 1; i < plan.size(); ++i) CHECK(plan[i - 1].copies <= plan[i].copies);
    for (const auto& t : plan) {
      CHECK(!t.sources.empty());
      CHECK(std::find(t.sources.begin(), t.sources.end(), p.id(n)) == t.sources.end());
    }
  }
  CHECK(tasks == 4);  // one for each segment of «one», two for the one of «two»
  CHECK(repair_planner::missing(p.c.state, p.c.state.find_dataset("one")->id).segments == 2);
  p.die(1);
  repair_planner planner({});
  for (std::uint8_t n = 2; n <= 4; ++n)
    for (const auto& t : planner.plan(p.now, p.c.state, p.id(n)))
      CHECK(std::find(t.sources.begin(), t.sources.end(), p.id(1)) == t.sources.end());
}

TEST_CASE("a member that has a file of the segment already comes before those that would have to copy it") {
  planned p(4);
  p.c.import("one", {{100}}, {p.id(1)});
  alter_dataset a;
  a.name = "one";
  a.copies = 2;
  p.c.must(a);
  repair_options with;
  with.head_start = 500ms;
  const auto segment = p.c.state.find_dataset("one")->partitions[0].segments[0].id;
  const std::set<segment_id> there{segment};
  std::map<std::uint8_t, repair_planner> planners;
  const auto plan = [&](std::uint8_t n, const std::set<segment_id>& files) {
    return planners.try_emplace(n, with).first->second.plan(p.now, p.c.state, p.id(n), files);
  };
  std::size_t fetching = 0;
  for (std::uint8_t n = 2; n <= 4; ++n) {
    CHECK(repair_planner::is_wanted(p.c.state, p.id(n)));
    CHECK(plan(n, {}).empty());
    const auto tasks = plan(n, there);
    REQUIRE(tasks.size() == 1);
    fetching += tasks[0].fetch ? 1 : 0;
  }
  CHECK(fetching == 1);  // the target by rank; the others only look at what they have
  CHECK(!repair_planner::is_wanted(p.c.state, p.id(1)));
  p.now += 500ms;
  std::size_t tasks = 0;
  for (std::uint8_t n = 2; n <= 4; ++n) tasks += plan(n, {}).size();
  CHECK(tasks == 1);
  // With the only holder gone, a file is all that there may be.
  p.die(1);
  for (std::uint8_t n = 2; n <= 4; ++n) {
    CHECK(plan(n, {}).empty());
    const auto last = plan(n, there);
    REQUIRE(last.size() == 1);
    CHECK(!last[0].fetch);
    CHECK(last[0].sources.empty());
  }
}

TEST_CASE("a target that does not get to a copy is passed over after a while") {
  planned p(4);
  p.c.import("one", {{100}}, {p.id(1)});
  alter_dataset a;
  a.name = "one";
  a.copies = 2;
  p.c.must(a);
  std::map<std::uint8_t, repair_planner> planners;
  const auto targets = [&] {
    std::size_t count = 0;
    for (std::uint8_t n = 2; n <= 4; ++n) {
      auto& planner = planners.try_emplace(n, repair_options{}).first->second;
      count += planner.plan(p.now, p.c.state, p.id(n)).size();
    }
    return count;
  };
  CHECK(targets() == 1);
  p.now += 31s;
  CHECK(targets() == 2);
  p.now += 60s;
  CHECK(targets() == 3);
}

TEST_CASE(
    "a copy that is too many goes, and it is everybody's same one; a draining member's goes when others have it") {
  planned p(3);
  p.c.import("one", {{100}}, {p.id(1), p.id(2), p.id(3)});
  alter_dataset a;
  a.name = "one";
  a.copies = 2;
  a.min_copies = 1;
  p.c.must(a);
  std::vector<remove_holder> removals;
  for (std::uint8_t n = 1; n <= 3; ++n) {
    const repair_planner planner({});
    for (const auto& r : planner.plan_removals(p.c.state, p.id(n))) removals.push_back(r);
  }
  REQUIRE(removals.size() == 1);
  p.c.must(removals.front());
  const repair_planner planner({});
  const auto holders = p.c.state.find_dataset("one")->partitions[0].segments[0].holders;
  p.c.must(drain_member{holders[0], true});
  CHECK(planner.plan_removals(p.c.state, holders[0]).empty());
  CHECK(p.c.refused(remove_holder{removals.front().dataset, removals.front().segment, holders[0]}).code() ==
        errc::failed_precondition);
  const auto& g = p.c.state.find_dataset("one")->partitions[0].segments[0];
  const auto third = removals.front().holder;
  p.c.must(add_holder{
      removals.front().dataset, g.id, {third, p.c.state.find_member(third)->incarnation}, holders[1], g.digest});
  REQUIRE(planner.plan_removals(p.c.state, holders[0]).size() == 1);
  p.c.must(planner.plan_removals(p.c.state, holders[0]).front());
}

TEST_CASE("copies are limited in bandwidth, and idle time is saved up for a second at most") {
  bandwidth_limit limit(1000);
  auto now = time_point{} + 100s;
  CHECK(limit.reserve(now, 1000) == now);  // the second that was saved
  CHECK(limit.reserve(now, 500) == now);
  CHECK(limit.reserve(now, 500) == now + 500ms);
  CHECK(limit.reserve(now, 500) == now + 1000ms);
  now += 10s;
  CHECK(limit.reserve(now, 1000) == now);
}

TEST_CASE("every copy is looked at within the period, the longest unseen first") {
  planned p(2);
  p.c.import("one", {{100, 100, 100}}, {p.id(1)});
  scrub_planner planner(3h);
  std::set<segment_id> seen;
  auto now = time_point{} + 1000h;
  for (int i = 0; i < 3; ++i) {
    const auto next = planner.next(now, p.c.state, p.id(1));
    REQUIRE(next);
    CHECK(next->second <= now + 3h);
    now = std::max(now, next->second);
    planner.checked(now, next->first.segment);
    seen.insert(next->first.segment);
  }
  CHECK(seen.size() == 3);
  CHECK(!planner.next(now, p.c.state, p.id(2)));
}

TEST_CASE("retention gives up what is old or too much, and nothing that a running job reads") {
  planned p(1);
  p.c.import("one", {{1000, 1000, 1000}}, {p.id(1)});
  CHECK(plan_retention(p.c.state, 1'000'000).empty());
  alter_dataset a;
  a.name = "one";
  a.keep_bytes = 2000;
  p.c.must(a);
  auto plan = plan_retention(p.c.state, 1'000'000);
  REQUIRE(plan.size() == 1);
  p.c.must(load_module{metadata::testing::cluster::make_module('a', "m", "job")});
  const auto job = p.c.run("job", "one", "out");
  CHECK(plan_retention(p.c.state, 1'000'000).empty());
  CHECK(p.c.refused(plan.front()).code() == errc::failed_precondition);
  p.c.must(cancel_job{job, "enough"});
  p.c.must(plan.front());
  const auto& left = p.c.state.find_dataset("one")->partitions[0];
  CHECK(left.segments.size() == 2);
  CHECK(left.log.trimmed_records == 10);
  a.keep_bytes = 0;
  a.keep_age_ms = 5000;
  p.c.must(a);
  CHECK(plan_retention(p.c.state, p.c.now + 4000).empty());
  REQUIRE(plan_retention(p.c.state, p.c.now + 6000).size() == 1);
}
