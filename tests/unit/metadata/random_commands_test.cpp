#include <algorithm>
#include <random>

#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

namespace {

/// Random commands, most of them sensible: they draw names and ids from small ranges, and often from what the state
/// has.
class generator {
 public:
  explicit generator(std::uint32_t seed) : random_(seed) {}

  command next(const state& s) {
    switch (pick(36)) {
      case 32:
      case 33:
      case 34:
      case 35:
        return access_command();
      case 20:
      case 21:
      case 22:
      case 23:
      case 24:
      case 25:
      case 26:
      case 27:
        return log_command(s);
      case 28:
        return coin() ? command(drain_member{member(), coin()}) : command(remove_member{identity(), coin()});
      case 0:
        return register_member{make_member(small(), pick(6))};
      case 1:
        return set_member_state{member(), incarnation{pick(6)}, static_cast<member_state>(pick(5)), "r"};
      case 2:
      case 3: {
        begin_import b;
        b.name = name();
        b.importer = member();
        b.replace = coin();
        b.segment_ids = pick(4);
        return b;
      }
      case 4:
        return allocate_segments{dataset(s), pick(3)};
      case 5:
      case 6: {
        commit_import c;
        c.dataset = dataset(s);
        for (auto& [id, d] : s.datasets())
          if (d.state == dataset_state::creating && !d.made_by && coin()) c.dataset = id;
        c.partitions.resize(pick(3));
        for (auto& p : c.partitions)
          if (coin())
            p.segments.push_back(cluster::make_segment(segment_id{pick(400)}, pick(3) * 20 * mib, {member()}));
        return c;
      }
      case 7:
        return abort_import{dataset(s)};
      case 8:
        return delete_dataset{name()};
      case 9: {
        const segment_id id{pick(400)};
        const auto holder = member();
        const auto* g = s.find_segment(id);
        return report_damage{dataset(s), id, holder, g == nullptr || pick(4) == 0 ? log_index{} : g->made(holder)};
      }
      case 10:
        return load_module{cluster::make_module(static_cast<char>('a' + pick(3)), "m", "job", 1 + pick(2))};
      case 11:
        return coin() ? command(module_held{std::string(64, 'a'), member()}) : command(delete_module{"m"});
      case 12: {
        create_job c;
        c.job_name = "job";
        c.inputs = {name()};
        c.output = name();
        c.replace = coin();
        c.parameters["p"] = name();
        return c;
      }
      case 13:
        return start_job{job(s), epoch(s)};
      case 14:
      case 15:
      case 16:
        return task(s);
      case 17:
        return revoke_task{last_job_, epoch(s), stage_index{pick(2)}, task_index{pick(3)}, attempt_number{pick(3)}};
      case 18:
        return finish_job{job(s), epoch(s), static_cast<job_state>(pick(5)), std::nullopt, 1, 0, 0.25};
      default:
        return coin() ? command(cancel_job{job(s), "c"}) : command(noop{});
    }
  }

  command access_command() {
    const std::string id(16, static_cast<char>('a' + pick(3))), hash(64, 'a');
    switch (pick(9)) {
      case 0:
        return put_user{name(), static_cast<role>(pick(5))};
      case 1:
        return remove_user{name()};
      case 2: {
        token t;
        t.id = id;
        t.hash = hash;
        t.kind = static_cast<token_kind>(pick(10) / 2);
        t.user = name();
        t.expires_at_unix_ms = 1'000 + 60'000 * pick(5);
        t.uses_max = pick(3);
        return create_token{t};
      }
      case 3:
        return pick(4) == 0 ? command(revoke_token{id}) : command(noop{});
      case 4:
        return use_join_token{id, hash, identity()};
      case 5:
        return pick(300) == 0 ? command(revoke_member{member(), "r"}) : command(noop{});
      case 6:
        return note_certificate{member(), {60'000 * pick(5), pick(2) == 0}};
      case 7: {
        token session;
        session.id = std::string(16, static_cast<char>('a' + pick(6)));
        session.hash = hash;
        session.expires_at_unix_ms = 1'000 + 60'000 * pick(5);
        return redeem_link{id, hash, session};
      }
      default:
        return note_audit{{0, 0, name(), "127.0.0.1", "POST /x", "200"}};
    }
  }

  std::uint32_t pick(std::uint32_t below) {
    return std::uniform_int_distribution<std::uint32_t>(0, below - 1)(random_);
  }

 private:
  bool coin() { return pick(2) == 0; }
  std::uint8_t small() { return static_cast<std::uint8_t>(1 + pick(4)); }
  member_id member() { return identity_of<member_id>(small()); }
  std::string name() { return std::string(1, static_cast<char>('p' + pick(5))); }
  member_id identity() { return identity_of<member_id>(static_cast<std::uint8_t>(pick(20) == 0 ? 1 + pick(4) : 9)); }
  replica_ref replica(const state& s) {
    replica_ref r{member(), incarnation{pick(6)}};
    if (const auto* m = s.find_member(r.member); m != nullptr && pick(10) != 0) r.incarnation = m->incarnation;
    return r;
  }
  /// Of a partition that is there, mostly in the order in which a leader would give them.
  command log_command(const state& s) {
    auto id = dataset(s);
    const partition_index p{pick(2)};
    for (const auto& [other, d] : s.datasets())  // one that has grown is the more interesting one
      if (p.value < d.partitions.size() && (d.partitions[p.value].log.open || !d.partitions[p.value].segments.empty()))
        if (coin()) id = other;
    const auto* here = s.find_partition(id, p);
    const auto* d = s.find_dataset(id);
    if (here == nullptr || pick(8) == 0) {
      create_dataset c;
      c.name = name();
      c.partitions = 1 + pick(2);
      c.copies = pick(3);
      return c;
    }
    const auto& log = here->log;
    const auto e = pick(10) == 0 ? troupe::epoch{pick(5)} : log.epoch;
    const auto leader = log.leader && pick(10) != 0 ? *log.leader : replica(s);
    switch (pick(9)) {
      case 0: {
        alter_dataset a;
        a.name = d->name;
        a.copies = coin() ? 1 : 1 + pick(3);
        return a;
      }
      case 1:
        return take_over{id, p, e, replica(s), coin()};
      case 2:
        return pick(4) == 0 ? command(release_partition{id, p, e, leader})
                            : command(take_over{id, p, e, replica(s), true});
      case 3:
      case 4:
      case 5: {
        seal_and_open c{id, p, e, leader, std::nullopt, {}};
        if (log.open && pick(10) != 0) {
          sealed_segment sealed{log.open->id, 10, 100, pick(3), {1, 2}, 7, {}};
          for (const auto& r : log.open->replicas)
            if (pick(4) != 0) sealed.holders.push_back(r);
          c.seal = sealed;
        }
        for (std::uint32_t i = pick(3); i != 0; --i) c.replicas.push_back(replica(s));
        return c;
      }
      case 6: {
        if (here->segments.empty()) return noop{};
        const auto& g = here->segments[pick(static_cast<std::uint32_t>(here->segments.size()))];
        return add_holder{id, g.id, replica(s), g.holders.empty() ? member() : g.holders.front(), g.digest};
      }
      case 7: {
        if (here->segments.empty()) return noop{};
        const auto& g = here->segments[pick(static_cast<std::uint32_t>(here->segments.size()))];
        return remove_holder{id, g.id, g.holders.empty() ? member() : g.holders.back()};
      }
      default: {
        if (here->segments.empty()) return noop{};
        return trim_partition{id, p, here->segments[pick(static_cast<std::uint32_t>(here->segments.size()))].id};
      }
    }
  }
  dataset_id dataset(const state& s) {
    if (s.datasets().empty() || pick(8) == 0) return dataset_id{pick(100)};
    return std::next(s.datasets().begin(), pick(static_cast<std::uint32_t>(s.datasets().size())))->first;
  }
  job_id job(const state& s) {
    if (s.running_jobs().empty() || pick(8) == 0) return last_job_ = job_id{pick(50)};
    return last_job_ = *std::next(s.running_jobs().begin(), pick(static_cast<std::uint32_t>(s.running_jobs().size())));
  }
  troupe::epoch epoch(const state& s) {
    const auto* j = s.find_job(last_job_);
    return j != nullptr && pick(8) != 0 ? j->supervisor_epoch : troupe::epoch{pick(3)};
  }
  command task(const state& s) {
    const auto id = job(s);
    const auto* j = s.find_job(id);
    commit_task c;
    c.job = id;
    c.epoch = epoch(s);
    c.stage = stage_index{pick(2)};
    c.task = task_index{pick(4)};
    c.commit.attempt = attempt_number{1 + pick(3)};
    c.commit.where = member();
    if (const auto* m = s.find_member(c.commit.where)) c.commit.where_incarnation = m->incarnation;
    c.commit.digest = {pick(8) == 0 ? 1U : 0U, 0};
    c.commit.counters["n"] = pick(10);
    if (j != nullptr && c.stage.value + 1 == j->description.stages && coin())
      c.commit.output =
          cluster::make_segment(segment_id{j->first_segment.value + std::uint64_t{c.task.value} * attempts_per_task +
                                           c.commit.attempt.value - 1},
                                10, {member()});
    return c;
  }
  std::mt19937 random_;
  job_id last_job_{1};
};

void check_sound(const state& s) {
  std::set<std::string> ready;
  std::set<std::string> creating;
  std::set<segment_id> segments;
  for (const auto& [id, d] : s.datasets()) {
    if (d.state == dataset_state::ready) REQUIRE(ready.insert(d.name).second);
    if (d.state == dataset_state::creating) REQUIRE(creating.insert(d.name).second);
    if (d.state == dataset_state::deleting) REQUIRE(s.is_read(id));
    if (d.state == dataset_state::creating && d.made_by) REQUIRE(s.running_jobs().contains(*d.made_by));
    for (const auto& p : d.partitions)
      for (const auto& g : p.segments) {
        REQUIRE(segments.insert(g.id).second);
        REQUIRE(s.owner_of(g.id) == id);
        std::set<member_id> holders(g.holders.begin(), g.holders.end());
        REQUIRE(holders.size() == g.holders.size());
      }
    for (const auto& p : d.partitions) {
      if (!p.log.open) continue;
      REQUIRE(segments.insert(p.log.open->id).second);
      REQUIRE(s.owner_of(p.log.open->id) == id);
      REQUIRE(s.find_open(p.log.open->id) == &*p.log.open);
      REQUIRE(p.log.open->replicas.size() >= 1);
      REQUIRE(p.log.epoch >= p.log.open->epoch);
    }
  }
  std::set<std::string> names;
  for (const auto& [id, m] : s.members()) REQUIRE(names.insert(m.name).second);
  bool any_alive = false;
  for (const auto& [id, m] : s.members()) any_alive = any_alive || m.state == member_state::alive;
  for (const auto& [id, j] : s.jobs()) {
    const bool runs = j.state == job_state::queued || j.state == job_state::running;
    REQUIRE(runs == s.running_jobs().contains(id));
    REQUIRE(runs == !j.stages.empty());
    if (!runs) REQUIRE(!j.supervisor);
    if (runs && any_alive) REQUIRE(j.supervisor);
    if (runs)
      for (const auto input : j.inputs) REQUIRE(s.find_dataset(input) != nullptr);
  }
}

}  // namespace

TEST_CASE("the same random entries give the same snapshot bytes, also across a restore at any place", "[metadata]") {
  std::size_t effects = 0;
  std::set<std::size_t> kinds;
  for (std::uint32_t seed = 1; seed <= 120; ++seed) {
    INFO("seed " << seed);
    generator g(seed);
    state first;
    std::vector<envelope> log;
    for (int i = 0; i < 700; ++i) {
      envelope e{identity_of<request_id>(1), 1'000 + i, g.next(first)};
      store_le(reinterpret_cast<char*>(e.id.value.octets.data()) + 1,
               static_cast<std::uint32_t>(g.pick(20) == 0 && i > 0 ? i - 1 : i));
      log.push_back(e);
      const auto before = first.snapshot();
      const auto answer = first.apply(first.applied().next(), e);
      if (answer) {
        ++effects;
        kinds.insert(e.command.index());
      }
      check_sound(first);
    }
    // A second machine, that decodes the entries, and starts anew from a snapshot now and then.
    state second;
    for (const auto& e : log) {
      const auto decoded = codec::decode<envelope>(codec::encode(e), "entry");
      REQUIRE_OK(decoded);
      (void)second.apply(second.applied().next(), *decoded);
      if (g.pick(50) == 0) {
        auto restored = state::restore(second.snapshot());
        REQUIRE_OK(restored);
        second = std::move(*restored);
      }
    }
    REQUIRE(first.snapshot() == second.snapshot());
  }
  CHECK(effects > 5'000);
  for (std::size_t kind = 0; kind < std::variant_size_v<command>; ++kind) {
    INFO("the command at " << kind << " had no effect anywhere");
    CHECK(kinds.contains(kind));
  }
}
