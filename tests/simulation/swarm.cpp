#include <tests/simulation/swarm.hpp>

namespace troupe::simulation {

namespace {
/// Half of the runs do without a fault; in the others it comes on average once in `low` to `high`.
sim_time now_and_then(random_source& random, sim_time low, sim_time high) {
  return random.coin() ? 0 : random.between(low, high);
}
}  // namespace

swarm swarm::of(random_source& random, std::optional<kind> of_kind) {
  swarm s;
  constexpr std::size_t voters[] = {1, 3, 3, 3, 3, 5, 5, 2, 4};
  s.voters = voters[random.below(9)];
  s.nodes = s.voters + random.below(s.voters >= 4 ? 2 : 3);
  s.fault_time = random.between(4, 10) * second;

  s.delay_max = random.coin() ? random.between(1, 3) * millisecond : random.between(5, 40) * millisecond;
  if (random.coin()) {
    s.tail_per_mille = static_cast<std::uint64_t>(random.between(1, 60));
    s.tail_delay_max = random.coin() ? random.between(50, 400) * millisecond : random.between(500, 4000) * millisecond;
  }
  if (random.coin()) s.loss_per_mille = random.below(150);
  if (random.coin()) s.duplicate_per_mille = random.below(100);
  s.disk_max = random.coin() ? random.between(1, 5) * millisecond : random.between(5, 60) * millisecond;

  s.partitions = now_and_then(random, 500 * millisecond, 3 * second);
  s.one_way_cuts = now_and_then(random, 500 * millisecond, 3 * second);
  s.leader_cuts = now_and_then(random, 300 * millisecond, 2 * second);
  s.crashes = now_and_then(random, 200 * millisecond, 2 * second);
  s.power_losses = now_and_then(random, 1 * second, 5 * second);
  s.pauses = now_and_then(random, 300 * millisecond, 2 * second);
  s.slow_disks = now_and_then(random, 500 * millisecond, 3 * second);
  s.failing_syncs = now_and_then(random, 1 * second, 5 * second);
  s.wipes = now_and_then(random, 500 * millisecond, 3 * second);
  s.transfers = now_and_then(random, 300 * millisecond, 3 * second);
  s.membership = now_and_then(random, 20 * millisecond, 1 * second);
  s.restart_max = random.coin() ? random.between(10, 150) * millisecond : random.between(200, 3000) * millisecond;
  s.fault_duration_max = random.between(100, 3000) * millisecond;

  s.clients = 1 + random.below(6);
  s.think_max = random.coin() ? random.between(1, 20) * millisecond : random.between(20, 200) * millisecond;
  s.read_per_mille = 100 + random.below(700);
  if (random.per_mille(200)) s.padding_max = 1 + random.below(3000);
  if (random.per_mille(150)) s.burst = 20 + random.below(100);
  s.snapshot_every = random.per_mille(600) ? 5 + random.below(200) : 0;

  auto& r = s.raft;
  r.reads = random.coin() ? consensus::read_mode::lease : consensus::read_mode::read_index;
  if (r.reads == consensus::read_mode::lease) {
    r.clock_drift_ppm_max = 20'000;
    s.skew_ppm =
        static_cast<std::int64_t>(random.below(9'900));  // either way, so that two differ by less than the bound
  } else {
    s.skew_ppm = static_cast<std::int64_t>(random.below(random.coin() ? 10'000 : 200'000));
  }
  r.heartbeat_interval = std::chrono::milliseconds(random.between(30, 60));
  r.election_timeout = std::chrono::milliseconds(random.between(120, 400));
  r.disk_stall_max = std::chrono::milliseconds(random.between(100, 600));
  if (random.coin()) {
    r.batch_entries_max = 1 + random.below(8);
    r.appends_in_flight_max = 1 + random.below(8);
  }
  if (random.coin()) r.uncommitted_entries_max = 16 + random.below(200);
  if (random.coin()) r.reads_waiting_max = 8 + random.below(50);
  r.held_messages_max = 16 + random.below(1000);
  if (random.coin()) r.snapshot_chunk_bytes = 2000 + random.below(6000);
  r.entries_kept_behind_snapshot = random.below(random.coin() ? 4 : 60);
  r.learner_lag_max = 4 + random.below(60);
  constexpr kind kinds[] = {kind::mixture,           kind::mixture,
                            kind::mixture,           kind::mixture,
                            kind::mixture,           kind::elections_collide,
                            kind::elections_collide, kind::changes_of_voters,
                            kind::long_cuts,         kind::dances,
                            kind::late_snapshots,    kind::votes_on_slow_disks};
  const auto chosen = kinds[random.below(std::size(kinds))];
  switch (of_kind.value_or(chosen)) {
    case kind::mixture:
      break;
    case kind::elections_collide:
      s.make_elections_collide(random);
      break;
    case kind::changes_of_voters:
      s.make_a_storm_of_changes(random);
      break;
    case kind::long_cuts:
      s.make_long_cuts(random);
      break;
    case kind::dances:
      s.make_dances(random);
      break;
    case kind::late_snapshots:
      s.make_snapshots_late(random);
      break;
    case kind::votes_on_slow_disks:
      s.make_votes_slow(random);
      break;
  }
  return s;
}

/// Followers that were away for a while get the state as a whole, in one message that may come twice, the second time
/// when much has been committed since.
void swarm::make_snapshots_late(random_source& random) {
  if (voters < 3) voters = 3;
  nodes = std::max(nodes, voters);
  snapshot_every = 4 + random.below(12);
  raft.entries_kept_behind_snapshot = random.below(3);
  raft.snapshot_chunk_bytes = 60'000;
  duplicate_per_mille = 200 + random.below(300);
  tail_per_mille = 50 + random.below(150);
  tail_delay_max = random.between(100, 1200) * millisecond;
  pauses = random.between(150, 500) * millisecond;
  partitions = random.between(300, 900) * millisecond;
  fault_duration_max = random.between(100, 400) * millisecond;
  restart_max = random.between(5, 100) * millisecond;
  think_max = random.between(10, 40) * millisecond;
  fault_time = random.between(3, 6) * second;
}

void swarm::make_votes_slow(random_source& random) {
  make_elections_collide(random);
  cut_at_election = false;
  voters = nodes = 3;
  disk_max = random.between(15, 60) * millisecond;
  delay_max = random.between(10, 40) * millisecond;
  crash_after_vote_per_mille = 150 + random.below(300);
  restart_max = random.between(1, 10) * millisecond;
  leader_cuts = random.between(100, 250) * millisecond;
  membership = wipes = slow_disks = pauses = transfers = 0;
}

/// Leases that matter: a leader is cut off again and again, its clients stay with it, and the others elect quickly, for
/// they are many and their network is quick.
void swarm::make_long_cuts(random_source& random) {
  voters = nodes = 5;
  raft.reads = consensus::read_mode::lease;
  raft.clock_drift_ppm_max = 20'000;
  skew_ppm = static_cast<std::int64_t>(random.below(9'900));
  raft.election_timeout = std::chrono::milliseconds(random.between(200, 400));
  raft.heartbeat_interval = raft.election_timeout / 8;
  delay_max = random.between(300, 1500) * microsecond;
  disk_max = random.between(300, 1500) * microsecond;
  tail_per_mille = loss_per_mille = 0;
  partitions = one_way_cuts = power_losses = slow_disks = failing_syncs = wipes = transfers = membership = 0;
  crashes = pauses = 0;
  leader_cuts = random.between(800, 1600) * millisecond;
  fault_duration_max = random.between(1200, 2400) * millisecond;
  clients = 6;
  think_max = random.between(2, 8) * millisecond;
  fault_time = random.between(4, 8) * second;
}

void swarm::make_dances(random_source& random) {
  voters = 4;
  nodes = 5;
  raft.election_timeout = std::chrono::milliseconds(random.between(60, 150));
  raft.heartbeat_interval = raft.election_timeout / 4;
  raft.reads = consensus::read_mode::read_index;
  raft.learner_lag_max = 1000;
  delay_max = random.between(300, 3000) * microsecond;
  disk_max = random.between(300, 3000) * microsecond;
  tail_per_mille = loss_per_mille = 0;
  partitions = one_way_cuts = leader_cuts = power_losses = slow_disks = failing_syncs = wipes = transfers = 0;
  crashes = pauses = membership = 0;
  dances = random.between(200, 500) * millisecond;
  snapshot_every = 0;
  fault_time = random.between(5, 9) * second;
}

/// Impatient followers, slow messages: several candidates a term, votes that cross, voters that crash between two of
/// them.
void swarm::make_elections_collide(random_source& random) {
  raft.election_timeout = std::chrono::milliseconds(random.between(30, 80));
  raft.heartbeat_interval = raft.election_timeout / 4;
  raft.reads = consensus::read_mode::read_index;  // a voter with a lease to keep does not vote after a restart
  delay_max = random.between(10, 50) * millisecond;
  disk_max = random.between(1, 4) * millisecond;
  leader_cuts = random.between(150, 400) * millisecond;
  fault_duration_max = random.between(200, 800) * millisecond;
  crash_after_vote_per_mille = 100 + random.below(500);
  restart_max = random.between(5, 30) * millisecond;
  if (voters < 3) voters = 3;
  if (random.coin()) {
    cut_at_election = true;
    crash_after_vote_per_mille = 0;
    if (random.coin()) voters = 5;
    raft.batch_entries_max = 1;
    think_max = std::max(think_max, 20 * millisecond);  // or a learner would not catch up one entry at a time
    membership = wipes = 0;
    raft.appends_in_flight_max = 1 + random.below(2);
    fault_duration_max = random.between(100, 300) * millisecond;
  }
  nodes = std::max(nodes, voters);
}

/// Leaders that come and go while voters are exchanged one by one; even numbers of voters, where majorities overlap
/// least.
void swarm::make_a_storm_of_changes(random_source& random) {
  constexpr std::size_t start[] = {2, 3, 4, 4};
  voters = start[random.below(4)];
  nodes = voters + 1 + random.below(2);
  raft.reads = consensus::read_mode::read_index;
  raft.election_timeout = std::chrono::milliseconds(random.between(60, 150));
  raft.heartbeat_interval = raft.election_timeout / 4;
  raft.learner_lag_max = 1000;
  delay_max = random.between(2, 10) * millisecond;
  disk_max = random.between(1, 4) * millisecond;
  tail_per_mille = 0;
  membership = random.between(20, 150) * millisecond;
  change_members_at_election = true;
  leader_cuts = random.between(150, 500) * millisecond;
  one_way_cuts = partitions = wipes = power_losses = slow_disks = failing_syncs = 0;
  fault_duration_max = random.between(200, 900) * millisecond;
  snapshot_every = 0;
}

std::string swarm::describe() const {
  const auto ms = [](sim_time t) { return std::to_string(t / millisecond); };
  std::string out = std::to_string(nodes) + " members, " + std::to_string(voters) + " voters, " +
                    (raft.reads == consensus::read_mode::lease ? "lease" : "ReadIndex") + " reads, delay to " +
                    ms(delay_max) + " ms, loss " + std::to_string(loss_per_mille) + " ‰, disk to " + ms(disk_max) +
                    " ms, snapshot every " + std::to_string(snapshot_every) + "; faults every (ms):";
  const std::pair<const char*, sim_time> faults[] = {
      {"partition", partitions}, {"one-way cut", one_way_cuts},    {"leader cut", leader_cuts},
      {"crash", crashes},        {"power loss", power_losses},     {"pause", pauses},
      {"slow disk", slow_disks}, {"failing fsync", failing_syncs}, {"wipe", wipes},
      {"transfer", transfers},   {"membership", membership}};
  for (const auto& [name, every] : faults)
    if (every != 0) out += std::string(" ") + name + " " + ms(every);
  return out;
}

}  // namespace troupe::simulation
