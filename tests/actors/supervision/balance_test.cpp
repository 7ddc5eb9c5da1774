#include "fake_cluster.hpp"

#include <algorithm>

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;

TEST_CASE("While one node's tasks take long, what waits there is done by the others, once") {
  fake_cluster cluster(3, 1);
  const auto slow = cluster.nodes[1].id;
  cluster.world.held_at = {slow};
  const auto made = cluster.submit("copy", "copied");
  REQUIRE(made);
  constexpr std::uint64_t maps = 2 * fake_cluster::segments;
  REQUIRE(cluster.metadata.wait_for([&](const metadata::state& s) {
    return s.find_job(made->job)->stages[0].committed.size() == maps - 1;  // all but the one that runs there
  }));
  {
    std::lock_guard lock(cluster.world.mutex);
    CHECK(cluster.world.running == 1);
    CHECK(cluster.world.cancelled == 0);
    std::set<task_index> tasks;
    for (const auto& key : cluster.world.started) CHECK(tasks.insert(key.task).second);
    CHECK(tasks.size() == maps);
  }
  cluster.world.release_held();
  const auto job = cluster.wait_end(made->job);
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.attempts == maps);
  CHECK(job.lost_attempts == 0);
}

TEST_CASE("A job that waits for another's slots on one node moves to the node that is free") {
  fake_cluster cluster(2, 1, 1);  // one copy of each segment, on the nodes in turn
  const auto busy = cluster.nodes[0].id;
  cluster.world.held_at = {busy};
  const auto first = cluster.submit("copy", "one");
  REQUIRE(first);
  constexpr std::uint64_t maps = 2 * fake_cluster::segments;
  REQUIRE(cluster.metadata.wait_for(
      [&](const metadata::state& s) { return s.find_job(first->job)->stages[0].committed.size() == maps - 1; }));
  const auto second = cluster.submit("copy", "two");
  REQUIRE(second);
  const auto job = cluster.wait_end(second->job);
  CHECK(job.state == metadata::job_state::succeeded);
  CHECK(job.attempts == maps);
  cluster.world.release_held();
  CHECK(cluster.wait_end(first->job).state == metadata::job_state::succeeded);
}
