#include <tests/simulation/log/world.hpp>

/// A member: its starts and ends.
namespace troupe::simulation::log {

using namespace consensus;

replication::moment world::moment_of(const member& m) const {
  return {local(m), 1'700'000'000'000 + time_.now() / millisecond + m.wall_off_ms};
}

void world::later(member& m, sim_time delay, std::function<void()> what) {
  time_.after(delay, [&m, start = m.start, what = std::move(what)] {
    if (m.start == start) m.deliver(what, false);
  });
}

void world::start(member& m) {
  if (m.up) return;
  m.id = process::id_of(m.slot, m.generation);
  if (auto opened = m.raft_disk->reopen(); !opened)
    return check_.fail(m.name() + " refuses its disk: " + opened.error().message());
  auto found = m.raft_disk->load(m.generation == 0 ? first_voters_ : configuration{});
  if (!found) return check_.fail(m.name() + " refuses its disk: " + found.error().message());
  m.up = true;
  m.paused = false;
  ++m.start;
  m.self = {m.id, incarnation{++m.files->incarnation}};
  m.registered = false;
  m.state = std::make_unique<metadata::state>();
  if (found->latest.index.value != 0 && found->latest.state) {
    auto restored = metadata::state::restore(*found->latest.state);
    if (!restored) return check_.fail(m.name() + " can't restore its metadata: " + restored.error().message());
    *m.state = std::move(*restored);
  }
  m.snapshot_at = found->latest.index;
  auto options = swarm_.raft;
  options.cluster = cluster_;
  options.self = m.id;
  options.seed = random_.next();
  m.raft = std::make_unique<raft>(options, std::move(*found), local(m));
  m.voters = m.raft->members();
  auto of_replica = swarm_.replica;
  of_replica.cluster = cluster_;
  of_replica.self = m.self;
  of_replica.bug = bug_.in_room;
  m.replica = std::make_unique<replication::replica>(of_replica, m.files->promises, moment_of(m));
  m.repairs = std::make_unique<replication::repair_planner>(
      replication::repair_options{.tasks_max = 4, .next_target_after = std::chrono::seconds(1)});
  m.replica_timer.reset();
  m.jobs = std::make_unique<job_host>(2);
  trace([&] { return m.name() + " starts, incarnation " + to_string(m.self.incarnation); });
  carry_out_raft(m);
  register_self(m);
  // Whoever wants the dataset asks until it is there: what the member was asked went with its process.
  if (m.start > 1 && dataset_ == dataset_id{}) ask_for_dataset(m);
  later(m, static_cast<sim_time>(random_.below(upkeep_interval)), [this, &m] { upkeep(m); });
  if (swarm_.jobs != 0) later(m, 100 * millisecond, [this, &m] { tick_jobs(m); });
}

/// Proposes itself until metadata knows it as it runs now.
void world::register_self(member& m) {
  metadata::member who;
  who.id = m.id;
  who.address = "127.0.0.1:" + std::to_string(20000 + m.slot);
  who.incarnation = m.self.incarnation;
  who.slots = 2;
  who.name = "node" + std::to_string(m.slot + 1) + "." + std::to_string(m.generation);
  propose(m, metadata::register_member{who}, [this, &m](const auto& answer) {
    if (answer) {
      m.registered = true;
    } else {
      check_.fail(m.name() + " may not register: " + answer.error().message());
    }
  });
}

void world::crash(member& m, bool power) {
  if (!m.up) return;
  trace([&] { return m.name() + (power ? " loses power" : " crashes"); });
  ++out_.crashes;
  for (std::size_t i = 0; i < m.raft_queue.size() && m.raft_writing; ++i) {
    m.raft_disk->write_torn(m.raft_queue[i], random_);
    break;
  }
  m.raft_queue.clear();
  m.raft_writing = false;
  m.disk_queue.clear();
  m.disk_busy = false;
  // With policy `seal` a process that ends leaves what it wrote to the kernel; only a loss of power takes it.
  if (power && swarm_.sync == metadata::sync_policy::seal) lose_tails(m);
  if (power || swarm_.sync == metadata::sync_policy::batch) m.files->lose_power(random_);
  m.sync_fails = false;
  m.end();
  m.raft.reset();
  m.replica.reset();
  m.leaders.clear();
  m.jobs = std::make_unique<job_host>(2);
  m.proposals.clear();
  m.copying.clear();
  m.removals.clear();
  m.registered = false;
  lost_connection(m);
}

/// With policy `seal` a segment's tail may go with the power of all its replicas that have no rot, and only then: what
/// stands behind a rotten batch cannot be told from what was never written, so a rotten copy keeps no tail either.
void world::lose_tails(member& m) {
  const auto* s = truth();
  if (s == nullptr) return;
  for (const auto& [id, f] : m.files->all()) {
    const auto open = replicas_.find(id);
    if (open == replicas_.end()) continue;
    auto& gone = powerless_[id];
    gone.insert(m.id);
    const auto is_lost = [&, segment = id](const auto& who) {
      return gone.contains(who) || !is_intact(segment, who, *s);
    };
    if (std::all_of(open->second.begin(), open->second.end(), is_lost)) check_.forgive(id);
  }
}

void world::crash_for_a_while(member& m, bool power) {
  if (!m.up) return;
  crash(m, power);
  time_.after(random_.between(1 * millisecond, swarm_.restart_max), [this, &m] { start(m); });
}

void world::wipe(member& m) {
  crash(m, true);
  trace([&] { return m.name() + " loses its disk"; });
  ++out_.wipes;
  const auto kept = m.files->incarnation;
  m.raft_disk->wipe();
  m.files->wipe();
  if (bug_.in_owner == owner_bug::wiped_keeps_identity)
    m.files->incarnation = kept;
  else
    ++m.generation;
  m.id = process::id_of(m.slot, m.generation);
  m.voters = {};
}

void world::pause(member& m, sim_time how_long) {
  if (!m.up || m.paused) return;
  trace([&] { return m.name() + " hangs for " + std::to_string(how_long / millisecond) + " ms"; });
  m.paused = true;
  time_.after(how_long, [this, &m, start = m.start] {
    if (m.start == start) resume(m);
  });
}

void world::resume(member& m) {
  if (!m.paused) return;
  trace([&] { return m.name() + " goes on"; });
  m.resume();
}

}  // namespace troupe::simulation::log
