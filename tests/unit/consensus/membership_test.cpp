#include "cluster.hpp"

using namespace troupe;
using namespace troupe::consensus;
using kind = member_change::kind;

TEST_CASE("a cluster grows from one voter to three, step by step") {
  cluster cluster(voters({1}));
  cluster.add(2);
  cluster.add(3);
  REQUIRE(cluster.elect() == 1);
  for (const auto& step : {member_change{kind::add_learner, member(2)},
                           {kind::add_learner, member(3)},
                           {kind::promote, member(2)},
                           {kind::promote, member(3)}}) {
    REQUIRE_OK(cluster[1].change(cluster.now(), step));
    CHECK(cluster[1].change(cluster.now(), step).error().code() == errc::failed_precondition);  // one at a time
    cluster.run(100);
    REQUIRE(cluster[1].members_settled());
  }
  CHECK(cluster[3].members() == voters({1, 2, 3}));
  cluster.stopped.insert(1);
  CHECK(cluster.elect() != 1);
}

TEST_CASE("no change before an entry of the leader's own term has committed") {
  cluster three(voters({1, 2, 3}, {4}));
  const auto first = three.elect();
  three.stopped.insert(first);
  for (int i = 0; i < 3000 && three.leader() == 0; ++i) three.run(1);
  const auto n = three.leader();
  REQUIRE(n != 0);
  three.blocked = [](unsigned, unsigned) { return true; };
  REQUIRE_FALSE(three[n].leads_with_committed_entry());
  CHECK(three[n].change(three.now(), {kind::promote, member(4)}).error().code() == errc::failed_precondition);
}

TEST_CASE("a learner that is far behind does not become a voter") {
  options with;
  with.learner_lag_max = 3;
  cluster three(voters({1, 2, 3}, {4}), with);
  const auto n = three.elect();
  three.stopped.insert(4);
  for (int i = 0; i < 10; ++i) REQUIRE_OK(three[n].propose(three.now(), "x"));
  three.run(50);
  CHECK_FALSE(three[n].caught_up(member(4)));
  CHECK(three[n].change(three.now(), {kind::promote, member(4)}).error().code() == errc::failed_precondition);
  three.stopped.clear();
  three.run(200);
  REQUIRE_OK(three[n].change(three.now(), {kind::promote, member(4)}));
}

TEST_CASE("a step after which nothing could commit is refused") {
  cluster three(voters({1, 2, 3}));
  const auto n = three.elect();
  const auto dead = n % 3 + 1, alive = dead % 3 + 1 == n ? (dead % 3 + 1) % 3 + 1 : dead % 3 + 1;
  three.stopped.insert(dead);
  three.run(1000);
  REQUIRE(three.leader() == n);
  CHECK(three[n].change(three.now(), {kind::remove, member(alive)}).error().code() == errc::failed_precondition);
  REQUIRE_OK(three[n].change(three.now(), {kind::remove, member(dead)}));
}

TEST_CASE("a leader that removes itself gives way once that has committed") {
  cluster three(voters({1, 2, 3}));
  const auto n = three.elect();
  REQUIRE_OK(three[n].change(three.now(), {kind::remove, member(n)}));
  three.run(1000);
  CHECK(three[n].role() != role::leader);
  const auto next = three.leader();
  REQUIRE((next != 0 && next != n));
  CHECK(three[next].members().voters.size() == 2);
}

TEST_CASE("a configuration that is cut from the log is out of force") {
  const auto before = voters({1, 2, 3}), after = voters({1, 2, 3}, {4});
  lone follower(
      {{term{2}, {}},
       {{}, {}, before, {}},
       {{term{2}, log_index{1}, entry_kind::configuration, encode_snapshot_state({{}, {}, after, nullptr})}}});
  CHECK(follower.r.members() == after);
  follower.receive(1, from(2, 1, 3, append_request{{}, {}, {}, 1, {command_entry(3, 1, "x")}}));
  CHECK(follower.r.members() == before);
  REQUIRE(follower.all<effects::members_changed>().size() == 1);
}

TEST_CASE("leadership is handed over, and the lease with it") {
  options with;
  with.reads = read_mode::lease;
  cluster three(voters({1, 2, 3}), with);
  const auto n = three.elect();
  three.run(100);
  const auto to = n % 3 + 1;
  REQUIRE_OK(three[n].transfer(three.now(), member(to)));
  REQUIRE_OK(three[n].read(three.now(), read_id{1}));
  CHECK(three.reads[n].empty());  // no lease any more: asks a majority
  three.drain(n);
  three.run(200);
  CHECK(three.leader() == to);
}

TEST_CASE("a member that does not know yet who the members were takes no snapshot") {
  // It would say that nobody votes, and be refused when the member starts again; the simulator found that.
  lone joined({{}, {}, {}}, {}, 2);
  joined.receive(
      1, from(1, 2, 1, append_request{{}, {}, log_index{2}, 1, {command_entry(1, 1, "a"), command_entry(1, 2, "b")}}));
  joined.written(2);
  joined.r.compact(at_ms(3), log_index{2}, std::make_shared<const bytes>("ab"));
  CHECK(joined.r.latest_snapshot().index == log_index{0});
  const auto members = voters({1}, {2});
  const auto change = encode_snapshot_state({{}, {}, members, nullptr});
  joined.receive(
      4,
      from(1, 2, 1,
           append_request{
               log_index{2}, term{1}, log_index{3}, 2, {{term{1}, log_index{3}, entry_kind::configuration, change}}}));
  joined.written(5);
  joined.r.compact(at_ms(6), log_index{3}, std::make_shared<const bytes>("ab"));
  CHECK(joined.r.latest_snapshot().index == log_index{3});
  CHECK(joined.r.latest_snapshot().members == members);
}

TEST_CASE("a snapshot carries the configuration of its index, not a later one") {
  cluster one(voters({1}));
  one.elect();
  REQUIRE_OK(one[1].propose(one.now(), "x"));
  one.run(5);
  const auto index = one[1].commit();
  REQUIRE_OK(one[1].change(one.now(), {kind::add_learner, member(2)}));
  one.drain(1);
  one.run(5);
  one[1].compact(one.now(), index, std::make_shared<const bytes>("x"));
  CHECK(one[1].latest_snapshot().members == voters({1}));
  CHECK(one[1].members() == voters({1}, {2}));
}
