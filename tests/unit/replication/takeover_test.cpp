#include <tests/unit/replication/log_cluster.hpp>

using namespace troupe;
using namespace troupe::replication;
using namespace troupe::replication::testing;
using namespace std::chrono_literals;

namespace {
std::uint8_t slot_of(const replica_ref& r) { return r.member.value.octets[0]; }
}  // namespace

TEST_CASE("a new leader keeps everything acknowledged, and the old one is fenced") {
  log_cluster c(3);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 5; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  auto old = std::move(c.leader);
  const auto other = slot_of(c.open().replicas[1]);
  c.lead(other);
  CHECK(c.sealed_records() == 5);
  // The old leader has heard nothing and goes on: its replicas refuse.
  auto& replica = *c.at(1).replica;
  REQUIRE_OK(old->append(c.time(), c.state, append_id{1000}, producer_number(2), 1, 1, shared_bytes("x\n")));
  for (auto& e : old->take_effects())
    if (auto* s = std::get_if<effects::send>(&e); s != nullptr && s->what.to == c.at(1).ref())
      replica.receive(c.time(), s->what);
  bool refused = false;
  for (auto& e : replica.take_effects())
    if (auto* s = std::get_if<effects::send>(&e))
      if (const auto* r = std::get_if<append_response>(&s->what.body)) refused = refused || r->why != refusal::none;
  CHECK(refused);
}

TEST_CASE("one copy that is intact is enough: the longest wins, and what was not acknowledged may stay") {
  log_cluster c(3);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  const auto other = slot_of(c.open().replicas[1]);
  c.drop = [&](const message& m) { return std::holds_alternative<append_request>(m.body) && slot_of(m.to) == other; };
  const auto unknown = c.append(1, 2);
  CHECK(!c.answers.contains(unknown));
  c.drop = [](const message&) { return false; };
  c.leader.reset();
  c.lead(3);
  CHECK(c.sealed_records() == 2);  // node 1 had it
  const auto again = c.append(1, 2);
  REQUIRE(c.acknowledged(again));
  CHECK(c.answers.at(again)->duplicate);
}

TEST_CASE("what was under way and has too few copies is cut: appends need not wait for repair") {
  log_cluster c(3, 3, 2);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  const auto first = slot_of(c.open().replicas[1]), second = slot_of(c.open().replicas[2]);
  REQUIRE(first != 1);
  REQUIRE(second != 1);
  // The second append reaches one of the two that will be left, and so was acknowledged to nobody.
  c.drop = [&](const message& m) { return std::holds_alternative<append_request>(m.body) && slot_of(m.to) == second; };
  const auto unknown = c.append(1, 2);
  CHECK(!c.answers.contains(unknown));
  c.drop = [](const message&) { return false; };
  c.leader.reset();
  c.crash(1);
  c.declare_dead(1);
  c.lead(first);
  c.pass(1s);
  REQUIRE(c.partition().segments.size() == 1);
  CHECK(c.sealed_records() == 1);
  CHECK(c.partition().segments[0].holders.size() == 2);
  const auto again = c.append(1, 2);
  REQUIRE(c.acknowledged(again));
  CHECK(!c.answers.at(again)->duplicate);
  CHECK(c.offset_of(again) == 1);
}

TEST_CASE("a torn copy never decides alone") {
  log_cluster c(3);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto id = c.open().id;
  const auto other = slot_of(c.open().replicas[1]);
  // Node 1 comes back with a bad tail, the other replica is away for now.
  c.crash(1);
  auto* f = c.at(1).files->find(id);
  f->content.resize(f->content.size() - 5);
  f->synced = f->content.size();
  c.start(1);
  c.crash(other);
  c.declare_dead(other);
  c.lead(1);
  c.pass(2s);
  CHECK(c.leader->state() == log_leader::phase::fencing);
  CHECK(c.sealed_records() == 0);
  c.start(other);
  c.metadata_changed();
  c.pass(500ms);
  CHECK(c.sealed_records() == 3);
}

TEST_CASE("a seal never goes below a high-water mark that a copy knows") {
  log_cluster c(2);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto id = c.open().id;
  // The second copy's file is cut cleanly, as if it had never had the rest: it looks whole, and is wrong.
  c.crash(2);
  auto* f = c.at(2).files->find(id);
  bytes_view region = bytes_view(f->content).substr(4096);
  format::batch_cursor cursor(region, id);
  cursor.give_tables();
  format::batch_view batch;
  REQUIRE(*cursor.next(batch));
  REQUIRE(*cursor.next(batch));
  f->cut(4096 + batch.end());
  f->synced = f->content.size();
  c.start(2);
  c.at(1).files->find(id)->flip(4096 + 300, 1);  // and the first has rot before its end
  c.lead(2);
  c.pass(2s);
  CHECK(c.sealed_records() == 0);
  REQUIRE(!c.alarms.empty());
  CHECK(c.alarms.front().find("damaged on every copy") != std::string::npos);
}

TEST_CASE("when no copy is sure the longest intact beginning counts, of a damaged copy as well") {
  // A draft sealed at nothing, for no mark was known and neither copy was whole; the simulator found an acknowledged
  // record among what it cut.
  log_cluster c(2);
  c.lead(1);
  c.drop = [](const message& m) { return std::holds_alternative<append_response>(m.body); };
  for (std::uint64_t i = 1; i <= 4; ++i) c.append(1, i);
  const auto id = c.open().id;
  std::vector<std::size_t> ends;  // the first batch has no records
  bytes_view region = bytes_view(c.at(2).files->find(id)->content).substr(4096);
  format::batch_cursor cursor(region, id);
  cursor.give_tables();
  for (format::batch_view batch; ends.size() < 4 && *cursor.next(batch);) ends.push_back(4096 + batch.end());
  REQUIRE(ends.size() == 4);
  c.crash(1);
  c.crash(2);
  c.at(1).files->find(id)->flip(ends[0] - 2, 1);  // rot
  c.at(2).files->find(id)->flip(ends[3] - 2, 1);  // a hole that a loss of power left, behind two records
  c.drop = [](const message&) { return false; };
  c.start(1);
  c.start(2);
  c.lead(1);
  c.pass(2s);
  CHECK(c.sealed_records() == 2);
  REQUIRE(c.partition().segments.size() == 1);
  CHECK(c.partition().segments.front().holders == std::vector{c.at(2).id});
}

TEST_CASE("rot in an open segment is noticed when a fence asks") {
  log_cluster c(3);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto id = c.open().id;
  const auto other = slot_of(c.open().replicas[1]);
  c.at(1).files->find(id)->flip(4096 + 200, 1);
  c.lead(3);
  REQUIRE(c.sealed_records() == 3);
  REQUIRE(c.partition().segments.back().holders.size() == 1);
  CHECK(c.partition().segments.back().holders.front() == c.at(other).id);
}

TEST_CASE("a copy that a fence found damaged holds nothing unless it is read back, even if its batches seem whole") {
  log_cluster c(3);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto id = c.open().id;
  const auto other = slot_of(c.open().replicas[1]);
  c.at(1).files->find(id)->flip(60, 1);  // in the file's header
  c.lead(3);
  REQUIRE(c.sealed_records() == 3);
  REQUIRE(c.partition().segments.back().holders.size() == 1);
  CHECK(c.partition().segments.back().holders.front() == c.at(other).id);
}

TEST_CASE("a damaged copy that claims more than a sure one does not hold the seal up") {
  // A draft asked for the damaged copy's length for ever, which the simulator found.
  log_cluster c(3);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto id = c.open().id;
  const auto other = slot_of(c.open().replicas[1]);
  c.drop = [&](const message& m) { return std::holds_alternative<append_request>(m.body) && slot_of(m.to) == other; };
  c.append(1, 4);
  c.append(1, 5);
  c.drop = [](const message&) { return false; };
  auto* f = c.at(1).files->find(id);
  f->flip(f->synced - 2, 1);  // the fifth is rotten, the fourth is whole
  c.leader.reset();
  c.lead(3);
  CHECK(c.sealed_records() == 3);
}

TEST_CASE("rot is looked for when fewer than all replicas will hold the sealed copy") {
  log_cluster c(3);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto id = c.open().id;
  const auto other = c.open().replicas[1];
  c.at(1).files->find(id)->flip(4096 + 200, 1);
  // The other replica hangs for a while: node 1's rotten copy must not be all that is left.
  bool hangs = true;
  c.drop = [&](const message& m) { return hangs && (m.to == other || m.from == other); };
  c.append(1, 4);
  c.pass(2s);
  CHECK(c.sealed_records() == 0);
  hangs = false;
  c.pass(3s);
  CHECK(c.sealed_records() >= 3);
  for (const auto holder : c.partition().segments.back().holders) CHECK(holder == other.member);
}

TEST_CASE("a copy that was sealed unread does not count any more once copies are read back, however late its answer") {
  // Two requests were on the way to a rotten copy; the answer to the first came when the second mattered.
  log_cluster c(3);
  c.options.segment_bytes = 1000;
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto rotten = c.open().replicas[1];
  c.at(slot_of(rotten)).files->find(c.open().id)->flip(4096 + 200, 1);
  bool read_back = false, slow = true;
  c.drop = [&](const message& m) {
    const auto* asked = std::get_if<seal_request>(&m.body);
    read_back = read_back || (asked != nullptr && asked->verify);
    return read_back && slow && std::holds_alternative<seal_response>(m.body);
  };
  c.hold = [&](const message& m) { return m.from == rotten && std::holds_alternative<seal_response>(m.body); };
  c.append(1, 4, std::string(1000, 'x') + "\n");
  REQUIRE(c.leader->state() == log_leader::phase::sealing);
  c.pass(c.options.grace + 50ms);
  REQUIRE(read_back);
  REQUIRE(!c.held.empty());
  c.hold = [](const message&) { return false; };
  c.release_held();
  c.pass(2s);
  CHECK(c.sealed_records() == 0);
  slow = false;
  c.pass(1s);
  REQUIRE(c.sealed_records() == 4);
  REQUIRE(c.partition().segments.back().holders.size() == 1);
  CHECK(c.partition().segments.back().holders.front() == c.at(1).id);
}

TEST_CASE("answers to a fence count for their own segment only") {
  log_cluster c(3);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  message late;
  c.drop = [&](const message& m) {
    if (std::holds_alternative<fence_response>(m.body)) late = m;
    return false;
  };
  c.lead(2);  // fences and seals the first segment
  c.drop = [](const message&) { return false; };
  for (std::uint64_t i = 2; i <= 6; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto second = c.open().id;
  REQUIRE(late.segment != second);
  c.drop = [&](const message& m) { return std::holds_alternative<fence_response>(m.body); };
  c.lead(1);
  REQUIRE(c.leader->state() == log_leader::phase::fencing);
  late.to = c.at(1).ref();
  c.wire.push_back(late);  // «1 record, sure»
  c.pass(1s);
  CHECK(c.leader->state() == log_leader::phase::fencing);
  c.drop = [](const message&) { return false; };
  c.pass(1s);
  CHECK(c.sealed_records() == 6);
}

TEST_CASE("the answer of a replica that was started again since does not count") {
  log_cluster c(3);
  c.lead(1);
  for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE(c.acknowledged(c.append(1, i)));
  const auto other = slot_of(c.open().replicas[1]);
  // Node 1 answers, the other does not; then node 1 is wiped and comes back as somebody else.
  c.drop = [&](const message& m) { return slot_of(m.from) == other && std::holds_alternative<fence_response>(m.body); };
  c.lead(3);
  c.crash(1);
  c.at(1).files->wipe();
  c.declare_dead(1);
  c.must(metadata::remove_member{c.at(1).id, true});
  c.metadata_changed();
  c.pass(1s);
  CHECK(c.sealed_records() == 0);
  c.drop = [](const message&) { return false; };
  c.pass(1s);
  CHECK(c.sealed_records() == 3);
}

TEST_CASE("a fence waits a little for others once a sure copy has answered, and not for those known to be gone") {
  log_cluster c(3, 3);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  c.drop = [&](const message& m) { return slot_of(m.to) == 3 && std::holds_alternative<fence_request>(m.body); };
  c.lead(2);
  CHECK(c.sealed_records() == 0);
  c.pass(100ms);
  CHECK(c.sealed_records() == 0);
  c.leader->member_lost(c.time(), c.state, c.at(3).id);
  c.settle();
  CHECK(c.sealed_records() == 1);
}

TEST_CASE("a new leader does not wait for who was seen to be gone before it began") {
  log_cluster c(3, 3);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  c.crash(1);
  c.lead(2, true, {1});  // metadata says still that node 1 lives
  CHECK(c.sealed_records() == 1);
  CHECK(c.acknowledged(c.append(1, 2)));
}

TEST_CASE("who looks for a fence is not asked again when metadata changes, unless it was started again") {
  log_cluster c(3, 3);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  std::map<std::uint8_t, int> asked;
  c.drop = [&](const message& m) {
    const bool fence = std::holds_alternative<fence_request>(m.body);
    if (fence) ++asked[slot_of(m.to)];
    return fence;
  };
  c.lead(2);
  for (int i = 0; i < 3; ++i) c.metadata_changed();
  CHECK(asked == std::map<std::uint8_t, int>{{1, 1}, {2, 1}, {3, 1}});
  c.restart(3);
  for (int i = 0; i < 3; ++i) c.metadata_changed();
  CHECK(asked == std::map<std::uint8_t, int>{{1, 1}, {2, 1}, {3, 2}});
  c.drop = [](const message&) { return false; };
  c.pass(1s);
  CHECK(c.sealed_records() == 1);
}

TEST_CASE("any start of a member closes its open segments") {
  log_cluster c(2);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  const auto segment = c.open().id;
  c.restart(2);
  const auto id = c.append(1, 2);
  c.pass(1s);
  CHECK(c.acknowledged(id));
  CHECK(c.open().id != segment);
}

TEST_CASE("a promise outlives the member that made it") {
  log_cluster c(2);
  c.lead(1);
  const auto open = c.open();
  // The second member never got the first leader's open request; it promises, starts again, and then the request comes.
  log_cluster late(2);
  auto& r = *c.at(2).replica;
  const auto epoch_before = open.epoch;
  message fence{c.cluster, c.at(1).ref(),  c.at(2).ref(), c.where, segment_id{77}, epoch{epoch_before.value + 1},
                1,         fence_request{}};
  r.receive(c.time(), fence);
  c.settle();
  c.restart(2);
  message request{c.cluster, c.at(1).ref(), c.at(2).ref(), c.where, segment_id{77}, epoch_before, 2, open_request{}};
  c.at(2).replica->receive(c.time(), request);
  auto effects = c.at(2).replica->take_effects();
  REQUIRE(effects.size() == 1);
  const auto* sent = std::get_if<effects::send>(&effects.front());
  REQUIRE(sent != nullptr);
  CHECK(std::get<open_response>(sent->what.body).why == refusal::fenced);
}

TEST_CASE("with every replica given up for good, the loss is reported and appends go on") {
  log_cluster c(2, 1);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  c.crash(1);
  c.declare_dead(1);
  CHECK(c.apply(metadata::remove_member{c.at(1).id, false}).error().code() == errc::failed_precondition);
  c.must(metadata::remove_member{c.at(1).id, true});
  c.lead(2);
  c.pass(500ms);
  REQUIRE(!c.alarms.empty());
  CHECK(c.alarms.front().find("lost") != std::string::npos);
  CHECK(c.acknowledged(c.append(1, 2)));
}

TEST_CASE("policy «seal»: what a loss of power took is sealed away and reported, and is no damage") {
  log_cluster c(2, 2, 1, sync_policy::seal);
  c.syncs = false;
  c.lead(1);
  c.do_syncs();
  c.do_syncs();
  REQUIRE(c.acknowledged(c.append(1, 1)));  // written everywhere, synced nowhere
  CHECK(!c.waiting_syncs.empty());
  c.crash(1);
  c.crash(2);
  c.waiting_syncs.clear();
  c.syncs = true;
  c.start(1);
  c.start(2);
  c.lead(1);
  c.pass(1s);
  CHECK(c.leader->state() == log_leader::phase::leading);
  CHECK(c.sealed_records() == 0);
}
