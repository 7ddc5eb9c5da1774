#include "cluster.hpp"

using namespace troupe;
using namespace troupe::consensus;

namespace {

/// A follower of member 2 in term 3 with entries 1/1 "a", 2/2 "b", 3/2 "c" on its disk.
restored three_entries() {
  return {{term{2}, {}},
          {{}, {}, voters({1, 2, 3}), {}},
          {command_entry(1, 1, "a"), command_entry(2, 2, "b"), command_entry(2, 3, "c")}};
}

append_request append(std::uint64_t prev, std::uint64_t prev_term, std::vector<entry> entries,
                      std::uint64_t commit = 0) {
  return {log_index{prev}, term{prev_term}, log_index{commit}, 1, std::move(entries)};
}

}  // namespace

TEST_CASE("an acknowledgement leaves only when the entries are durable") {
  lone follower(three_entries());
  follower.receive(1, from(2, 1, 3, append(3, 2, {command_entry(3, 4, "d")})));
  CHECK(follower.sent<append_response>().empty());
  REQUIRE(follower.all<effects::persist>().size() == 1);
  CHECK(follower.all<effects::persist>()[0].entries.size() == 1);
  CHECK(follower.all<effects::persist>()[0].state->term == term{3});
  // A heartbeat meanwhile is answered as soon as the term is durable, without the entry.
  follower.written(2);
  REQUIRE(follower.sent<append_response>().size() == 1);
  CHECK(follower.sent<append_response>()[0].match == log_index{4});
  follower.receive(3, from(2, 1, 3, append(4, 3, {command_entry(3, 5, "e")})));
  follower.receive(4, from(2, 1, 3, append(5, 3, {})));
  REQUIRE(follower.sent<append_response>().size() == 1);
  CHECK(follower.sent<append_response>()[0].verified == log_index{5});
  CHECK(follower.sent<append_response>()[0].match == log_index{4});
}

TEST_CASE("entries that conflict are cut, on the disk too; a late append that conflicts with nothing cuts nothing") {
  lone follower(three_entries());
  follower.receive(1, from(2, 1, 3, append(1, 1, {command_entry(2, 2, "b")})));
  CHECK(follower.r.log().last() == log_index{3});
  follower.receive(2, from(2, 1, 3, append(2, 2, {command_entry(3, 3, "x")})));
  REQUIRE(follower.all<effects::persist>().size() == 1);
  CHECK(follower.all<effects::persist>()[0].truncate_from == log_index{3});
  CHECK(follower.r.log().find(log_index{3})->payload == "x");
}

TEST_CASE("what does not fit is rejected with a hint, and nothing commits by it") {
  lone follower(three_entries());
  follower.receive(1, from(2, 1, 3, append(9, 3, {}, 9)));
  follower.written(2);
  REQUIRE(follower.sent<append_response>().size() == 1);
  CHECK_FALSE(follower.sent<append_response>()[0].accepted);
  CHECK(follower.sent<append_response>()[0].match == log_index{3});
  CHECK(follower.r.commit() == log_index{0});
  follower.receive(3, from(2, 1, 3, append(1, 1, {}, 9)));
  CHECK(follower.r.commit() == log_index{1});  // only what was compared
}

TEST_CASE("a committed entry that would be replaced raises an alarm and stays") {
  lone follower(three_entries());
  follower.receive(1, from(2, 1, 3, append(3, 2, {}, 3)));
  REQUIRE(follower.r.commit() == log_index{3});
  follower.receive(2, from(2, 1, 3, append(1, 1, {command_entry(3, 2, "evil")})));
  CHECK(follower.all<effects::alarm>().size() == 1);
  CHECK(follower.r.log().find(log_index{2})->payload == "b");
}

TEST_CASE("entries of an earlier term commit only with one of the leader's own: figure 8") {
  lone leader({{term{3}, {}}, {{}, {}, voters({1, 2, 3}), {}}, {command_entry(2, 1, "old")}});
  leader.r.receive(at_ms(1), from(2, 1, 3, append(0, 0, {})));
  leader.r.receive(at_ms(1), from(2, 1, 3, timeout_now{}));
  leader.take();
  leader.written(2);
  leader.receive(3, from(3, 1, 4, vote_response{false, true, term{4}}));
  REQUIRE(leader.r.role() == role::leader);
  leader.written(4);
  leader.receive(5, from(3, 1, 4, append_response{true, 1, {}, log_index{1}, log_index{1}, {}}));
  CHECK(leader.r.commit() == log_index{0});
  leader.receive(6, from(3, 1, 4, append_response{true, 1, log_index{1}, log_index{2}, log_index{2}, {}}));
  CHECK(leader.r.commit() == log_index{2});
}

TEST_CASE("a leader does not count itself before its own disk") {
  cluster three(voters({1, 2, 3}));
  const auto n = three.elect();
  auto& leader = three[n];
  const auto index = leader.propose(three.now(), "x");
  REQUIRE_OK(index);
  const auto other = member(n % 3 + 1);
  const auto before = leader.commit();
  (void)leader.take_effects();  // nobody writes it
  leader.receive(three.now(),
                 {{}, other, member(n), leader.term(), append_response{true, 1, *index, *index, *index, {}}});
  CHECK(leader.commit() == before);
  leader.persisted(three.now(), persist_number{~std::uint64_t{0}});
  CHECK(leader.commit() == *index);
}

TEST_CASE("proposals before the effects are taken share one write and one message") {
  cluster three(voters({1, 2, 3}));
  const auto n = three.elect();
  for (int i = 0; i < 10; ++i) REQUIRE_OK(three[n].propose(three.now(), "x"));
  std::size_t writes = 0, messages = 0;
  for (const auto& e : three[n].take_effects()) {
    if (const auto* p = std::get_if<effects::persist>(&e)) writes += p->entries.size() == 10 ? 1 : 100;
    if (const auto* s = std::get_if<effects::send>(&e))
      messages += std::get<append_request>(s->what.body).entries.size() == 10 ? 1 : 100;
  }
  CHECK(writes == 1);
  CHECK(messages == 2);
}

TEST_CASE("all members apply the same, also one that missed everything and needs the snapshot in parts") {
  options with;
  with.entries_kept_behind_snapshot = 2;
  with.snapshot_chunk_bytes = 7;
  cluster three(voters({1, 2, 3}), with);
  const auto n = three.elect();
  const auto late = n % 3 + 1;
  three.stopped.insert(late);
  for (int i = 0; i < 50; ++i) {
    REQUIRE_OK(three[n].propose(three.now(), std::to_string(i) + ","));
    three.run(3);
  }
  three.run(100);
  three[n].compact(three.now(), three[n].commit(), std::make_shared<const bytes>(three.state[n]));
  three.drain(n);
  CHECK(three[n].log().size() == 2);
  three.stopped.clear();
  three.run(2000);
  CHECK(three.state[late] == three.state[n]);
  CHECK(three[late].latest_snapshot().index == three[n].latest_snapshot().index);
  REQUIRE_OK(three[three.elect()].propose(three.now(), "more"));
  three.run(200);
  CHECK(three.state[late].ends_with("more"));
}

TEST_CASE("a pipeline mends itself when messages were lost") {
  cluster three(voters({1, 2, 3}));
  const auto n = three.elect();
  const auto deaf = n % 3 + 1;
  three.blocked = [&](unsigned, unsigned to) { return to == deaf; };
  for (int i = 0; i < 20; ++i) {
    REQUIRE_OK(three[n].propose(three.now(), "x"));
    three.run(1);
  }
  three.blocked = {};
  three.run(200);
  CHECK(three[deaf].commit() == three[n].commit());
}

TEST_CASE("without a majority proposals are refused before they fill the memory") {
  options with;
  with.uncommitted_entries_max = 5;
  cluster three(voters({1, 2, 3}), with);
  const auto n = three.elect();
  three.blocked = [](unsigned, unsigned) { return true; };
  for (int i = 0; i < 5; ++i) REQUIRE_OK(three[n].propose(three.now(), "x"));
  CHECK(three[n].propose(three.now(), "x").error().code() == errc::resource_exhausted);
  CHECK(three[n].propose(three.now(), bytes(entry_bytes_max + 1, 'x')).error().code() == errc::invalid_argument);
  CHECK(three[n % 3 + 1].propose(three.now(), "x").error().code() == errc::unavailable);
}

TEST_CASE("a message for someone else, or of another cluster, is ignored") {
  lone follower(three_entries());
  follower.receive(1, from(2, 3, 9, append(3, 2, {})));
  auto foreign = from(2, 1, 9, append(3, 2, {}));
  foreign.cluster.value.octets[3] = 7;
  follower.receive(1, foreign);
  CHECK(follower.r.refused_messages() == 2);
  CHECK(follower.r.term() == term{2});
}
