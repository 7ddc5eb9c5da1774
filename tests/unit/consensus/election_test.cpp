#include "cluster.hpp"

using namespace troupe;
using namespace troupe::consensus;

TEST_CASE("a single voter leads as soon as its own vote is durable") {
  lone one({{}, {{}, {}, voters({1}), {}}, {}});
  one.r.tick(at_ms(0));
  one.take();
  CHECK(one.r.role() == role::candidate);
  one.written(1);
  CHECK(one.r.role() == role::leader);
  CHECK(one.r.term() == term{1});
  CHECK_FALSE(one.r.leads_with_committed_entry());
  one.written(2);
  CHECK(one.r.leads_with_committed_entry());
}

TEST_CASE("three voters elect one leader, and another when it is gone") {
  cluster three(voters({1, 2, 3}));
  const auto first = three.elect();
  three.stopped.insert(first);
  const auto second = three.elect();
  CHECK(second != first);
  three.stopped.clear();
  three.run(200);
  CHECK(three.leader() == second);
  CHECK(three[first].role() == role::follower);
}

TEST_CASE("a vote leaves only when it is durable, and is given once in a term, also after a restart") {
  lone voter({{}, {{}, {}, voters({1, 2, 3}), {}}, {}});
  voter.receive(1, from(2, 1, 5, vote_request{false, false, term{5}, {}, {}}));
  CHECK(voter.sent<vote_response>().empty());
  const auto writes = voter.all<effects::persist>();
  REQUIRE(writes.size() == 1);
  REQUIRE(writes[0].state);
  CHECK(*writes[0].state == hard_state{term{5}, member(2)});
  voter.written(2);
  REQUIRE(voter.sent<vote_response>().size() == 1);
  CHECK(voter.sent<vote_response>()[0].granted);

  lone restarted({*writes[0].state, {{}, {}, voters({1, 2, 3}), {}}, {}});
  restarted.receive(3, from(3, 1, 5, vote_request{false, false, term{5}, {}, {}}));
  REQUIRE(restarted.sent<vote_response>().size() == 1);
  CHECK_FALSE(restarted.sent<vote_response>()[0].granted);
}

TEST_CASE("a candidate whose log is behind gets no vote") {
  const restored found{
      {term{3}, {}}, {{}, {}, voters({1, 2, 3}), {}}, {command_entry(1, 1, "a"), command_entry(3, 2, "b")}};
  const auto granted = [&](std::uint64_t index, std::uint64_t last_term) {
    lone voter(found);
    voter.receive(1, from(2, 1, 4, vote_request{false, false, term{4}, log_index{index}, term{last_term}}));
    voter.written(2);
    for (const auto& answer : voter.sent<vote_response>())
      if (answer.granted) return true;
    return false;
  };
  CHECK(granted(2, 3));
  CHECK(granted(1, 4));
  CHECK_FALSE(granted(1, 3));
  CHECK_FALSE(granted(9, 2));
}

TEST_CASE("a member that was cut off does not unseat the leader when it returns") {
  cluster three(voters({1, 2, 3}));
  const auto leader = three.elect();
  const auto lonely = leader % 3 + 1;
  three.blocked = [&](unsigned a, unsigned b) { return a == lonely || b == lonely; };
  three.run(3000);
  const auto term_before = three[leader].term();
  CHECK(three[lonely].term() == term_before);  // pre-vote: no terms are burnt
  three.blocked = {};
  three.run(1000);
  CHECK(three.leader() == leader);
  CHECK(three[leader].term() == term_before);
}

TEST_CASE("a leader that is heard but hears nobody gives way: one-way cut") {
  cluster three(voters({1, 2, 3}));
  const auto leader = three.elect();
  three.blocked = [&](unsigned, unsigned to) { return to == leader; };
  three.run(2000);
  CHECK(three[leader].role() != role::leader);
  const auto other = three.leader();
  CHECK((other != 0 && other != leader));
}

TEST_CASE("a leader whose disk stalls gives way") {
  options with;
  lone one({{}, {{}, {}, voters({1, 2, 3}), {}}, {}}, with);
  one.receive(1, from(2, 1, 5, append_request{{}, {}, {}, 1, {}}));
  one.written(2);
  one.receive(3, from(2, 1, 5, timeout_now{}));
  one.written(4);
  one.receive(5, from(3, 1, 6, vote_response{false, true, term{6}}));
  REQUIRE(one.r.role() == role::leader);
  // The write of its first entry is never confirmed, though a follower goes on answering.
  for (std::int64_t ms = 40; ms < 1000 && one.r.role() == role::leader; ms += 40) {
    one.receive(ms, from(3, 1, 6, append_response{true, 1, {}, {}, {}, {}}));
    one.seen.clear();
    one.r.tick(at_ms(ms));
    one.take();
  }
  CHECK(one.r.role() == role::follower);
  CHECK(one.sent<timeout_now>().size() == 1);
}

TEST_CASE("a failed write ends everything") {
  lone one({{}, {{}, {}, voters({1}), {}}, {}});
  one.r.tick(at_ms(0));
  one.take();
  one.written(1);
  REQUIRE(one.r.role() == role::leader);
  one.r.disk_failed(at_ms(2));
  CHECK(one.r.role() == role::follower);
  CHECK_FALSE(one.r.propose(at_ms(3), "x"));
  one.seen.clear();
  one.r.tick(at_ms(9000));
  one.take();
  CHECK(one.all<effects::send>().empty());
}

TEST_CASE("one that was voted out still campaigns when nobody else can: its entry may not have committed") {
  // Voter 2 demoted itself as leader and stopped before anyone got the entry: 1 needs its vote and has the shorter log.
  // Found by seed 5.
  const auto before = voters({1, 2}), after = voters({1}, {2});
  bytes payload = encode_snapshot_state({{}, {}, after, nullptr});
  lone two({{term{5}, {}},
            {log_index{3}, term{5}, before, std::make_shared<const bytes>()},
            {{term{5}, log_index{4}, entry_kind::configuration, payload}}},
           {}, 2);
  CHECK(two.r.members() == after);
  two.seen.clear();
  two.r.tick(at_ms(1000));
  two.take();
  REQUIRE(two.sent<vote_request>().size() == 1);
  two.receive(1001, from(1, 2, 5, vote_response{true, true, term{6}}));
  two.written(1002);
  two.receive(1003, from(1, 2, 6, vote_response{false, true, term{6}}));
  CHECK(two.r.role() == role::leader);
}
