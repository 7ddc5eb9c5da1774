#include <tests/unit/replication/log_cluster.hpp>

using namespace troupe;
using namespace troupe::replication;
using namespace troupe::replication::testing;
using namespace std::chrono_literals;

namespace {

/// One replica by itself, with a disk that does what the test says.
struct lone {
  log_cluster c{1, 1};
  const replica_ref leader{member_number(50), incarnation{1}};
  std::uint64_t requests = 0;
  std::deque<replica_effect> orders;  ///< to its disk, not carried out
  std::deque<message> said;

  replica& r() { return *c.at(1).replica; }
  void take() {
    for (auto& e : r().take_effects()) {
      if (auto* s = std::get_if<effects::send>(&e))
        said.push_back(s->what);
      else
        orders.push_back(std::move(e));
    }
  }
  void ask(message_body body, std::uint64_t epoch, std::uint64_t segment = 7) {
    r().receive(c.time(), message{c.cluster, leader, c.at(1).ref(), c.where, segment_id{segment}, troupe::epoch{epoch},
                                  ++requests, std::move(body)});
    take();
  }
  template <class T>
  T order() {
    REQUIRE(!orders.empty());
    auto* found = std::get_if<T>(&orders.front());
    REQUIRE(found != nullptr);
    T out = *found;
    orders.pop_front();
    return out;
  }
  template <class T>
  T answer() {
    REQUIRE(!said.empty());
    auto* found = std::get_if<T>(&said.front().body);
    REQUIRE(found != nullptr);
    T out = *found;
    said.pop_front();
    return out;
  }
  void open(std::uint64_t epoch) {
    ask(open_request{}, epoch);
    const auto create = order<effects::create_file>();
    r().created(c.time(), create.number, c.at(1).files->create(c.at(1).id, create));
    take();
    REQUIRE(answer<open_response>().why == refusal::none);
  }
  static append_request batch(std::uint64_t at_records, std::uint64_t at_bytes, std::uint32_t count = 1) {
    format::batch_header header;
    header.segment = segment_id{7};
    header.first_offset = record_offset{at_records};
    header.count = count;
    auto encoded = format::encode_batch(header, "0123456789");
    append_request r;
    r.at = {at_records, at_bytes};
    r.size = {count, encoded.size()};
    r.batches = shared_bytes(std::move(encoded));
    return r;
  }
};

constexpr std::uint64_t batch_size = format::batch_header_bytes + 10;

}  // namespace

TEST_CASE("a replica calls durable what its disk has said to be, and no more") {
  lone l;
  l.open(3);
  l.ask(lone::batch(0, 0), 3);
  l.order<effects::write_batches>();
  const auto first = l.order<effects::sync_file>();
  CHECK(l.said.empty());
  l.ask(lone::batch(1, batch_size), 3);  // while the first sync runs
  l.order<effects::write_batches>();
  CHECK(l.orders.empty());
  l.r().synced(l.c.time(), first.number);
  l.take();
  const auto told = l.answer<append_response>();
  CHECK(told.durable.records == 1);
  CHECK(told.written.records == 2);
  const auto second = l.order<effects::sync_file>();
  l.r().synced(l.c.time(), second.number);
  l.take();
  CHECK(l.answer<append_response>().durable.records == 2);
}

TEST_CASE("a write that failed is not made durable by the sync behind it") {
  // A draft acknowledged the bytes of a full disk, which the simulator found.
  lone l;
  l.open(3);
  l.ask(lone::batch(0, 0), 3);
  l.order<effects::write_batches>();
  const auto sync = l.order<effects::sync_file>();
  l.r().write_failed(l.c.time(), segment_id{7}, error{errc::resource_exhausted, "full"});
  l.take();
  CHECK(l.answer<append_response>().why == refusal::disk_full);
  l.r().synced(l.c.time(), sync.number);
  l.take();
  for (const auto& m : l.said)
    if (const auto* r = std::get_if<append_response>(&m.body)) CHECK(r->durable.records == 0);
}

TEST_CASE("an append fits exactly behind the last one: repeated it is answered, too early it is refused") {
  lone l;
  l.open(3);
  l.ask(lone::batch(1, batch_size), 3);
  CHECK(l.answer<append_response>().why == refusal::gap);
  l.ask(lone::batch(0, 0), 3);
  l.order<effects::write_batches>();
  l.r().synced(l.c.time(), l.order<effects::sync_file>().number);
  l.take();
  l.answer<append_response>();
  l.ask(lone::batch(0, 0), 3);
  CHECK(l.orders.empty());
  CHECK(l.answer<append_response>().durable.records == 1);
  auto wrong = lone::batch(5, batch_size);
  wrong.at.records = 1;
  l.ask(std::move(wrong), 3);
  CHECK(l.answer<append_response>().why == refusal::damaged);
  auto flipped = lone::batch(1, batch_size);
  bytes raw(flipped.batches.view());
  raw.back() ^= 1;
  flipped.batches = shared_bytes(std::move(raw));
  l.ask(std::move(flipped), 3);
  CHECK(l.answer<append_response>().why == refusal::damaged);
  CHECK(l.orders.empty());
}

TEST_CASE("another epoch, another start and a segment that is not here are refused") {
  lone l;
  l.open(3);
  l.ask(lone::batch(0, 0), 2);
  CHECK(l.answer<append_response>().why != refusal::none);
  l.ask(lone::batch(0, 0), 3, 8);
  CHECK(l.answer<append_response>().why == refusal::not_here);
  l.r().receive(l.c.time(), message{l.c.cluster, l.leader, replica_ref{l.c.at(1).id, incarnation{77}}, l.c.where,
                                    segment_id{7}, epoch{3}, 9, lone::batch(0, 0)});
  l.take();
  CHECK(l.answer<append_response>().why == refusal::closed);
  l.r().receive(l.c.time(), message{cluster_id{member_number(3).value}, l.leader, l.c.at(1).ref(), l.c.where,
                                    segment_id{7}, epoch{3}, 9, lone::batch(0, 0)});
  l.take();
  CHECK(l.said.empty());
  CHECK(l.r().ignored_messages() == 1);
}

TEST_CASE("a fence is answered when promise and inspection are done, and takes appends no more from its asking on") {
  lone l;
  l.open(3);
  l.ask(fence_request{}, 4);
  const auto promise = l.order<effects::keep_promise>();
  const auto inspect = l.order<effects::inspect_file>();
  CHECK(promise.epoch == epoch{4});
  CHECK(l.said.empty());
  l.ask(lone::batch(0, 0), 3);
  CHECK(l.answer<append_response>().why == refusal::fenced);
  l.r().inspected(l.c.time(), inspect.number, l.c.at(1).files->inspect(segment_id{7}, inspect.floor));
  l.take();
  CHECK(l.said.empty());
  l.r().promised(l.c.time(), promise.number);
  l.take();
  const auto told = l.answer<fence_response>();
  CHECK(told.sure);
  CHECK(told.promised == epoch{4});
  l.ask(fence_request{}, 3);
  CHECK(l.answer<fence_response>().why == refusal::fenced);
}

TEST_CASE("a seal needs a segment of this start, or a promise of this start: a late one cuts nothing") {
  lone l;
  l.ask(seal_request{{1, batch_size}}, 9);
  CHECK(l.answer<seal_response>().why == refusal::not_here);
  l.open(3);
  l.ask(seal_request{{1, batch_size}}, 3);
  CHECK(l.answer<seal_response>().why == refusal::gap);
  l.r().settled(l.c.time(), segment_id{7}, record_offset{0});
  l.take();
  l.orders.clear();
  l.ask(fence_request{}, 9);
  CHECK(l.answer<fence_response>().why == refusal::closed);
  l.ask(seal_request{{0, 0}}, 9);
  CHECK(l.answer<seal_response>().why == refusal::closed);
  CHECK(l.orders.empty());
}

TEST_CASE("a file is not replaced while a seal of a former leader is still to come on the disk") {
  // The simulator's seed 2687: the seal cut the copy that was made after metadata had settled the segment.
  lone l;
  l.open(3);
  l.ask(lone::batch(0, 0), 3);
  l.order<effects::write_batches>();
  l.r().synced(l.c.time(), l.order<effects::sync_file>().number);
  l.take();
  CHECK(!l.r().busy_with(segment_id{7}));
  l.ask(seal_request{{1, batch_size}}, 3);
  const auto seal = l.order<effects::seal_file>();
  l.r().settled(l.c.time(), segment_id{7}, record_offset{2});  // others sealed more
  l.take();
  CHECK(l.r().busy_with(segment_id{7}));
  CHECK(!l.r().busy_with(segment_id{8}));
  l.r().sealed(l.c.time(), seal.number, error{errc::corrupted, "no border of batches"});
  CHECK(!l.r().busy_with(segment_id{7}));
}

TEST_CASE("while a sealed copy is read back nothing is said of it, however often it is asked for") {
  // A draft answered the second request to read it back with what it had sealed unread, which the simulator found.
  lone l;
  l.open(3);
  l.ask(lone::batch(0, 0), 3);
  auto write = l.order<effects::write_batches>();
  REQUIRE(l.c.at(1).files->append(write.segment, 0, write.batches.view()));
  const auto sync = l.order<effects::sync_file>();
  l.r().synced(l.c.time(), sync.number);
  l.take();
  l.said.clear();
  const extent length{1, batch_size};
  l.ask(seal_request{length, false}, 3);
  const auto unread = l.order<effects::seal_file>();
  l.r().sealed(l.c.time(), unread.number, l.c.at(1).files->seal(segment_id{7}, length, false));
  l.take();
  REQUIRE(l.answer<seal_response>().why == refusal::none);
  l.c.at(1).files->find(segment_id{7})->flip(4096 + batch_size - 1, 1);
  l.ask(seal_request{length, true}, 3);
  const auto read_back = l.order<effects::seal_file>();
  REQUIRE(read_back.verify);
  l.ask(seal_request{length, true}, 3);
  CHECK(l.said.empty());
  CHECK(l.orders.empty());
  l.r().sealed(l.c.time(), read_back.number, l.c.at(1).files->seal(segment_id{7}, length, true));
  l.take();
  CHECK(l.answer<seal_response>().why == refusal::damaged);
  CHECK(l.said.empty());
}

TEST_CASE("orders that are void once a write has failed do not keep the segment busy") {
  log_cluster c(1, 1, 1, sync_policy::seal);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1)));
  c.disk_is_full = [](std::uint8_t) { return true; };
  const auto id = c.open().id;
  c.append(1, 2);
  CHECK(!c.at(1).replica->busy_with(id));
}

TEST_CASE("readers get what is below the mark, wait for more, and are told when nothing comes") {
  log_cluster c(2);
  c.lead(1);
  REQUIRE(c.acknowledged(c.append(1, 1, "first\n")));
  std::vector<read_response> got;
  c.drop = [&](const message& m) {
    if (const auto* r = std::get_if<read_response>(&m.body)) got.push_back(*r);
    return std::holds_alternative<read_response>(m.body);
  };
  const auto ask = [&](std::uint64_t from, std::uint32_t wait_ms) {
    message m{c.cluster,
              {},
              c.open().replicas[1],
              c.where,
              c.open().id,
              {},
              5,
              read_request{record_offset{from}, 1000, wait_ms}};
    c.at(m.to.member.value.octets[0]).replica->receive(c.time(), m);
    c.settle();
  };
  ask(0, 0);  // a replica beside the leader's hears of the mark a little later, or with the next append
  REQUIRE(got.size() == 1);
  CHECK(got[0].batches.empty());
  got.clear();
  c.pass(5ms);
  ask(0, 0);
  REQUIRE(got.size() == 1);
  CHECK(got[0].visible == record_offset{1});
  CHECK(got[0].batches.view().find("first\n") != bytes_view::npos);
  ask(1, 0);
  REQUIRE(got.size() == 2);
  CHECK(got[1].batches.empty());
  ask(1, 1000);
  CHECK(got.size() == 2);
  REQUIRE(c.acknowledged(c.append(1, 2, "second\n")));
  c.pass(5ms);
  REQUIRE(got.size() == 3);
  CHECK(got[2].batches.view().find("second\n") != bytes_view::npos);
  ask(2, 50);
  c.pass(100ms);
  REQUIRE(got.size() == 4);
  CHECK(got[3].batches.empty());
}
