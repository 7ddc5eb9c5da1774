#include <tests/unit/replication/log_cluster.hpp>

using namespace troupe;
using namespace troupe::replication;
using namespace troupe::replication::testing;
using namespace std::chrono_literals;

TEST_CASE("an append is acknowledged when it is on the disks of all replicas, and not before") {
  log_cluster c(2);
  c.lead(1);
  c.syncs = false;
  const auto id = c.append(1, 1);
  CHECK(!c.answers.contains(id));
  REQUIRE(c.waiting_syncs.size() == 2);
  c.waiting_syncs.pop_back();  // one disk never ends
  c.do_syncs();
  CHECK(!c.answers.contains(id));
}

TEST_CASE("offsets count on over segments, and a full segment is followed by the next at a new epoch") {
  log_cluster c(2);
  c.options.segment_bytes = 600;
  c.lead(1);
  const auto first = c.open();
  for (std::uint64_t i = 1; i <= 20; ++i) {
    const auto id = c.append(1, i, "some words\n");
    REQUIRE(c.acknowledged(id));
    CHECK(c.offset_of(id) == i - 1);
  }
  CHECK(c.partition().segments.size() >= 2);
  CHECK(c.open().id != first.id);
  CHECK(c.open().epoch > first.epoch);
  std::set<epoch> epochs;
  for (const auto& g : c.partition().segments) {
    CHECK(epochs.insert(g.epoch).second);
    CHECK(g.holders.size() == 2);
  }
}

TEST_CASE("a retry is answered as the first time, also after a change of leader and with its segment sealed") {
  log_cluster c(3);
  c.lead(1);
  const auto first = c.append(1, 7, "a\nb\n", 2);
  REQUIRE(c.acknowledged(first));
  const auto again = c.append(1, 7, "a\nb\n", 2);
  REQUIRE(c.acknowledged(again));
  CHECK(c.answers.at(again)->duplicate);
  CHECK(c.offset_of(again) == c.offset_of(first));

  c.crash(1);
  c.declare_dead(1);
  c.lead(2);
  const auto elsewhere = c.append(1, 7, "a\nb\n", 2);
  REQUIRE(c.acknowledged(elsewhere));
  CHECK(c.answers.at(elsewhere)->duplicate);
  CHECK(c.offset_of(elsewhere) == c.offset_of(first));
  CHECK(c.sealed_records() == 2);

  // And behind one more segment, whose own batches say nothing of that producer.
  REQUIRE(c.acknowledged(c.append(2, 1)));
  c.lead(3);
  const auto late = c.append(1, 7, "a\nb\n", 2);
  REQUIRE(c.acknowledged(late));
  CHECK(c.answers.at(late)->duplicate);
}

TEST_CASE("a retry of what retention has removed since is not given the offset of another record") {
  // A draft counted from the end of all segments when it did not find the right one, which the simulator found.
  log_cluster c(3);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  REQUIRE(c.acknowledged(c.append(2, 1, "a\nb\n", 2)));
  c.lead(2);
  REQUIRE(c.acknowledged(c.append(3, 1)));
  c.must(metadata::trim_partition{c.where.dataset, c.where.partition, c.partition().segments.front().id});
  REQUIRE(c.partition().log.trimmed_records == 3);
  const auto again = c.append(2, 1, "a\nb\n", 2);
  REQUIRE(c.acknowledged(again));
  CHECK(c.answers.at(again)->duplicate);
  CHECK(c.answers.at(again)->count == 2);
  CHECK(c.offset_of(again) + 2 <= c.partition().log.trimmed_records);
}

TEST_CASE("a segment that ends before anything was written takes nothing from what producers wrote") {
  // A draft took the table of the segment before, which the simulator found.
  log_cluster c(3);
  c.options.segment_bytes = 250;
  c.lead(1);
  for (std::uint64_t i = 1; i < 3; ++i)
    REQUIRE(c.acknowledged(c.append(1, i, "some words and more of them, so that it rolls\n")));
  const auto before = c.open().id;
  // The next segment's other replica does not open it: it ends with nothing in it.
  c.drop = [&](const message& m) { return std::holds_alternative<open_request>(m.body) && m.to != c.at(1).ref(); };
  const auto rolling = c.append(1, 3, "the one that fills the segment, and is itself kept\n");
  c.pass(600ms);
  c.drop = [](const message&) { return false; };
  c.pass(6s);
  CHECK(c.open().id > before);
  const auto again = c.append(1, 3, "the one that fills the segment, and is itself kept\n");
  REQUIRE(c.acknowledged(again));
  CHECK(c.answers.at(again)->duplicate);
  CHECK(c.acknowledged(rolling));
}

TEST_CASE("a sequence that comes after a later one is refused, and never called durable") {
  log_cluster c(1, 1);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 5)));
  const auto late = c.append(1, 4);
  REQUIRE(c.answers.contains(late));
  CHECK(c.answers.at(late).error().code() == errc::aborted);
}

TEST_CASE("two tries of one append that are under way together make one batch and get one answer each") {
  log_cluster c(2);
  c.lead(1);
  c.syncs = false;
  const auto first = c.append(1, 1), second = c.append(1, 1);
  c.do_syncs();
  c.do_syncs();
  c.syncs = true;
  REQUIRE(c.acknowledged(first));
  REQUIRE(c.acknowledged(second));
  CHECK(c.offset_of(first) == c.offset_of(second));
  CHECK(c.leader->acknowledged()->records == 1);
}

TEST_CASE("with fewer members than min_copies an append is refused with the reason, and taken again later") {
  log_cluster c(2, 2, 2);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  c.crash(2);
  c.declare_dead(2);
  c.metadata_changed();
  c.pass(1s);
  c.append(1, 2);
  REQUIRE(c.last_refusal);
  CHECK(c.last_refusal->code() == errc::failed_precondition);
  CHECK(c.last_refusal->message().find("needs 2 copies") != std::string::npos);
  c.start(2);
  c.metadata_changed();
  c.pass(1s);
  CHECK(c.acknowledged(c.append(1, 2)));
}

TEST_CASE("a full disk is named, is tried ever less often, and takes appends again once there is room") {
  log_cluster c(2, 2, 2);
  int tries = 0;
  bool full = true;
  c.no_room = [&](std::uint8_t n) {
    tries += n == 2 ? 1 : 0;
    return n == 2 && full;
  };
  c.lead(1);
  c.pass(120s);
  c.append(1, 1);
  REQUIRE(c.last_refusal);
  CHECK(c.last_refusal->message().find("needs 2 copies, and 1 member(s) can take one now: no space left on node2") !=
        std::string::npos);
  CHECK(tries >= 4);  // at 0, 5, 15, 35, 65 and 95 s
  CHECK(tries <= 6);
  std::size_t said = 0, ended = 0;
  for (const auto& r : c.reports) {
    said += r.find("can't be opened here: No space left on device") != std::string::npos ? 1 : 0;
    ended += r.find("no space left for segment") != std::string::npos ? 1 : 0;
  }
  CHECK(said >= 2);
  CHECK(said <= 6);
  CHECK(ended == 1);
  full = false;
  c.pass(31s);
  CHECK(c.acknowledged(c.append(1, 1)));
}

TEST_CASE("what a sealed segment has fewer copies of than min_copies is not acknowledged until it is repaired") {
  log_cluster c(3, 2, 2);
  c.lead(1);
  // Node 2 or 3 is the other replica; it dies with the append on its way.
  const auto other = static_cast<std::uint8_t>(c.open().replicas[1].member.value.octets[0]);
  c.drop = [&](const message& m) { return m.to.member == c.at(other).id; };
  const auto id = c.append(1, 1);
  c.crash(other);
  c.declare_dead(other);
  c.metadata_changed();
  c.pass(1s);
  REQUIRE(c.answers.contains(id));
  CHECK(c.answers.at(id).error().code() == errc::unavailable);
  CHECK(c.sealed_records() == 1);
  CHECK(!c.acknowledged(c.append(1, 1)));
  const auto& g = c.partition().segments.back();
  const auto third = static_cast<std::uint8_t>(5 - other);
  c.must(metadata::add_holder{c.where.dataset, g.id, c.at(third).ref(), c.at(1).id, g.digest});
  const auto again = c.append(1, 1);
  REQUIRE(c.acknowledged(again));
  CHECK(c.answers.at(again)->duplicate);
}

TEST_CASE("a replica that is silent ends the segment, and the next one does without it") {
  log_cluster c(3);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  const auto silent = c.open().replicas[1];
  c.drop = [&](const message& m) { return m.to == silent || m.from == silent; };
  const auto id = c.append(1, 2);
  CHECK(!c.answers.contains(id));
  c.pass(1500ms);
  CHECK(c.acknowledged(id));
  for (const auto& r : c.open().replicas) CHECK(r != silent);
  CHECK(c.open().replicas.size() == 2);
}

TEST_CASE("a lost append is sent again") {
  log_cluster c(2);
  c.lead(1);
  int lost = 0;
  c.drop = [&](const message& m) { return std::holds_alternative<append_request>(m.body) && lost++ < 2; };
  const auto id = c.append(1, 1);
  CHECK(!c.answers.contains(id));
  c.pass(200ms);
  CHECK(c.acknowledged(id));
}

TEST_CASE("what is sent again goes in one message, so that nothing of it can overtake the rest") {
  // The simulator's seed 7210: of twenty messages in any order a replica took one or two each time.
  log_cluster c(2);
  c.lead(1);
  const auto other = c.open().replicas[1];
  const auto is_append_to_other = [&](const message& m) {
    const auto* r = std::get_if<append_request>(&m.body);
    return m.to == other && r != nullptr && r->size.bytes != 0;
  };
  c.drop = is_append_to_other;
  std::vector<append_id> ids;
  for (std::uint64_t i = 1; i <= 10; ++i) ids.push_back(c.append(1, i));
  int sent = 0;
  c.drop = [&](const message& m) {
    sent += is_append_to_other(m) ? 1 : 0;
    return false;
  };
  c.pass(100ms);
  CHECK(sent == 1);
  for (const auto id : ids) CHECK(c.acknowledged(id));
}

TEST_CASE("repeated and overtaken messages do no harm") {
  log_cluster c(2);
  c.lead(1);
  const auto other = c.open().replicas[1];
  std::vector<message> seen;
  c.hold = [&](const message& m) {
    if (m.to != other || !std::holds_alternative<append_request>(m.body)) return false;
    seen.push_back(m);
    return true;
  };
  const auto first = c.append(1, 1), second = c.append(1, 2), third = c.append(1, 3);
  c.hold = [](const message&) { return false; };
  c.held.clear();
  for (auto at = seen.rbegin(); at != seen.rend(); ++at) c.wire.push_back(*at);
  for (const auto& m : seen) c.wire.push_back(m);
  for (const auto& m : seen) c.wire.push_back(m);
  c.settle();
  c.pass(200ms);
  for (const auto id : {first, second, third}) CHECK(c.acknowledged(id));
  CHECK(c.at(1).files->find(c.open().id)->content.substr(4096) ==
        c.at(other.member.value.octets[0]).files->find(c.open().id)->content.substr(4096));
}

TEST_CASE("an idle leader says that the last record may be read") {
  log_cluster c(2);
  c.lead(1);
  message push;
  c.drop = [&](const message& m) {
    if (std::holds_alternative<append_request>(m.body)) push = m;
    return false;
  };
  REQUIRE(c.acknowledged(c.append(1, 1)));
  const auto* r = std::get_if<append_request>(&push.body);
  REQUIRE(r != nullptr);
  CHECK(r->size.bytes == 0);
  CHECK(r->visible == record_offset{1});
}

TEST_CASE("append times hold until the clock catches up, and a clock far ahead of all others is held back") {
  log_cluster c(2);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  c.wall_ms -= 5'000;
  REQUIRE(c.acknowledged(c.append(1, 2)));
  format::batch_cursor cursor(bytes_view(c.at(1).files->find(c.open().id)->content).substr(4096), c.open().id);
  format::batch_view batch;
  std::int64_t last = 0;
  while (*cursor.next(batch)) {
    CHECK(batch.header.append_time_unix_ms >= last);
    last = batch.header.append_time_unix_ms;
  }
}

TEST_CASE("a full queue refuses, and takes again once it has emptied") {
  log_cluster c(2);
  c.options.queue_requests_max = 3;
  c.lead(1);
  c.syncs = false;
  for (std::uint64_t i = 0; i < 3; ++i) c.append(0, 0);
  CHECK(!c.last_refusal);
  c.append(0, 0);
  REQUIRE(c.last_refusal);
  CHECK(c.last_refusal->code() == errc::resource_exhausted);
  c.syncs = true;
  c.do_syncs();
  c.append(0, 0);
  CHECK(!c.last_refusal);
}

TEST_CASE("an append that takes too long is answered, and its retry finds out") {
  log_cluster c(2);
  c.options.append_time_max = 100ms;
  c.lead(1);
  c.syncs = false;
  const auto id = c.append(1, 1);
  c.pass(150ms);
  REQUIRE(c.answers.contains(id));
  CHECK(c.answers.at(id).error().code() == errc::unavailable);
  c.syncs = true;
  c.do_syncs();
  const auto again = c.append(1, 1);
  REQUIRE(c.acknowledged(again));
  CHECK(c.offset_of(again) == 0);
}

TEST_CASE("a draining member gives its partitions away") {
  log_cluster c(3);
  c.lead(1);
  c.must(metadata::drain_member{c.at(1).id, true});
  c.metadata_changed();
  CHECK(c.stopped);
  CHECK(!c.partition().log.leader);
}
