#include <algorithm>
#include <iostream>

#include "test_node.hpp"

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;

TEST_CASE("nodes join, get names, and all have the same state", "[metadata_service]") {
  test_cluster c;
  auto& first = c.start_first();
  const auto begun = first.join();
  REQUIRE_OK(begun);
  CHECK(begun->name == "node1");
  CHECK(begun->leader == c.first_seat.member);
  seat a;
  seat b;
  auto one = c.start(a);
  const auto joined_one = one->join();
  REQUIRE_OK(joined_one);
  CHECK(joined_one->name == "node2");
  CHECK(joined_one->cluster == c.id);  // it did not know
  auto two = c.start(b, "third");
  const auto joined_two = two->join();
  REQUIRE_OK(joined_two);
  CHECK(joined_two->name == "third");

  const auto loaded = one->propose(module(1));
  REQUIRE_OK(loaded);
  CHECK(one->node().read([](const auto& s) { return s.modules().size(); }) == 1);  // applied here before the answer
  REQUIRE_OK(two->barrier());
  CHECK(two->node().read([](const auto& s) { return s.modules().size(); }) == 1);  // a linearizable read
  REQUIRE_OK(first.barrier());
  REQUIRE_OK(one->barrier());
  CHECK(first.image() == one->image());
  CHECK(two->image() == one->image());
  CHECK(!one->node().leader().is_nil());
  CHECK(one->node().status().connected);
  CHECK(wait_for_voters(first, 3));
  CHECK(wait_for_voters(*two, 3));
}

TEST_CASE("a node that only knows a follower is sent to the leader", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  seat b;
  auto one = c.start(a);
  REQUIRE_OK(one->join());
  test_node::settings s;
  s.seeds = {a.address()};
  test_node two(b, s);
  const auto joined = two.join();
  REQUIRE_OK(joined);
  CHECK(joined->leader == c.first_seat.member);
}

TEST_CASE("a refused command is an answer, on every node alike", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
  REQUIRE_OK(one->join());
  CHECK(one->propose(metadata::delete_dataset{"missing"}).error().code() == errc::not_found);
  CHECK(c.first->propose(metadata::delete_dataset{"missing"}).error().code() == errc::not_found);
  auto huge = module(1);
  huge.module.jobs.front().name = std::string((1 << 20) + 1, 'x');
  CHECK(one->propose(huge).error().code() == errc::resource_exhausted);
}

TEST_CASE("the same request twice has one effect, wherever it comes from", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  seat b;
  auto one = c.start(a);
  auto two = c.start(b);
  REQUIRE_OK(one->join());
  REQUIRE_OK(two->join());
  std::atomic<int> begun{0};
  const auto end = c.first->node().observe([&](log_index, const metadata::command& what, const auto&, const auto&) {
    if (std::holds_alternative<metadata::begin_import>(what)) ++begun;
  });
  const auto id = request_id::random();
  metadata::begin_import import;
  import.name = "x";
  import.importer = a.member;
  const auto first = one->propose(import, id);
  REQUIRE_OK(first);
  CHECK(one->propose(import, id) == first);
  CHECK(two->propose(import, id) == first);
  CHECK(c.first->propose(import, id) == first);
  end();
  CHECK(begun == 1);
}

TEST_CASE("observers see every command in order, on every node", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
  REQUIRE_OK(one->join());
  std::vector<std::uint64_t> seen;
  const auto start = one->node().status().applied.value;
  const auto end = one->node().observe([&](log_index i, const auto&, const auto&, const metadata::state& s) {
    if (s.applied() == i) seen.push_back(i.value);
  });
  std::vector<std::future<result<metadata::response>>> answers;
  for (int i = 0; i < 500; ++i) {
    auto promise = std::make_shared<std::promise<result<metadata::response>>>();
    answers.push_back(promise->get_future());
    auto& from = i % 2 == 0 ? *one : *c.first;
    from.node().propose(module(i % 100), {}, 10'000, [promise](auto r) { promise->set_value(std::move(r)); });
  }
  for (auto& f : answers) REQUIRE_OK(f.get());
  REQUIRE_OK(one->barrier());
  end();
  REQUIRE(seen.size() == 500);
  for (std::size_t i = 0; i < seen.size(); ++i)
    REQUIRE(seen[i] > (i == 0 ? start : seen[i - 1]));  // entries of consensus lie between
  CHECK(one->image() == c.first->image());
}

TEST_CASE("without a leader a request ends at its deadline", "[metadata_service]") {
  test_cluster c;
  c.first_seat.port = 1;  // nobody listens there
  seat a;
  auto one = c.start(a);
  const auto begun = std::chrono::steady_clock::now();
  CHECK(one->propose(metadata::noop{}, {}, 200).error().code() == errc::unavailable);
  CHECK(one->barrier(200).error().code() == errc::unavailable);
  CHECK(std::chrono::steady_clock::now() - begun >= 400ms);
  one->kill();
  CHECK(one->join().error().code() == errc::cancelled);
  CHECK(one->propose(metadata::noop{}).error().code() == errc::cancelled);
}

TEST_CASE("time of a command", "[.benchmark]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
  REQUIRE_OK(one->join());
  for (auto* from : {one.get(), c.first.get()}) {
    std::vector<double> times;
    for (int i = 0; i < 2'000; ++i) {
      const auto begun = std::chrono::steady_clock::now();
      REQUIRE_OK(from->propose(metadata::noop{}));
      times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun).count());
    }
    std::sort(times.begin(), times.end());
    std::cout << (from == one.get() ? "follower" : "leader") << ": p50 " << times[times.size() / 2] << " ms, p99 "
              << times[times.size() * 99 / 100] << " ms\n";
  }
  for (const int inflight : {1, 8, 64, 512}) {
    std::atomic<int> left{10'000};
    std::promise<void> done;
    const auto begun = std::chrono::steady_clock::now();
    std::function<void()> next = [&] {
      one->node().propose(metadata::noop{}, {}, 10'000, [&](const auto&) {
        const auto now = --left;
        if (now >= inflight) next();
        if (now == 0) done.set_value();  // last: what it refers to goes with the loop
      });
    };
    for (int i = 0; i < inflight; ++i) next();
    done.get_future().wait();
    std::cout << inflight << " in flight: "
              << 10'000 / std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count()
              << " commands/s\n";
  }
}
