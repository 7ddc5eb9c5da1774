#include "fake_cluster.hpp"

#include <algorithm>

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;

namespace {

constexpr std::uint64_t maps = 2 * fake_cluster::segments;

bool has_event(const telemetry::journal& journal, std::string_view kind, std::string_view words) {
  const auto events = journal.after(0, 10'000);
  return std::any_of(events.begin(), events.end(),
                     [&](const auto& e) { return e.kind == kind && e.text.find(words) != std::string::npos; });
}

dataflow::attempt_failure thrown() { return {dataflow::failure_kind::user_code, "std::bad_alloc", 17, 0, {}, {}}; }

}  // namespace

TEST_CASE("A job runs over all nodes and its output is there, whole") {
  fake_cluster cluster(3);
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  const auto job = cluster.wait_end(made->job);
  INFO((job.error ? job.error->message : std::string()));
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.tasks_done == maps + job.plan.partitions);
  CHECK(job.attempts == job.tasks_done);
  CHECK(job.lost_attempts == 0);
  CHECK(job.counters.at("lines") == static_cast<std::int64_t>(10 * job.tasks_done));
  const auto output =
      cluster.metadata.read([&](const metadata::state& s) { return *s.find_dataset(std::string_view("counts")); });
  REQUIRE(output.partitions.size() == job.plan.partitions);
  for (const auto& p : output.partitions) {
    REQUIRE(p.segments.size() == 1);
    CHECK(p.segments[0].holders.size() == 2);
  }
}

TEST_CASE("A job of one stage writes one partition for each map") {
  fake_cluster cluster(2);
  const auto made = cluster.submit("copy", "copied");
  REQUIRE(made);
  const auto job = cluster.wait_end(made->job);
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.tasks_done == maps);
  CHECK(cluster.metadata.read([](const metadata::state& s) {
    return s.find_dataset(std::string_view("copied"))->partitions.size();
  }) == maps);
}

TEST_CASE("Empty jobs end, one after another, in milliseconds") {
  fake_cluster cluster(3);
  std::vector<std::int64_t> took_us;
  for (int i = 0; i < 40; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    const auto made = cluster.submit(i % 2 == 0 ? "count" : "copy", "empty" + std::to_string(i), "nothing");
    REQUIRE(made);
    REQUIRE(cluster.wait_end(made->job).state == metadata::job_state::succeeded);
    took_us.push_back(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(took_us.begin(), took_us.end());
  INFO("median " << took_us[took_us.size() / 2] << " us, longest " << took_us.back() << " us");
  CHECK(took_us[took_us.size() / 2] < 100'000);  // without a tick of 250 ms in the way
}

TEST_CASE("A node that dies in the map phase costs its attempts, and the job goes on") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0; };  // every slot is taken
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running == 6; }));
  auto& supervisor = cluster.supervisor_of(made->job);
  const auto victim =
      std::find_if(cluster.nodes.begin(), cluster.nodes.end(), [&](const auto& n) { return n.id != supervisor.id; });
  cluster.kill(*victim);
  cluster.world.release_held();
  const auto job = cluster.wait_end(made->job);
  INFO((job.error ? job.error->message : std::string()));
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.lost_attempts >= 2);
  CHECK(job.attempts == job.tasks_done + job.lost_attempts);
  CHECK(has_event(*supervisor.journal, "member_lost", victim->name));
  CHECK(has_event(*supervisor.journal, "attempt_lost", "on " + victim->name));
}

TEST_CASE("A node that dies during the reduce has its finished maps done again") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 1; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running >= 1; }));
  auto& supervisor = cluster.supervisor_of(made->job);
  // A node with a reduce, so that its input is needed again elsewhere; the supervisor's own if it has the only one.
  const auto reduces_on = [&](const fake_cluster::node& n) { return n.id != supervisor.id; };
  const auto victim = std::find_if(cluster.nodes.begin(), cluster.nodes.end(), reduces_on);
  cluster.kill(*victim);
  cluster.world.release_held();
  const auto job = cluster.wait_end(made->job);
  INFO((job.error ? job.error->message : std::string()));
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.lost_attempts >= 1);
}

TEST_CASE("When the supervisor's node dies another takes the job up from what is committed") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0 && k.task.value >= 4; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.metadata.wait_for(
      [&](const metadata::state& s) { return !s.find_job(made->job)->stages[0].committed.empty(); }));
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running >= 2; }));
  auto& first = cluster.supervisor_of(made->job);
  const auto kept = cluster.metadata.read([&](const metadata::state& s) {
    const auto& committed = s.find_job(made->job)->stages[0].committed;
    return std::count_if(committed.begin(), committed.end(), [&](const auto& c) { return c.second.where != first.id; });
  });
  cluster.kill(first);
  cluster.world.release_held();
  const auto job = cluster.wait_end(made->job);
  INFO((job.error ? job.error->message : std::string()));
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.supervisor_epoch == epoch(2));
  CHECK(job.lost_attempts >= 1);
  CHECK(job.attempts == job.tasks_done + job.lost_attempts);
  // What other nodes had finished was not done again.
  std::lock_guard lock(cluster.world.mutex);
  std::map<task_index, int> runs;
  for (const auto& k : cluster.world.started)
    if (k.stage.value == 0) ++runs[k.task];
  const auto once = std::count_if(runs.begin(), runs.end(), [](const auto& r) { return r.second == 1; });
  CHECK(once >= kept);
}

TEST_CASE("A mapper that throws is tried four times, on two nodes, and then the job fails with its words") {
  fake_cluster cluster(3);
  std::mutex mutex;
  std::vector<member_id> tried;
  cluster.world.behave = [&](member_id where, const dataflow::attempt_key& k) -> fake_world::verdict {
    if (k.stage.value != 0 || k.task.value != 5) return {};
    std::lock_guard lock(mutex);
    tried.push_back(where);
    return thrown();
  };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  const auto job = cluster.wait_end(made->job);
  REQUIRE(job.state == metadata::job_state::failed);
  REQUIRE(job.error);
  CHECK(job.error->message.find("map task 5 failed 4 times") == 0);
  CHECK(job.error->message.find("std::bad_alloc") != std::string::npos);
  CHECK(job.error->dataset == "corpus");
  CHECK(job.error->offset == 17);
  CHECK_FALSE(job.error->node.empty());
  std::lock_guard lock(mutex);
  CHECK(tried.size() == 4);
  CHECK(std::set<member_id>(tried.begin(), tried.end()).size() >= 2);
  CHECK(cluster.metadata.read(
      [](const metadata::state& s) { return s.find_dataset(std::string_view("counts")) == nullptr; }));
}

TEST_CASE("A reducer whose input is gone has it made again, and nobody is blamed") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0 && k.task.value == 11; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.metadata.wait_for(
      [&](const metadata::state& s) { return s.find_job(made->job)->stages[0].committed.size() == maps - 1; }));
  {
    std::lock_guard lock(cluster.world.mutex);
    for (const auto& [key, where] : cluster.world.published)
      if (key.task.value == 3) cluster.world.unreadable.insert(key);
  }
  cluster.world.release_held();
  const auto job = cluster.wait_end(made->job);
  INFO((job.error ? job.error->message : std::string()));
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.lost_attempts >= 2);  // the map, and the reduce that found out
}

TEST_CASE("Cancel stops everything of the job within a second") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key&) { return true; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running == 6; }));
  const auto begin = std::chrono::steady_clock::now();
  REQUIRE(cluster.metadata.commit(metadata::cancel_job{made->job, "enough"}));
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running == 0; }));
  CHECK(std::chrono::steady_clock::now() - begin < 1s);
  CHECK(cluster.world.cancelled == 6);
  CHECK(cluster.wait_end(made->job).state == metadata::job_state::cancelled);
}

TEST_CASE("Two jobs at once share the slots of the nodes") {
  fake_cluster cluster(2, 2);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0; };
  const auto first = cluster.submit("count", "one");
  REQUIRE(first);
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running == 4; }));
  const auto second = cluster.submit("count", "two");
  REQUIRE(second);
  cluster.world.release_held();
  CHECK(cluster.wait_end(first->job).state == metadata::job_state::succeeded);
  CHECK(cluster.wait_end(second->job).state == metadata::job_state::succeeded);
  CHECK(cluster.world.running_max <= 4);
}

TEST_CASE("Status, logs and the tree can be asked for at any node") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 1; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  const auto job = made->job;
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running >= 1; }));
  auto& supervisor = cluster.supervisor_of(job);
  auto& other =
      *std::find_if(cluster.nodes.begin(), cluster.nodes.end(), [&](const auto& n) { return n.id != supervisor.id; });

  const auto status =
      fake_cluster::wait<message::job_status>([&](auto then) { other.actors->job_status(job, 5s, then); });
  REQUIRE(status);
  REQUIRE(status->stages.size() == 2);
  CHECK(status->stages[0].done == maps);
  CHECK(status->attempts >= maps + 1);
  CHECK(status->input_records == 10 * maps);
  CHECK(status->counters.at("lines") == static_cast<std::int64_t>(10 * maps));

  const auto tree =
      fake_cluster::wait<std::vector<message::tree_entry>>([&](auto then) { other.actors->tree(5s, then); });
  REQUIRE(tree);
  const auto count = [&](std::string_view kind) {
    return std::count_if(tree->begin(), tree->end(), [&](const auto& e) { return e.kind == kind; });
  };
  CHECK(count("node") == 3);
  CHECK(count("node_supervisor") == 3);
  CHECK(count("monitor") == 3);
  CHECK(count("job_supervisor") == 1);
  CHECK(count("worker") == 3);
  CHECK(count("mapper") == 3);
  std::set<std::string> seen;
  for (const auto& e : *tree) {
    CHECK(seen.insert(e.id).second);
    CHECK((e.parent.empty() || seen.contains(e.parent)));  // parents come before their children
  }

  cluster.world.release_held();
  REQUIRE(cluster.wait_end(job).state == metadata::job_state::succeeded);
  const auto gone =
      fake_cluster::wait<message::job_status>([&](auto then) { other.actors->job_status(job, 5s, then); });
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code() == errc::not_found);
  const auto logs =
      fake_cluster::wait<message::job_log_page>([&](auto then) { other.actors->job_logs(job, 0, 1'000, 5s, then); });
  REQUIRE(logs);
  CHECK(logs->known);
  CHECK(logs->first == 1);
  CHECK(logs->lines.size() >= maps);
  CHECK(logs->lines[0].text.find("working on job") == 0);
  const auto rest =
      fake_cluster::wait<message::job_log_page>([&](auto then) { other.actors->job_logs(job, 4, 3, 5s, then); });
  REQUIRE(rest);
  CHECK(rest->first == 5);
  CHECK(rest->lines.size() == 3);
  CHECK(rest->more);
}

TEST_CASE("While metadata is out of reach tasks are kept, and the job ends when it is back") {
  fake_cluster cluster(2);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running == 4; }));
  cluster.metadata.set_unavailable(true);
  cluster.world.release_held();
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.published.size() >= 4; }));
  cluster.metadata.set_unavailable(false);
  const auto job = cluster.wait_end(made->job);
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.lost_attempts == 0);
}

TEST_CASE("A link that breaks and comes back costs nothing but time") {
  fake_cluster cluster(2);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.running == 4; }));
  auto& a = cluster.nodes[0];
  auto& b = cluster.nodes[1];
  a.actors->peer_lost(b.id);
  b.actors->peer_lost(a.id);
  cluster.world.release_held();
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.published.size() >= 4; }));
  a.actors->peer_connected(b.id, troupe::incarnation(1), b.actors->gateway());
  b.actors->peer_connected(a.id, troupe::incarnation(1), a.actors->gateway());
  const auto job = cluster.wait_end(made->job);
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.lost_attempts == 0);
}
