#include "fake_cluster.hpp"

#include <actors/supervision/reduce_prefetch.hpp>
#include <algorithm>
#include <atomic>
#include <future>

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;

namespace {

/// Fetches that are answered when the test says so; block ids tell who was asked for what.
class slow_fetches final : public node_ports {
 public:
  struct asked {
    member_id from;
    dataflow::attempt_key map;
    std::uint32_t partition;
    reply<std::vector<dataflow::block_ref>> then;
  };
  void fetch_module(const std::string&, std::vector<member_id>, reply<std::string>) override {}
  void fetch_map_output(member_id from, const dataflow::attempt_key& attempt, std::uint32_t partition,
                        reply<std::vector<dataflow::block_ref>> then) override {
    fetches.push_back({from, attempt, partition, std::move(then)});
  }
  void fetch_segment_range(job_id, dataset_id, const metadata::segment&, std::uint64_t, std::uint64_t,
                           reply<fetched_blocks>) override {}
  [[nodiscard]] std::optional<std::string> local_segment(segment_id) const override { return std::nullopt; }
  std::shared_ptr<data::replicated_writer> open_output(data::output_spec) override { return nullptr; }
  void report_damage(dataset_id, segment_id, member_id, log_index, const std::string&) override {}
  [[nodiscard]] std::uint64_t prefetch_bytes_max() const override { return bytes_max; }
  void discard(const std::vector<dataflow::block_ref>& blocks) override {
    for (const auto& b : blocks) discarded.insert(b.id.value);
  }
  void release_job(job_id) override {}
  void release_attempt(const dataflow::attempt_key&) override {}
  void run(dataflow::task_assignment, std::shared_ptr<attempt_observer>) override {}
  void cancel(const dataflow::attempt_key&) override {}
  [[nodiscard]] std::optional<actors::attempt_progress> progress(const dataflow::attempt_key&) const override {
    return std::nullopt;
  }
  [[nodiscard]] std::vector<worker_info> workers() const override { return {}; }

  static std::uint64_t block_of(std::uint32_t map, std::uint32_t attempt, std::uint32_t partition) {
    return attempt * 10'000ULL + map * 100ULL + partition;
  }
  void answer_next() {
    auto a = std::move(fetches.front());
    fetches.pop_front();
    dataflow::block_ref block;
    block.id = dataflow::block_id(block_of(a.map.task.value, a.map.attempt.value, a.partition));
    block.size = 10;
    a.then(std::vector<dataflow::block_ref>{block});
  }
  void refuse_next() {
    auto a = std::move(fetches.front());
    fetches.pop_front();
    a.then(error{errc::unavailable, "connection refused"});
  }
  void answer_all() {
    while (!fetches.empty()) answer_next();
  }

  std::uint64_t bytes_max = 1'000;
  std::deque<asked> fetches;
  std::multiset<std::uint64_t> discarded;
};

/// Node 1 with reduces 0 and 1 at home, and maps on node 2.
struct prefetching {
  static constexpr auto job = job_id(1);
  slow_fetches ports;
  reduce_prefetch prefetch{ports, [](std::function<void()> f) { f(); }, member(1)};
  reduce_prefetch::source_map committed;

  prefetching() { prefetch.want(job, {task_index(0), task_index(1)}); }
  void commit(std::uint32_t map, std::uint8_t where = 2, std::uint32_t attempt = 1, std::uint64_t digest = 7) {
    committed[task_index(map)] = {member(where), attempt_number(attempt), {digest, map}};
    prefetch.sources(job, committed);
  }
  void lose(std::uint32_t map) {
    committed.erase(task_index(map));
    prefetch.sources(job, committed);
  }
  /// What an attempt of the reduce gets for a map: the block's id, 0 when it has to wait.
  std::uint64_t take(std::uint32_t map, std::uint32_t reduce, std::uint32_t attempt = 1) {
    std::uint64_t got = 0;
    const auto& s = committed.at(task_index(map));
    prefetch.fetch(s.where, {job, stage_index(0), task_index(map), attempt_number(attempt)}, task_index(reduce),
                   [&](result<std::vector<dataflow::block_ref>> blocks) { got = blocks->at(0).id.value; });
    return got;
  }
};

}  // namespace

TEST_CASE("Map outputs are fetched as they are committed, few at once, the first reduce's first; attempts take them") {
  prefetching p;
  for (std::uint32_t map = 0; map < 6; ++map) p.commit(map);
  CHECK(p.ports.fetches.size() == reduce_prefetch::fetches_outstanding_max);
  p.ports.answer_all();
  CHECK(p.prefetch.bytes_held() == 6 * 2 * 10);
  p.prefetch.attempt_begins(p.job, task_index(0));
  for (std::uint32_t map = 0; map < 6; ++map) CHECK(p.take(map, 0) == slow_fetches::block_of(map, 1, 0));
  CHECK(p.ports.fetches.empty());
  CHECK(p.prefetch.bytes_held() == 6 * 10);
  p.prefetch.attempt_over(p.job, task_index(0));
  CHECK(p.ports.discarded.empty());  // they are the attempt's
  CHECK(p.take(3, 0) == 0);          // a second attempt fetches for itself
  CHECK(p.ports.fetches.size() == 1);
}

TEST_CASE("What is held stays within the bound, nothing is fetched while memory is short, and it goes on afterwards") {
  prefetching p;
  p.prefetch.want(p.job, {task_index(0)});
  p.ports.bytes_max = 45;
  for (std::uint32_t map = 0; map < 20; ++map) p.commit(map);
  p.ports.answer_all();
  const auto held = p.prefetch.bytes_held();
  CHECK(held >= 45);
  CHECK(held <= 45 + 10 * reduce_prefetch::fetches_outstanding_max);  // by as much as was under way
  p.ports.bytes_max = 0;
  p.prefetch.attempt_begins(p.job, task_index(0));
  for (std::uint32_t map = 0; map < held / 10; ++map) CHECK(p.take(map, 0) == slow_fetches::block_of(map, 1, 0));
  CHECK(p.prefetch.bytes_held() == 0);
  p.prefetch.want(p.job, {task_index(0), task_index(1)});
  CHECK(p.ports.fetches.empty());
  p.ports.bytes_max = 1'000;
  p.prefetch.pump();
  p.ports.answer_all();
  CHECK(p.prefetch.bytes_held() == 20 * 10);  // of reduce 1; the attempt of reduce 0 cares for itself
}

TEST_CASE("An attempt that comes while its input is on its way waits for it") {
  prefetching p;
  p.commit(0);
  p.prefetch.attempt_begins(p.job, task_index(0));
  REQUIRE(p.ports.fetches.size() == 2);
  std::uint64_t got = 0;
  p.prefetch.fetch(member(2), {p.job, stage_index(0), task_index(0), attempt_number(1)}, task_index(0),
                   [&](result<std::vector<dataflow::block_ref>> blocks) { got = blocks->at(0).id.value; });
  CHECK(p.ports.fetches.size() == 2);
  p.ports.answer_all();
  CHECK(got == slow_fetches::block_of(0, 1, 0));
  CHECK(p.prefetch.bytes_held() == 10);
  CHECK(p.ports.discarded.empty());
}

TEST_CASE("A map that is lost and done again: equal digests keep what was fetched, others give it back") {
  prefetching p;
  p.prefetch.want(p.job, {task_index(0)});
  p.commit(0);
  SECTION("fetched before") {
    p.ports.answer_all();
    p.lose(0);
    SECTION("the same again") {
      p.commit(0, 3, 2);
      CHECK(p.ports.fetches.empty());
      CHECK(p.take(0, 0, 2) == slow_fetches::block_of(0, 1, 0));
    }
    SECTION("something else") {
      p.commit(0, 3, 2, 8);
      CHECK(p.ports.discarded.count(slow_fetches::block_of(0, 1, 0)) == 1);
      p.ports.answer_all();
      CHECK(p.take(0, 0, 2) == slow_fetches::block_of(0, 2, 0));
    }
    SECTION("the same, here") {
      p.commit(0, 1, 2);  // the attempt reads its own node's: what was received is of no use
      CHECK(p.ports.discarded.count(slow_fetches::block_of(0, 1, 0)) == 1);
      CHECK(p.ports.fetches.empty());
      CHECK(p.prefetch.bytes_held() == 0);
    }
    SECTION("an attempt that reads the lost one's output does not get it as the new one's") {
      p.commit(0, 3, 2);
      CHECK(p.take(0, 0, 1) == 0);
      CHECK(p.ports.fetches.size() == 1);
    }
  }
  SECTION("on its way when its node dies") {
    p.lose(0);
    p.commit(0, 3, 2);
    p.ports.refuse_next();
    REQUIRE(p.ports.fetches.size() == 1);
    CHECK(p.ports.fetches[0].from == member(3));
    p.ports.answer_all();
    CHECK(p.take(0, 0, 2) == slow_fetches::block_of(0, 2, 0));
  }
  SECTION("on its way, and an attempt waits for it") {
    p.lose(0);
    p.commit(0, 3, 2);
    std::uint64_t got = 0;
    p.prefetch.attempt_begins(p.job, task_index(0));
    p.prefetch.fetch(member(3), {p.job, stage_index(0), task_index(0), attempt_number(2)}, task_index(0),
                     [&](result<std::vector<dataflow::block_ref>> blocks) { got = blocks->at(0).id.value; });
    p.ports.refuse_next();
    p.ports.answer_all();
    CHECK(got == slow_fetches::block_of(0, 2, 0));
  }
}

TEST_CASE("A reduce that moves, is over or whose job ends leaves nothing held") {
  prefetching p;
  p.commit(0);
  p.commit(1);
  SECTION("it moves") {
    p.ports.answer_all();
    p.prefetch.want(p.job, {task_index(1)});
    CHECK(p.ports.discarded.size() == 2);
    CHECK(p.prefetch.bytes_held() == 20);
  }
  SECTION("it moves while blocks are on their way") {
    p.prefetch.want(p.job, {});
    p.ports.answer_all();
    CHECK(p.ports.discarded.size() == 4);
    CHECK(p.prefetch.bytes_held() == 0);
  }
  SECTION("its attempt is stopped before it took anything") {
    p.ports.answer_all();
    p.prefetch.attempt_begins(p.job, task_index(0));
    p.prefetch.attempt_over(p.job, task_index(0));
    CHECK(p.ports.discarded.size() == 2);
  }
  SECTION("the job ends") {
    p.ports.answer_next();
    p.prefetch.release(p.job);
    CHECK(p.prefetch.bytes_held() == 0);
    p.ports.answer_all();
    CHECK(p.ports.discarded.size() == 3);  // that were on their way; the store frees the others with the job
    CHECK_FALSE(p.prefetch.wants(p.job));
  }
}

TEST_CASE("A fetch that fails is left to the attempt, which hears why") {
  prefetching p;
  p.prefetch.want(p.job, {task_index(0)});
  p.commit(0);
  p.ports.refuse_next();
  CHECK(p.ports.fetches.empty());
  p.prefetch.attempt_begins(p.job, task_index(0));
  bool refused = false;
  p.prefetch.fetch(member(2), {p.job, stage_index(0), task_index(0), attempt_number(1)}, task_index(0),
                   [&](const result<std::vector<dataflow::block_ref>>& blocks) { refused = !blocks; });
  p.ports.refuse_next();
  CHECK(refused);
}

TEST_CASE("While a map still runs the reduces' nodes fetch what the others gave, once") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0 && k.task.value == 11; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  constexpr std::uint64_t maps = 2 * fake_cluster::segments;
  REQUIRE(cluster.metadata.wait_for(
      [&](const metadata::state& s) { return s.find_job(made->job)->stages[0].committed.size() == maps - 1; }));
  const auto job = cluster.metadata.read([&](const metadata::state& s) { return *s.find_job(made->job); });
  // Every node with a home fetches every map that is elsewhere: each reduce is at home at one of three nodes.
  std::map<member_id, std::uint64_t> maps_at;
  for (const auto& [task, commit] : job.stages[0].committed) ++maps_at[commit.where];
  std::uint64_t expected = 0;
  for (std::uint32_t r = 0; r < job.plan.partitions; ++r)
    expected += maps - 1 - maps_at[cluster.nodes[r % cluster.nodes.size()].id];
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.fetched.size() >= expected; }));
  cluster.world.release_held();
  REQUIRE(cluster.wait_end(made->job).state == metadata::job_state::succeeded);
  std::lock_guard lock(cluster.world.mutex);
  for (const auto& [what, times] : cluster.world.fetched) CHECK(times == 1);
}

TEST_CASE("A node that dies while maps run takes its reduces' homes along, and the job ends right") {
  fake_cluster cluster(3);
  cluster.world.held = [](const dataflow::attempt_key& k) { return k.stage.value == 0 && k.task.value == 11; };
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.world.wait_for([&] { return cluster.world.fetched.size() >= 2; }));
  auto& supervisor = cluster.supervisor_of(made->job);
  // Reduces are at home at the first nodes: one of those dies, unless it supervises.
  auto& victim = supervisor.id == cluster.nodes[0].id ? cluster.nodes[1] : cluster.nodes[0];
  cluster.kill(victim);
  cluster.world.release_held();
  const auto job = cluster.wait_end(made->job);
  INFO((job.error ? job.error->message : std::string()));
  REQUIRE(job.state == metadata::job_state::succeeded);
  CHECK(job.attempts == job.tasks_done + job.lost_attempts);
}

TEST_CASE("Data with fewer copies than were asked for is told of") {
  fake_cluster cluster(1, 2, 2);  // the corpus asked for two copies and got one
  const auto is_it = [](const telemetry::event& e) {
    return e.kind == "copies_missing" &&
           e.text.find("dataset counts has fewer copies than the 2 that were asked for") == 0;
  };
  std::promise<void> heard;
  auto told = heard.get_future();
  std::atomic<bool> once{false};
  const auto end_observation = cluster.nodes[0].journal->observe([&](const telemetry::event& e) {
    if (is_it(e) && !once.exchange(true)) heard.set_value();
  });
  const auto made = cluster.submit("count", "counts");
  REQUIRE(made);
  REQUIRE(cluster.wait_end(made->job).state == metadata::job_state::succeeded);
  CHECK(told.wait_for(10s) == std::future_status::ready);
  end_observation();
}
