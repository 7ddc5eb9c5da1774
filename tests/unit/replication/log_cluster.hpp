#pragma once
#include <deque>
#include <functional>
#include <support/catch.hpp>
#include <tests/simulation/log/files.hpp>
#include <troupe/metadata/state.hpp>
#include <troupe/replication/leader.hpp>
#include <troupe/replication/replica.hpp>

/// Members with replicas, one partition and its leaders, on disks that keep what was synced; metadata that commits at
/// once. Nothing moves by itself: `settle` carries everything out, and a test holds back what it likes.
namespace troupe::replication::testing {

using simulation::log::segment_files;

inline member_id member_number(std::uint8_t n) {
  member_id id;
  id.value.octets[0] = n;
  return id;
}
inline uuid producer_number(std::uint8_t n) {
  uuid id;
  id.octets[0] = n;
  id.octets[1] = 0x77;
  return id;
}

struct log_cluster {
  struct node {
    member_id id;
    std::uint64_t incarnation = 0;
    std::unique_ptr<segment_files> files;
    std::unique_ptr<replication::replica> replica;
    bool up = false;
    [[nodiscard]] replica_ref ref() const { return {id, troupe::incarnation{incarnation}}; }
  };

  cluster_id cluster{member_number(99).value};
  metadata::state state;
  std::int64_t wall_ms = 1'000'000;
  time_point now{};
  std::vector<node> nodes;
  std::unique_ptr<log_leader> leader;
  std::uint8_t leader_node = 0;
  partition_key where{dataset_id{1}, partition_index{0}};
  leader_options options;
  replica_options replicas;
  std::deque<message> wire;
  std::function<bool(const message&)> drop = [](const message&) { return false; };
  std::function<bool(const message&)> hold = [](const message&) { return false; };
  std::deque<message> held;
  std::function<bool(std::uint8_t)> disk_is_full = [](std::uint8_t) { return false; };
  std::function<bool(std::uint8_t)> no_room = [](std::uint8_t) { return false; };  ///< for another file
  bool syncs = true;                                                               ///< false: sync orders wait
  std::deque<std::function<void()>> waiting_syncs;
  std::map<append_id, result<effects::appended>> answers;
  std::uint64_t next_append = 0;
  std::vector<std::string> reports, alarms;
  std::optional<std::string> stopped;
  metadata::command last_proposal;

  explicit log_cluster(std::size_t members, std::uint32_t copies = 2, std::uint32_t min_copies = 1,
                       sync_policy sync = sync_policy::batch) {
    nodes.resize(members);
    for (std::size_t i = 0; i < members; ++i) {
      nodes[i].id = member_number(static_cast<std::uint8_t>(i + 1));
      nodes[i].files = std::make_unique<segment_files>(cluster);
      start(static_cast<std::uint8_t>(i + 1));
    }
    metadata::create_dataset c;
    c.name = "clicks";
    c.copies = copies;
    c.log.min_copies = min_copies;
    c.log.sync = sync;
    must(c);
  }

  node& at(std::uint8_t n) { return nodes[n - 1u]; }
  [[nodiscard]] moment time() const { return {now, wall_ms}; }

  result<metadata::response> apply(metadata::command what) {
    metadata::envelope e;
    e.at_unix_ms = wall_ms;
    std::optional<segment_id> sealed;
    if (const auto* c = std::get_if<metadata::seal_and_open>(&what); c != nullptr && c->seal) sealed = c->seal->id;
    e.command = std::move(what);
    auto answer = state.apply(state.applied().next(), e);
    if (sealed && answer)
      for (auto& n : nodes)
        if (n.up) {
          const auto* g = state.find_segment(*sealed);
          n.replica->settled(time(), *sealed, g ? std::optional(record_offset{g->records}) : std::nullopt);
        }
    return answer;
  }
  metadata::response must(metadata::command what) {
    auto answer = apply(std::move(what));
    REQUIRE_OK(answer);
    return *answer;
  }

  void start(std::uint8_t n) {
    auto& m = at(n);
    m.up = true;
    ++m.incarnation;
    metadata::member who;
    who.id = m.id;
    who.name = "node" + std::to_string(n);
    who.address = "127.0.0.1:" + std::to_string(20'000 + n);
    who.incarnation = incarnation{m.incarnation};
    must(metadata::register_member{who});
    auto with = replicas;
    with.cluster = cluster;
    with.self = m.ref();
    m.replica = std::make_unique<replica>(with, m.files->promises, time());
  }
  /// kill -9 and loss of power: what was not synced is gone.
  void crash(std::uint8_t n) {
    auto& m = at(n);
    m.up = false;
    m.replica.reset();
    for (const auto& [id, f] : std::map(m.files->all())) m.files->find(id)->cut(f.synced);
    if (leader_node == n) leader.reset();
  }
  void restart(std::uint8_t n) {
    crash(n);
    start(n);
  }
  void declare_dead(std::uint8_t n) {
    must(metadata::set_member_state{at(n).id, incarnation{at(n).incarnation}, metadata::member_state::dead, "silent"});
  }

  /// `gone`: seen before it began.
  void lead(std::uint8_t n, bool old_leader_gone = true, std::vector<std::uint8_t> gone = {}) {
    auto with = options;
    with.cluster = cluster;
    with.self = at(n).ref();
    with.where = where;
    leader = std::make_unique<log_leader>(with);
    leader_node = n;
    stopped.reset();
    leader->start(time(), state, old_leader_gone);
    for (const auto other : gone) leader->member_lost(time(), state, at(other).id);
    settle();
  }

  append_id append(std::uint8_t producer, std::uint64_t sequence, std::string text = "line\n",
                   std::uint32_t count = 1) {
    const append_id id{++next_append};
    last_refusal.reset();
    auto taken = leader->append(time(), state, id, producer == 0 ? uuid{} : producer_number(producer), sequence, count,
                                shared_bytes(std::move(text)));
    if (!taken) last_refusal = taken.error();
    settle();
    return id;
  }
  std::optional<error> last_refusal;
  [[nodiscard]] bool acknowledged(append_id id) const { return answers.contains(id) && answers.at(id).has_value(); }
  [[nodiscard]] std::uint64_t offset_of(append_id id) const { return answers.at(id)->first_offset.value; }

  /// Lets time pass, in steps small enough for every timer.
  void pass(duration how_long) {
    for (const auto end = now + how_long; now < end;) {
      now += std::chrono::milliseconds(10);
      wall_ms += 10;
      if (leader) leader->tick(time(), state);
      for (auto& n : nodes)
        if (n.up) n.replica->tick(time());
      settle();
    }
  }
  void release_held() {
    for (auto& m : std::exchange(held, {})) wire.push_back(std::move(m));
    settle();
  }
  void metadata_changed() {
    if (leader) leader->metadata_changed(time(), state);
    settle();
  }

  void settle() {
    for (int rounds = 0; rounds < 10'000; ++rounds) {
      bool any = false;
      for (auto& n : nodes)
        if (n.up)
          for (auto& e : n.replica->take_effects()) perform(n, e), any = true;
      if (leader)
        for (auto& e : leader->take_effects()) {
          perform(e);
          any = true;
          if (!leader) break;
        }
      if (!wire.empty()) {
        auto m = std::move(wire.front());
        wire.pop_front();
        deliver(m);
        any = true;
      }
      if (!any) return;
    }
    FAIL("the cluster does not come to rest");
  }
  void deliver(const message& m) {
    // Through the codec, as over a connection.
    auto decoded = decode_message(std::make_shared<const bytes>(encode_message(m).joined()));
    REQUIRE_OK(decoded);
    const bool request = m.body.index() % 2 == 0;
    for (auto& n : nodes) {
      if (n.id != m.to.member || !n.up) continue;
      if (request)
        n.replica->receive(time(), *decoded);
      else if (leader && at(leader_node).id == n.id)
        leader->receive(time(), state, *decoded);
    }
  }
  void post(const message& m) {
    if (drop(m)) return;
    if (hold(m))
      held.push_back(m);
    else
      wire.push_back(m);
  }
  void perform(node& n, replica_effect& e) {
    const auto number = static_cast<std::uint8_t>(&n - nodes.data() + 1);
    if (auto* s = std::get_if<effects::send>(&e)) return post(s->what);
    if (auto* r = std::get_if<effects::report>(&e)) return reports.push_back(r->what);
    if (auto* c = std::get_if<effects::create_file>(&e)) {
      if (no_room(number))
        return n.replica->created(time(), c->number, error{errc::resource_exhausted, "No space left on device"});
      return n.replica->created(time(), c->number, n.files->create(n.id, *c));
    }
    if (auto* w = std::get_if<effects::write_batches>(&e)) {
      if (disk_is_full(number))
        return n.replica->write_failed(time(), w->segment, error{errc::resource_exhausted, "no space left"});
      REQUIRE(n.files->append(w->segment, w->at.bytes, w->batches.view()));
      if (w->number.value != 0) n.replica->written(time(), w->number);
    }
    if (auto* s = std::get_if<effects::sync_file>(&e)) {
      const auto size = n.files->size(s->segment);
      auto sync = [this, &n, s = *s, size, started = n.incarnation] {
        if (!n.up || n.incarnation != started) return;
        n.files->sync(s.segment, size);
        n.replica->synced(time(), s.number);
      };
      if (syncs)
        sync();
      else
        waiting_syncs.push_back(sync);
    }
    if (auto* p = std::get_if<effects::keep_promise>(&e)) {
      n.files->promises[p->segment] = p->epoch;
      n.replica->promised(time(), p->number);
    }
    if (auto* i = std::get_if<effects::inspect_file>(&e))
      n.replica->inspected(time(), i->number, n.files->inspect(i->segment, i->floor));
    if (auto* s = std::get_if<effects::seal_file>(&e))
      n.replica->sealed(time(), s->number, n.files->seal(s->segment, s->length, s->verify));
    if (auto* f = std::get_if<effects::read_footer>(&e))
      n.replica->footer_read(time(), f->number, n.files->footer(f->segment));
    if (auto* r = std::get_if<effects::read_batches>(&e)) {
      auto found = n.files->read(r->segment, r->from, r->below, r->bytes_max);
      n.replica->batches_read(time(), r->number,
                              found ? result<shared_bytes>(shared_bytes(*found)) : result<shared_bytes>(found.error()));
    }
    if (auto* r = std::get_if<effects::release_file>(&e); r != nullptr && r->forget_promise)
      n.files->promises.erase(r->segment);
  }
  void do_syncs() {
    for (auto& sync : std::exchange(waiting_syncs, {})) sync();
    settle();
  }
  void perform(leader_effect& e) {
    if (auto* s = std::get_if<effects::send>(&e)) return post(s->what);
    if (auto* p = std::get_if<effects::propose>(&e)) {
      last_proposal = p->what;
      const auto answer = apply(p->what);
      if (leader) leader->answered(time(), state, p->number, answer);
      return;
    }
    if (auto* a = std::get_if<effects::answer_append>(&e)) answers.insert_or_assign(a->id, a->answer);
    if (auto* r = std::get_if<effects::report>(&e)) (r->alarm ? alarms : reports).push_back(r->what);
    if (auto* s = std::get_if<effects::stopped>(&e)) {
      stopped = s->why;
      leader.reset();
    }
  }

  [[nodiscard]] const metadata::partition& partition() const {
    return state.find_dataset(where.dataset)->partitions[where.partition.value];
  }
  [[nodiscard]] const metadata::open_segment& open() const { return *partition().log.open; }
  [[nodiscard]] std::uint64_t sealed_records() const {
    std::uint64_t sum = 0;
    for (const auto& g : partition().segments) sum += g.records;
    return sum;
  }
};

}  // namespace troupe::replication::testing
