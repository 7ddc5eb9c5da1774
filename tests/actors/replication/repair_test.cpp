#include <algorithm>

#include "log_cluster.hpp"

namespace log_test {

namespace {
logs::log_plane_options quick() {
  logs::log_plane_options options;
  options.segment_bytes = 64 << 10;
  options.repair_interval = 50ms;
  options.housekeeping_interval = 100ms;
  return options;
}

void fill(log_cluster& cluster, int batches) {
  for (int i = 0; i < batches; ++i)
    REQUIRE_OK(cluster.append(0, "clicks", log_cluster::numbered(i * 500, 500), uuid(), 0, 20s));
}

std::size_t fewest_copies(log_cluster& cluster, const std::string& name, member_id without = {}) {
  std::size_t fewest = 99;
  for (const auto& p : cluster.dataset(name).partitions)
    for (const auto& g : p.segments)
      fewest = std::min(fewest, static_cast<std::size_t>(std::count_if(g.holders.begin(), g.holders.end(),
                                                                       [&](member_id h) { return h != without; })));
  return fewest;
}
}  // namespace

TEST_CASE("copies of a lost member are made again from the others, of logs and of imports", "[log]") {
  log_cluster cluster(3, quick());
  cluster.create("clicks", 1, 2);
  fill(cluster, 30);
  data::import_options import;
  import.dataset = "corpus";
  import.copies = 2;
  REQUIRE_OK(cluster.import(0, import, data_test::some_lines(5000)));
  // Some member other than node 0 that holds sealed segments.
  int lost = -1;
  for (const auto& g : cluster.partition_of("clicks").segments)
    for (const auto h : g.holders)
      if (cluster.index_of(h) != 0) lost = cluster.index_of(h);
  REQUIRE(lost > 0);
  const auto gone = cluster[lost].id;
  cluster.kill(lost);
  cluster.declare_dead(lost);
  CHECK(data_cluster::eventually(
      [&] { return fewest_copies(cluster, "clicks", gone) >= 2 && fewest_copies(cluster, "corpus", gone) >= 2; }));
  auto report =
      cluster.ask<logs::verify_report>([&](auto then) { cluster.log(0).verify("corpus", 20s, std::move(then)); });
  REQUIRE_OK(report);
  CHECK(report->copies_bad == 0);
  CHECK(report->copies_intact >= 2);
}

TEST_CASE("verify finds a flipped bit, and the copy is made anew", "[log]") {
  log_cluster cluster(2, quick());
  cluster.create("clicks", 1, 2);
  fill(cluster, 30);
  const auto segments = cluster.partition_of("clicks").segments;
  REQUIRE(!segments.empty());
  data_test::flip_bit(cluster[1].segment_path(segments[0].id));
  auto report =
      cluster.ask<logs::verify_report>([&](auto then) { cluster.log(0).verify("clicks", 20s, std::move(then)); });
  REQUIRE_OK(report);
  CHECK(report->copies_bad == 1);
  REQUIRE(!report->wrong.empty());
  const auto& copies = report->wrong[0].copies;
  CHECK(std::any_of(copies.begin(), copies.end(), [&](const auto& c) {
    return c.member == cluster[1].id && c.state == logs::copy_state::damaged && !c.why.empty();
  }));
  CHECK(report->wrong[0].repairing);
  REQUIRE(data_cluster::eventually([&] { return fewest_copies(cluster, "clicks") == 2; }));
  auto again =
      cluster.ask<logs::verify_report>([&](auto then) { cluster.log(1).verify("clicks", 20s, std::move(then)); });
  REQUIRE_OK(again);
  CHECK(again->copies_bad == 0);
}

TEST_CASE("with the only counted copy damaged, a file that was left unsealed elsewhere makes the dataset whole again",
          "[log]") {
  log_cluster cluster(3, quick());
  cluster.create("clicks", 1, 2);
  fill(cluster, 30);
  const auto segments = cluster.partition_of("clicks").segments;
  REQUIRE(!segments.empty());
  const auto& g = segments[0];
  REQUIRE(g.holders.size() == 2);
  const int counted = cluster.index_of(g.holders[0]), left = cluster.index_of(g.holders[1]);
  // As the file of a member that left before the segment was sealed: no footer, room that was reserved behind it.
  const auto path = cluster[left].segment_path(g.id);
  std::filesystem::resize_file(path, format::segment_header_bytes + g.file_bytes);
  std::filesystem::resize_file(path, 1 << 20);
  data_test::flip_bit(cluster[counted].segment_path(g.id));
  REQUIRE_OK(cluster.metadata.propose_and_wait(
      metadata::report_damage{cluster.dataset("clicks").id, g.id, g.holders[1], g.made(g.holders[1])}));
  const auto holds = [&](int node) {
    const auto all = cluster.partition_of("clicks").segments[0].holders;
    return std::find(all.begin(), all.end(), cluster[node].id) != all.end();
  };
  REQUIRE(data_cluster::eventually([&] { return holds(left); }));
  const auto adopted = cluster[left].segments.open(g.id);
  REQUIRE_OK(adopted);
  CHECK(adopted->summary().digest == g.digest);
  REQUIRE_OK(adopted->verify());
  CHECK(data_cluster::eventually([&] {
    auto report =
        cluster.ask<logs::verify_report>([&](auto then) { cluster.log(0).verify("clicks", 20s, std::move(then)); });
    return report && report->copies_bad == 0 && report->copies_missing_yet == 0 && report->segments_lost == 0;
  }));
  const auto read = cluster.read_all((counted + 1) % 3, "clicks", 0, 15'000);
  CHECK(read.size() == 15'000);
}

TEST_CASE("a member that drains gives up its partitions and its copies", "[log]") {
  log_cluster cluster(3, quick());
  cluster.create("clicks", 2, 2);
  fill(cluster, 30);
  const auto leader = cluster.leader_of("clicks");
  REQUIRE(leader >= 0);
  const auto id = cluster[leader].id;
  metadata::drain_member drain;
  drain.id = id;
  REQUIRE_OK(cluster.metadata.propose_and_wait(drain));
  CHECK(data_cluster::eventually([&] {
    return cluster[0].service->read([&](const metadata::state& s) { return logs::log_plane::draining(s, id).done(); });
  }));
  CHECK(fewest_copies(cluster, "clicks") == 2);
  REQUIRE_OK(cluster.append((leader + 1) % 3, "clicks", "one more\n", uuid(), 0, 20s));
}

TEST_CASE("retention gives up the oldest segments, and says where the partition begins", "[log]") {
  log_cluster cluster(1, quick());
  metadata::create_dataset command;
  command.name = "clicks";
  command.copies = 1;
  command.log.min_copies = 1;
  command.log.keep_bytes = 128 << 10;
  REQUIRE_OK(cluster.metadata.propose_and_wait(command));
  fill(cluster, 60);
  REQUIRE(data_cluster::eventually([&] { return cluster.partition_of("clicks").log.trimmed_records > 0; }));
  const auto begin = cluster.partition_of("clicks").log.trimmed_records;
  auto early = cluster.read(0, "clicks", 0, 0);
  REQUIRE_FALSE(early);
  CHECK(early.error().code() == errc::failed_precondition);
  auto rest = cluster.read(0, "clicks", 0, begin);
  REQUIRE_OK(rest);
  REQUIRE(!rest->records.empty());
  CHECK(rest->records[0].record == "record " + std::to_string(begin));
}

}  // namespace log_test
