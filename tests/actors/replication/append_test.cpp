#include "log_cluster.hpp"

namespace log_test {

TEST_CASE("what is appended at any node is read at every node, in order", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 2);
  int sent = 0;
  for (int i = 0; i < 12; ++i) {
    auto done = cluster.append(i % 3, "clicks", log_cluster::numbered(sent, 10));
    REQUIRE_OK(done);
    REQUIRE(done->durable.size() == 1);
    CHECK_FALSE(done->rest);
    CHECK(done->durable[0].first_offset.value == static_cast<std::uint64_t>(sent));
    CHECK(done->durable[0].count == 10);
    sent += 10;
  }
  for (int node = 0; node < 3; ++node) {
    const auto all = cluster.read_all(node, "clicks", 0, 120);
    REQUIRE(all.size() == 120);
    for (int i = 0; i < 120; ++i) CHECK(all[static_cast<std::size_t>(i)] == "record " + std::to_string(i));
  }
  auto ends = cluster.ask<std::vector<logs::offset_range>>(
      [&](auto then) { cluster.log(2).end_offsets("clicks", std::move(then)); });
  REQUIRE_OK(ends);
  REQUIRE(ends->size() == 1);
  CHECK(ends->at(0).begin.value == 0);
  CHECK(ends->at(0).end.value == 120);
  auto status = cluster.ask<logs::dataset_status>([&](auto then) { cluster.log(0).status("clicks", std::move(then)); });
  REQUIRE_OK(status);
  CHECK(status->notes.empty());
  CHECK(status->partitions.at(0).replicas.size() == 2);
  CHECK(status->partitions.at(0).end.value == 120);
}

TEST_CASE("a producer's sequence that comes again is known, also at another node and after a change of leader",
          "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 1, 2);
  const auto producer = uuid::random();
  REQUIRE_OK(cluster.append(0, "clicks", "one\n", producer, 1));
  REQUIRE_OK(cluster.append(0, "clicks", "two\n", producer, 2));
  auto again = cluster.append(1, "clicks", "two\n", producer, 2);
  REQUIRE_OK(again);
  CHECK(again->durable.at(0).duplicate);
  CHECK(again->durable.at(0).first_offset.value == 1);
  auto late = cluster.append(1, "clicks", "one\n", producer, 1);
  REQUIRE_FALSE(late);
  CHECK(late.error().code() == errc::aborted);

  const auto leader = cluster.leader_of("clicks");
  REQUIRE(leader >= 0);
  cluster.kill(leader);
  auto after = cluster.append((leader + 1) % 3, "clicks", "two\n", producer, 2);
  REQUIRE_OK(after);
  CHECK(after->durable.at(0).duplicate);
  REQUIRE_OK(cluster.append((leader + 1) % 3, "clicks", "three\n", producer, 3));
  CHECK(cluster.read_all((leader + 2) % 3, "clicks", 0, 3) == std::vector<std::string>{"one", "two", "three"});
}

TEST_CASE("records are spread over partitions in runs, and a retry goes the same way", "[log]") {
  log_cluster cluster(2);
  cluster.create("clicks", 4, 2);
  const auto producer = uuid::random();
  const auto lines = log_cluster::numbered(0, 1024);
  auto done = cluster.append(0, "clicks", lines, producer, 1);
  REQUIRE_OK(done);
  CHECK(done->durable.size() == 4);
  auto again = cluster.append(1, "clicks", lines, producer, 1);
  REQUIRE_OK(again);
  REQUIRE(again->durable.size() == 4);
  std::uint64_t records = 0;
  for (std::uint32_t p = 0; p < 4; ++p) {
    CHECK(again->durable[p].duplicate);
    CHECK(again->durable[p].first_offset == done->durable[p].first_offset);
    records += cluster.read_all(1, "clicks", p, done->durable[p].count).size();
  }
  CHECK(records == 1024);
}

TEST_CASE("a reader that waits at the end wakes with the append", "[log]") {
  log_cluster cluster(2);
  cluster.create("clicks", 1, 2);
  REQUIRE_OK(cluster.append(0, "clicks", "first\n"));
  auto promise = std::make_shared<std::promise<result<logs::read_outcome>>>();
  auto future = promise->get_future();
  logs::read_request request;
  request.dataset = "clicks";
  request.from = record_offset{1};
  request.wait = 30s;
  cluster.log(1).read(request, [promise](auto r) { promise->set_value(std::move(r)); });
  CHECK(future.wait_for(100ms) == std::future_status::timeout);
  REQUIRE_OK(cluster.append(0, "clicks", "second\n"));
  REQUIRE(future.wait_for(5s) == std::future_status::ready);
  auto got = future.get();
  REQUIRE_OK(got);
  REQUIRE(got->records.size() == 1);
  CHECK(got->records[0].record == "second");
  CHECK(got->records[0].appended_at_unix_ms > 0);
}

TEST_CASE("with fewer live members than min_copies an append is refused with the reason", "[log]") {
  log_cluster cluster(2);
  cluster.create("clicks", 1, 2, 2);
  REQUIRE_OK(cluster.append(0, "clicks", "first\n"));
  cluster.kill(1);
  cluster.declare_dead(1);
  auto refused = cluster.append(0, "clicks", "second\n", uuid(), 0, 3s);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().message().find("2 copies") != std::string::npos);
  CHECK(cluster.read_all(0, "clicks", 0, 1) == std::vector<std::string>{"first"});
}

TEST_CASE("what can't be appended or read is refused with a sentence", "[log]") {
  log_cluster cluster(1);
  cluster.create("clicks", 1, 1);
  auto nobody = cluster.append(0, "visits", "x\n");
  REQUIRE_FALSE(nobody);
  CHECK(nobody.error().code() == errc::not_found);
  auto torn = cluster.append(0, "clicks", "no line break");
  REQUIRE_FALSE(torn);
  CHECK(torn.error().code() == errc::invalid_argument);
  auto large = cluster.append(0, "clicks", std::string(2 << 20, 'x') + "\n");
  REQUIRE_FALSE(large);
  CHECK(large.error().code() == errc::invalid_argument);
  auto beyond = cluster.read(0, "clicks", 3, 0);
  REQUIRE_FALSE(beyond);
  CHECK(beyond.error().code() == errc::not_found);
  auto empty = cluster.read(0, "clicks", 0, 0);
  REQUIRE_OK(empty);
  CHECK(empty->records.empty());
}

TEST_CASE("many producers at once: every acknowledged record is there once, and each producer's in order", "[log]") {
  log_cluster cluster(3);
  cluster.create("clicks", 2, 3, 2);
  constexpr int producers = 8, appends = 25;
  std::vector<std::thread> threads;
  std::atomic<int> failed{0};
  for (int p = 0; p < producers; ++p)
    threads.emplace_back([&, p] {
      const auto id = uuid::random();
      for (int i = 1; i <= appends; ++i) {
        const auto line = std::to_string(p) + " " + std::to_string(i) + "\n";
        auto done = cluster.append(p % 3, "clicks", line, id, static_cast<std::uint64_t>(i), 30s);
        if (!done || done->rest) ++failed;
      }
    });
  for (auto& t : threads) t.join();
  CHECK(failed == 0);
  auto ends = cluster.ask<std::vector<logs::offset_range>>(
      [&](auto then) { cluster.log(0).end_offsets("clicks", std::move(then)); });
  REQUIRE_OK(ends);
  std::set<std::string> seen;
  std::size_t total = 0;
  for (std::uint32_t partition = 0; partition < 2; ++partition) {
    std::map<std::string, int> last;
    for (const auto& line : cluster.read_all(1, "clicks", partition, ends->at(partition).end.value)) {
      const auto space = line.find(' ');
      const auto who = line.substr(0, space);
      const auto number = std::stoi(line.substr(space + 1));
      CHECK(number > last[who]);
      last[who] = number;
      seen.insert(line);
      ++total;
    }
  }
  CHECK(total == producers * appends);
  CHECK(seen.size() == producers * appends);
}

}  // namespace log_test
