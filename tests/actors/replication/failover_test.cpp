#include "log_cluster.hpp"

namespace log_test {

namespace {
/// Appends one numbered line after the other with a producer of its own until told to stop; goes on after errors with
/// the same sequence.
struct steady_producer {
  steady_producer(log_cluster& c, std::function<int()> node)
      : cluster(c), where(std::move(node)), thread([this] { run(); }) {}
  ~steady_producer() { stop(); }
  void stop() {
    done = true;
    if (thread.joinable()) thread.join();
  }
  void run() {
    const auto id = uuid::random();
    for (std::uint64_t i = 1; !done; ++i) {
      for (;;) {
        const auto begun = std::chrono::steady_clock::now();
        auto said = cluster.append(where(), "clicks", "line " + std::to_string(i) + "\n", id, i, 20s);
        const auto took =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
        longest_ms = std::max(longest_ms.load(), static_cast<int>(took.count()));
        if (said && !said->rest) break;
        if (done) return;
      }
      acknowledged = i;
    }
  }
  log_cluster& cluster;
  std::function<int()> where;
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> acknowledged{0};
  std::atomic<int> longest_ms{0};
  std::thread thread;
};

void check_lines(log_cluster& cluster, int node, std::uint64_t acknowledged) {
  const auto all = cluster.read_all(node, "clicks", 0, acknowledged);
  REQUIRE(all.size() >= acknowledged);
  for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(all[i] == "line " + std::to_string(i + 1));
}
}  // namespace

TEST_CASE("a leader that is killed is followed by another, and nothing acknowledged is lost", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 2);
  REQUIRE_OK(cluster.append(0, "clicks", "line 0\n"));
  // The first line is there to have a leader; the producer's follow it.
  const auto leader = cluster.leader_of("clicks");
  REQUIRE(leader >= 0);
  const auto other = (leader + 1) % 3;
  std::uint64_t before = 0;
  {
    steady_producer producer(cluster, [&] { return other; });
    REQUIRE(data_cluster::eventually([&] { return producer.acknowledged > 20; }));
    before = producer.acknowledged;
    cluster.kill(leader);
    REQUIRE(data_cluster::eventually([&] { return producer.acknowledged > before + 20; }));
    producer.stop();
    before = producer.acknowledged;
    WARN("longest append over the kill of a leader: " << producer.longest_ms << " ms");
  }
  CHECK(cluster.leader_of("clicks") != leader);
  for (const auto node : {(leader + 1) % 3, (leader + 2) % 3}) {
    const auto all = cluster.read_all(node, "clicks", 0, before + 1);
    REQUIRE(all.size() >= before + 1);
    for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(all[i] == "line " + std::to_string(i));
  }
}

TEST_CASE("a follower that is killed is left behind: the segment ends and the next one opens", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 2);
  REQUIRE_OK(cluster.append(0, "clicks", "line 0\n"));
  // The first line is there to have a leader; the producer's go by way of it, because that node stays.
  const auto leader = cluster.leader_of("clicks");
  REQUIRE(leader >= 0);
  steady_producer producer(cluster, [&] { return leader; });
  REQUIRE(data_cluster::eventually([&] { return producer.acknowledged > 10; }));
  const auto first = cluster.partition_of("clicks").log.open;
  REQUIRE(first);
  int follower = -1;
  for (const auto& r : first->replicas)
    if (cluster.index_of(r.member) != leader) follower = cluster.index_of(r.member);
  REQUIRE(follower >= 0);
  const auto before = producer.acknowledged.load();
  cluster.kill(follower);
  REQUIRE(data_cluster::eventually([&] { return producer.acknowledged > before + 20; }));
  producer.stop();
  WARN("longest append over the kill of a follower: " << producer.longest_ms << " ms");
  const auto now = cluster.partition_of("clicks").log.open;
  REQUIRE(now);
  CHECK(now->id != first->id);
  for (const auto& r : now->replicas) CHECK(cluster.index_of(r.member) != follower);
  const auto all = cluster.read_all(leader, "clicks", 0, producer.acknowledged + 1);
  REQUIRE(all.size() >= producer.acknowledged + 1);
  for (std::size_t n = 0; n < all.size(); ++n) REQUIRE(all[n] == "line " + std::to_string(n));
}

TEST_CASE("after a start of every log plane everything acknowledged is there, and appends go on", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 3, 2);
  for (int i = 1; i <= 40; ++i) REQUIRE_OK(cluster.append(i % 3, "clicks", "line " + std::to_string(i) + "\n"));
  for (int i = 0; i < 3; ++i) cluster.restart(i);
  for (int node = 0; node < 3; ++node) check_lines(cluster, node, 40);
  for (int i = 41; i <= 50; ++i) REQUIRE_OK(cluster.append(i % 3, "clicks", "line " + std::to_string(i) + "\n"));
  check_lines(cluster, 1, 50);
}

TEST_CASE("a member without a lease acknowledges nothing, and goes on when it has one again", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 2);
  const auto producer = uuid::random();
  REQUIRE_OK(cluster.append(0, "clicks", "line 1\n", producer, 1));
  const auto leader = cluster.leader_of("clicks");
  REQUIRE(leader >= 0);
  const auto other = (leader + 1) % 3;
  // As after a pause of the process: the clock says so before anybody has told.
  cluster.set_lease(leader, false);
  for (const auto node : {leader, other}) {
    const auto said = cluster.append(node, "clicks", "line 2\n", producer, 2, 400ms);
    REQUIRE_FALSE(said.has_value());
    CHECK(said.error().message().find("lease") != std::string::npos);
  }
  cluster.log(leader).lease_changed("its lease has run out");
  CHECK_FALSE(cluster.append(other, "clicks", "line 2\n", producer, 2, 400ms).has_value());
  cluster.set_lease(leader, true);
  cluster.log(leader).lease_changed("");
  REQUIRE_OK(cluster.append(other, "clicks", "line 2\n", producer, 2));
  CHECK(cluster.leader_of("clicks") == leader);
  check_lines(cluster, leader, 2);
}

TEST_CASE("the partitions of a member that lost its lease and is given up are led by others", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 2);
  const auto producer = uuid::random();
  REQUIRE_OK(cluster.append(0, "clicks", "line 1\n", producer, 1));
  const auto leader = cluster.leader_of("clicks");
  REQUIRE(leader >= 0);
  cluster.set_lease(leader, false);
  cluster.log(leader).lease_changed("its lease has run out");
  cluster.declare_dead(leader);
  const auto other = (leader + 1) % 3;
  for (std::uint64_t i = 2; i <= 5; ++i)
    REQUIRE_OK(cluster.append(other, "clicks", "line " + std::to_string(i) + "\n", producer, i));
  CHECK(cluster.leader_of("clicks") != leader);
  check_lines(cluster, other, 5);
}

TEST_CASE("segments are sealed at their size, and read across", "[log]") {
  logs::log_plane_options options;
  options.segment_bytes = 64 << 10;
  log_cluster cluster(2, options);
  cluster.create("clicks", 1, 2);
  int sent = 0;
  for (int i = 0; i < 60; ++i, sent += 500)
    REQUIRE_OK(cluster.append(i % 2, "clicks", log_cluster::numbered(sent, 500)));
  CHECK(cluster.partition_of("clicks").segments.size() >= 4);
  for (int node = 0; node < 2; ++node) {
    const auto all = cluster.read_all(node, "clicks", 0, static_cast<std::size_t>(sent));
    REQUIRE(all.size() == static_cast<std::size_t>(sent));
    for (std::size_t i = 0; i < all.size(); ++i) REQUIRE(all[i] == "record " + std::to_string(i));
  }
}

TEST_CASE("a full disk takes a member out of the replicas, and appends go on elsewhere", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 2);
  REQUIRE_OK(cluster.append(0, "clicks", "line 1\n"));
  const auto open = cluster.partition_of("clicks").log.open;
  REQUIRE(open);
  const auto leader = cluster.leader_of("clicks");
  int follower = -1;
  for (const auto& r : open->replicas)
    if (cluster.index_of(r.member) != leader) follower = cluster.index_of(r.member);
  REQUIRE(follower >= 0);
  cluster[follower].disk.bytes_left = 0;
  for (int i = 2; i <= 10; ++i)
    REQUIRE_OK(cluster.append(leader, "clicks", "line " + std::to_string(i) + "\n", uuid(), 0, 20s));
  check_lines(cluster, leader, 10);
  const auto after = cluster.partition_of("clicks").log.open;
  REQUIRE(after);
  for (const auto& r : after->replicas) CHECK(cluster.index_of(r.member) != follower);
  cluster[follower].disk.bytes_left = std::numeric_limits<std::int64_t>::max();
}

}  // namespace log_test
