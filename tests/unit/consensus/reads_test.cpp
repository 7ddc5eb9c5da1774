#include "cluster.hpp"

using namespace troupe;
using namespace troupe::consensus;

TEST_CASE("a read at any member sees what was committed before it") {
  for (const auto mode : {read_mode::read_index, read_mode::lease}) {
    options with;
    with.reads = mode;
    cluster three(voters({1, 2, 3}), with);
    const auto n = three.elect();
    three.run(100);
    REQUIRE_OK(three[n].propose(three.now(), "x"));
    three.run(4);
    for (const unsigned at : {1u, 2u, 3u}) {
      REQUIRE_OK(three[at].read(three.now(), read_id{at}));
      three.drain(at);
      three.run(60);
      CHECK(three.reads[at] == std::map<std::uint64_t, bool>{{at, true}});
      CHECK(three.state[at] == "x");
    }
  }
}

TEST_CASE("a leader that was cut off answers no read, and says so when it gives way") {
  cluster three(voters({1, 2, 3}));
  const auto n = three.elect();
  three.blocked = [&](unsigned a, unsigned b) { return a == n || b == n; };
  REQUIRE_OK(three[n].read(three.now(), read_id{7}));
  three.drain(n);
  three.run(50);
  CHECK(three.reads[n].empty());
  three.run(1000);
  CHECK(three.reads[n] == std::map<std::uint64_t, bool>{{7, false}});
  CHECK(three[n].read(three.now(), read_id{8}).error().code() == errc::unavailable);
}

TEST_CASE("a lease answers at once, and ends before any follower may elect another") {
  options with;
  with.reads = read_mode::lease;
  cluster three(voters({1, 2, 3}), with);
  const auto n = three.elect();
  three.run(100);
  three.blocked = [&](unsigned a, unsigned b) { return a == n || b == n; };
  three.run(20);
  REQUIRE_OK(three[n].read(three.now(), read_id{1}));
  three.drain(n);
  CHECK(three.reads[n][1]);
  for (int i = 0; i < 1000; ++i) {
    three.run(1);
    const auto id = read_id{static_cast<std::uint64_t>(100 + i)};
    const bool asked = three[n].read(three.now(), id).has_value();
    three.drain(n);
    const bool answered = asked && three.reads[n].contains(id.value) && three.reads[n][id.value];
    const auto leader = three.leader();
    if (answered) CHECK((leader == 0 || leader == n));
  }
  CHECK(three.leader() != n);
}

TEST_CASE("a new leader answers no read before an entry of its own term has committed") {
  lone one({{}, {{}, {}, voters({1}), {}}, {command_entry(1, 1, "before")}});
  one.r.tick(at_ms(0));
  one.take();
  one.written(1);
  REQUIRE(one.r.role() == role::leader);
  REQUIRE_OK(one.r.read(at_ms(2), read_id{1}));
  one.seen.clear();
  one.take();
  CHECK(one.all<effects::read_ready>().empty());
  one.written(3);
  CHECK(one.all<effects::read_ready>().size() == 1);
}

TEST_CASE("an answer to a read of an earlier start is not taken for one of this") {
  const auto ask = [](std::uint64_t seed) {
    options with;
    with.seed = seed;
    lone follower({{}, {{}, {}, voters({1, 2, 3}), {}}, {}}, with);
    follower.receive(1, from(2, 1, 3, append_request{{}, {}, {}, 1, {}}));
    REQUIRE_OK(follower.r.read(at_ms(2), read_id{1}));
    follower.seen.clear();
    follower.take();
    return follower.sent<read_request>().at(0).id;
  };
  CHECK(ask(1) != ask(2));
}

TEST_CASE("reads are limited, and end in time without a leader's answer") {
  options with;
  with.reads_waiting_max = 2;
  lone follower({{}, {{}, {}, voters({1, 2, 3}), {}}, {}}, with);
  follower.receive(1, from(2, 1, 3, append_request{{}, {}, {}, 1, {}}));
  REQUIRE_OK(follower.r.read(at_ms(2), read_id{1}));
  REQUIRE_OK(follower.r.read(at_ms(2), read_id{2}));
  CHECK(follower.r.read(at_ms(2), read_id{3}).error().code() == errc::resource_exhausted);
  follower.r.tick(at_ms(1000));
  follower.seen.clear();
  follower.take();
  CHECK(follower.all<effects::read_failed>().size() == 2);
}
