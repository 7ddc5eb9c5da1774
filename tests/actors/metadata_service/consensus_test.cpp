#include <algorithm>

#include "test_node.hpp"

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;
using metadata::member_state;

namespace {

/// Three members or more, each with a seat that outlives its node.
struct group {
  explicit group(std::size_t count, metadata_limits limits = {}) {
    cluster.limits = limits;
    seats.resize(count);
    nodes.resize(count);
    REQUIRE_OK(cluster.start_first().join());
    seats[0] = cluster.first_seat;
    nodes[0] = std::move(cluster.first);
    for (std::size_t i = 1; i < count; ++i) {
      nodes[i] = cluster.start(seats[i]);
      REQUIRE_OK(nodes[i]->join());
    }
    for (const auto& s : seats) cluster.seeds.push_back(s.address());
  }
  test_node& at(std::size_t i) { return *nodes[i]; }
  /// The index of the node that leads, as the others see it.
  std::size_t leader() {
    for (int tries = 0; tries < 200; ++tries) {
      for (std::size_t i = 0; i < nodes.size(); ++i)
        if (nodes[i] && nodes[i]->barrier(1'000) && nodes[i]->node().status().leads) return i;
    }
    FAIL("nobody leads");
    return 0;
  }
  void restart(std::size_t i) { nodes[i] = cluster.start(seats[i]); }
  void kill(std::size_t i) {
    nodes[i]->kill();
    nodes[i].reset();
  }
  std::string logs() {
    std::string all;
    for (std::size_t i = 0; i < nodes.size(); ++i)
      if (nodes[i]) all += "---- " + std::to_string(i + 1) + "\n" + nodes[i]->lines();
    return all;
  }

  test_cluster cluster;
  std::vector<seat> seats;
  std::vector<std::unique_ptr<test_node>> nodes;
};

}  // namespace

TEST_CASE("the voters are one, then three, then five", "[metadata_service]") {
  group g(2);
  CHECK(g.at(1).node().voters().size() == 1);
  g.seats.resize(6);
  g.nodes.resize(6);
  for (std::size_t i = 2; i < 6; ++i) {
    g.restart(i);
    REQUIRE_OK(g.nodes[i]->join());
    INFO(g.logs());
    CHECK(wait_for_voters(g.at(i), i < 4 ? 3 : 5));
  }
}

TEST_CASE("when the leader is killed another leads, and the dead one is found dead", "[metadata_service]") {
  group g(3);
  REQUIRE(wait_for_voters(g.at(0), 3));
  for (int round = 0; round < 4; ++round) {
    const auto dead = g.leader();
    const auto other = (dead + 1) % 3;
    const auto begun = std::chrono::steady_clock::now();
    g.kill(dead);
    const auto r = g.at(other).propose(module(round), {}, 10'000);
    const auto took = std::chrono::steady_clock::now() - begun;
    INFO(g.logs());
    REQUIRE_OK(r);
    CHECK(took < 3s);
    REQUIRE(g.at(other).wait_until(state_of(g.seats[dead].member, member_state::dead)));
    CHECK(g.at(other).member(g.seats[dead].member)->state_reason.find("process is gone") != std::string::npos);
    g.restart(dead);
    REQUIRE_OK(g.at(dead).join());
    CHECK(g.at(dead).node().read([](const auto& s) { return s.modules().size(); }) ==
          static_cast<std::size_t>(round) + 1);
    REQUIRE(g.at(other).wait_until(state_of(g.seats[dead].member, member_state::alive)));
    REQUIRE(wait_for_voters(g.at(dead), 3));
  }
}

TEST_CASE("requests under way when the leader dies have one effect each", "[metadata_service]") {
  group g(3);
  REQUIRE(wait_for_voters(g.at(0), 3));
  std::vector<std::future<result<metadata::response>>> answers;
  std::size_t n = 0;
  for (int round = 0; round < 3; ++round) {
    const auto dead = g.leader();
    const auto a = (dead + 1) % 3;
    const auto b = (dead + 2) % 3;
    const auto first = answers.size();
    for (int i = 0; i < 200; ++i) {
      metadata::begin_import import;
      import.name = "d" + std::to_string(n++);
      import.importer = g.seats[a].member;
      auto promise = std::make_shared<std::promise<result<metadata::response>>>();
      answers.push_back(promise->get_future());
      g.at(i % 2 == 0 ? a : b).node().propose(import, {}, 25'000, [promise](auto r) {
        promise->set_value(std::move(r));
      });
      if (i == 120) answers[first + 40].wait();  // some are done, some are not
      if (i == 130) g.kill(dead);
    }
    for (auto i = first; i < answers.size(); ++i) answers[i].wait();
    g.restart(dead);
    REQUIRE_OK(g.at(dead).join());
  }
  INFO(g.logs());
  std::set<dataset_id> made;
  std::size_t index = 0;
  for (auto& f : answers) {
    const auto r = f.get();
    if (!r) FAIL_CHECK(std::to_string(index) + ": " + r.error().message());
    if (r) CHECK(made.insert(r->dataset).second);
    ++index;
  }
}

TEST_CASE("without a majority commits wait and nobody is fenced; with it they go on", "[metadata_service]") {
  group g(3);
  REQUIRE(wait_for_voters(g.at(0), 3));
  const auto left = g.leader();
  auto fenced = g.at(left).fenced();
  const auto a = (left + 1) % 3;
  const auto b = (left + 2) % 3;
  g.kill(a);
  g.kill(b);
  const auto id = request_id::random();
  CHECK(g.at(left).propose(module(1), id, 1'500).error().code() == errc::unavailable);
  CHECK(fenced.wait_for(0s) == std::future_status::timeout);
  CHECK(g.at(left).node().leader().is_nil());
  g.restart(a);
  REQUIRE_OK(g.at(left).propose(module(1), id, 10'000));
  REQUIRE_OK(g.at(a).join());
  CHECK(fenced.wait_for(0s) == std::future_status::timeout);
}

TEST_CASE("a whole cluster starts again, in any order", "[metadata_service]") {
  metadata_limits limits;
  if (GENERATE(false, true)) limits.snapshot_entries = 30;
  group g(3, limits);
  REQUIRE(wait_for_voters(g.at(0), 3));
  for (int i = 0; i < 50; ++i) REQUIRE_OK(g.at(static_cast<std::size_t>(i) % 3).propose(module(i)));
  std::vector<std::size_t> order{0, 1, 2};
  do {
    for (std::size_t i = 0; i < 3; ++i) g.kill(i);
    for (const auto i : order) g.restart(i);
    INFO(g.logs());
    for (const auto i : order) REQUIRE_OK(g.at(i).join());
    CHECK(g.at(order[0]).node().read([](const auto& s) { return s.modules().size(); }) == 50);
  } while (std::next_permutation(order.begin(), order.end()));
  REQUIRE_OK(g.at(0).propose(module(99)));
}

TEST_CASE("a member that stays away loses its vote to another", "[metadata_service]") {
  metadata_limits limits;
  limits.gone_after = 300ms;
  group g(4, limits);
  REQUIRE(wait_for_voters(g.at(0), 3));
  const auto voters = g.at(0).node().voters();
  const auto leads = g.leader();
  std::size_t away = 0;
  while (away == leads || std::find(voters.begin(), voters.end(), g.seats[away].member) == voters.end()) ++away;
  g.kill(away);
  const auto still = [&] {
    const auto now = g.at(leads).node().voters();
    return now.size() != 3 || std::find(now.begin(), now.end(), g.seats[away].member) != now.end();
  };
  const auto until = std::chrono::steady_clock::now() + 15s;
  while (still() && std::chrono::steady_clock::now() < until) REQUIRE_OK(g.at(leads).barrier());
  INFO(g.logs());
  CHECK(!still());
  g.restart(away);  // it is still a member, and learns again
  REQUIRE_OK(g.at(away).join());
  CHECK(g.at(away).barrier());
}

TEST_CASE("a member whose log was put back to an earlier state is refused", "[metadata_service]") {
  group g(3);
  REQUIRE(wait_for_voters(g.at(0), 3));
  const auto leads = g.leader();
  const auto back = (leads + 1) % 3;
  REQUIRE_OK(g.at(back).propose(module(1)));
  g.kill(back);
  const auto folder = g.seats[back].directory->path();
  scratch kept;
  std::filesystem::copy(folder, kept.path(), std::filesystem::copy_options::recursive);
  g.restart(back);
  REQUIRE_OK(g.at(back).join());
  for (int i = 0; i < 20; ++i) REQUIRE_OK(g.at(back).propose(module(i)));
  REQUIRE_OK(g.at(leads).barrier());
  g.kill(back);
  std::filesystem::remove_all(folder);
  std::filesystem::copy(kept.path(), folder, std::filesystem::copy_options::recursive);
  g.restart(back);
  INFO(g.logs());
  CHECK(g.at(back).join().error().message().find("put back to an earlier state") != std::string::npos);
}

TEST_CASE("a member that was removed loses its vote, is told so, and may not come back", "[metadata_service]") {
  group g(4);
  REQUIRE(wait_for_voters(g.at(0), 3));
  const auto voters = g.at(0).node().voters();
  const auto leads = g.leader();
  std::size_t out = 0;
  while (out == leads || std::find(voters.begin(), voters.end(), g.seats[out].member) == voters.end()) ++out;
  auto fenced = g.at(out).fenced();
  REQUIRE_OK(g.at(leads).propose(
      metadata::set_member_state{g.seats[out].member, incarnation{1}, member_state::left, "stopped"}));
  REQUIRE_OK(g.at(leads).propose(metadata::remove_member{g.seats[out].member, true}));
  REQUIRE(fenced.wait_for(10s) == std::future_status::ready);
  const auto votes = [&] {
    const auto now = g.at(leads).node().voters();
    return now.size() != 3 || std::find(now.begin(), now.end(), g.seats[out].member) != now.end();
  };
  const auto until = std::chrono::steady_clock::now() + 15s;
  while (votes() && std::chrono::steady_clock::now() < until) REQUIRE_OK(g.at(leads).barrier());
  INFO(g.logs());
  CHECK(!votes());
  g.kill(out);
  g.restart(out);
  CHECK(g.at(out).join().error().message().find("was removed") != std::string::npos);
}
