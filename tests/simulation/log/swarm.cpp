#include <tests/simulation/log/swarm.hpp>

namespace troupe::simulation::log {

namespace {
sim_time now_and_then(random_source& random, sim_time low, sim_time high) {
  return random.coin() ? 0 : random.between(low, high);
}
}  // namespace

swarm swarm::of(random_source& random, std::optional<kind> of_kind) {
  using std::chrono::milliseconds;
  swarm s;
  constexpr std::size_t members[] = {2, 3, 3, 3, 4, 4, 5};
  s.members = members[random.below(7)];
  s.copies = static_cast<std::uint32_t>(1 + random.below(std::min<std::size_t>(s.members, 3)));
  if (s.copies == 1 && random.coin()) s.copies = 2;
  s.min_copies = static_cast<std::uint32_t>(1 + random.below(s.copies));
  s.partitions = static_cast<std::uint32_t>(1 + random.below(2));
  if (random.per_mille(150)) s.sync = metadata::sync_policy::seal;
  if (random.per_mille(200)) s.keep_bytes = 2000 + random.below(20'000);
  s.fault_time = random.between(1500, 4000) * millisecond;

  s.delay_max = random.coin() ? random.between(200, 1000) * microsecond : random.between(2, 15) * millisecond;
  if (random.coin()) {
    s.tail_per_mille = 1 + random.below(40);
    s.tail_delay_max = random.coin() ? random.between(50, 300) * millisecond : random.between(300, 2000) * millisecond;
  }
  if (random.coin()) s.loss_per_mille = random.below(150);
  if (random.coin()) s.duplicate_per_mille = random.below(100);
  s.disk_max = random.coin() ? random.between(200, 2000) * microsecond : random.between(2, 20) * millisecond;
  s.skew_ppm = static_cast<std::int64_t>(random.below(10'000));
  s.wall_off_ms = random.coin() ? 0 : random.between(1, 5000);

  s.partitions_of_network = now_and_then(random, 300 * millisecond, 2 * second);
  s.one_way_cuts = now_and_then(random, 300 * millisecond, 2 * second);
  s.leader_cuts = now_and_then(random, 200 * millisecond, 1500 * millisecond);
  s.crashes = now_and_then(random, 100 * millisecond, 1500 * millisecond);
  s.power_losses = now_and_then(random, 500 * millisecond, 3 * second);
  s.pauses = now_and_then(random, 200 * millisecond, 1500 * millisecond);
  s.slow_disks = now_and_then(random, 300 * millisecond, 2 * second);
  s.failing_syncs = now_and_then(random, 500 * millisecond, 3 * second);
  s.full_disks = now_and_then(random, 300 * millisecond, 2 * second);
  s.bit_flips = now_and_then(random, 50 * millisecond, 600 * millisecond);
  s.wipes = now_and_then(random, 200 * millisecond, 1500 * millisecond);
  s.clock_jumps = now_and_then(random, 200 * millisecond, 2 * second);
  s.take_overs = now_and_then(random, 100 * millisecond, 1500 * millisecond);
  s.drains = random.per_mille(200) ? random.between(300, 1500) * millisecond : 0;
  s.restart_max = random.coin() ? random.between(5, 100) * millisecond : random.between(100, 1500) * millisecond;
  s.fault_duration_max = random.between(50, 1500) * millisecond;

  s.producers = 1 + random.below(4);
  s.think_max = random.coin() ? random.between(2, 20) * millisecond : random.between(20, 100) * millisecond;
  s.records_max = 1 + random.below(4);
  s.filler_max = random.per_mille(200) ? 400 : 30;
  if (random.per_mille(100)) s.burst = 20 + random.below(60);
  s.snapshot_every = random.per_mille(300) ? 20 + random.below(60) : 0;

  auto& r = s.raft;
  r.heartbeat_interval = milliseconds(60);
  r.election_timeout = milliseconds(random.between(200, 350));
  r.disk_stall_max = milliseconds(400);
  r.entries_kept_behind_snapshot = random.below(30);

  auto& l = s.leader;
  l.segment_bytes = random.coin() ? 1500 + random.below(3000) : 4000 + random.below(30'000);
  l.grace = milliseconds(random.coin() ? 30 + static_cast<std::int64_t>(random.below(60)) : 300);
  l.resend_interval = milliseconds(random.between(20, 60));
  l.replica_silence_max = milliseconds(random.between(150, 500));
  l.suspect_time = milliseconds(random.between(200, 2000));
  l.retry_interval = milliseconds(random.between(50, 250));
  l.widen_interval = milliseconds(random.between(200, 1000));
  l.append_time_max = milliseconds(random.between(300, 3000));
  if (random.coin()) l.in_flight_bytes_max = 300 + random.below(3000);
  if (random.coin()) l.group_bytes = 200 + random.below(2000);
  if (random.coin()) {
    l.queue_requests_max = 4 + random.below(40);
    l.queue_bytes_max = 2000 + random.below(10'000);
  }
  l.clock_skew_ms_max = 500;
  s.tail_flips_per_mille = random.coin() ? 0 : 300;
  constexpr kind kinds[] = {kind::mixture,
                            kind::mixture,
                            kind::mixture,
                            kind::mixture,
                            kind::mixture,
                            kind::storm_of_take_overs,
                            kind::storm_of_take_overs,
                            kind::rotting_ends,
                            kind::late_answers,
                            kind::rotten_copies};
  const auto chosen = kinds[random.below(10)];
  switch (of_kind.value_or(chosen)) {
    case kind::mixture:
      break;
    case kind::storm_of_take_overs:
      s.make_a_storm_of_take_overs(random);
      break;
    case kind::rotting_ends:
      s.make_ends_rot(random);
      break;
    case kind::late_answers:
      s.make_answers_late(random);
      break;
    case kind::rotten_copies:
      s.make_copies_rot(random);
      break;
    case kind::late_commits:
      break;  // when there are jobs
  }
  return s;
}

/// A member asks about one segment, gives up, leads again, and is answered about the first one: answers come twice, the
/// second time much later, and segments are often empty when they are asked about. With one copy the member that asks
/// is not the one that has it.
void swarm::make_answers_late(random_source& random) {
  make_a_storm_of_take_overs(random);
  members = 2 + random.below(2);
  copies = random.per_mille(700) ? 1 : 2;
  partitions = 1;
  fault_time = 4 * second;
  take_overs = random.between(15, 45) * millisecond;
  delay_max = random.between(4, 16) * millisecond;
  duplicate_per_mille = 600 + random.below(300);
  tail_per_mille = 300 + random.below(300);
  tail_delay_max = random.between(30, 200) * millisecond;
  think_max = random.between(5, 40) * millisecond;
  disk_max = random.between(1, 6) * millisecond;
  pauses = 0;
}

/// Sealed copies go bad and members are lost for good, so that there is always something to copy, and something that
/// should not be copied.
void swarm::make_copies_rot(random_source& random) {
  if (members < 3) members = 3;
  copies = 2;
  min_copies = 1;
  sync = metadata::sync_policy::batch;
  bit_flips = random.between(15, 60) * millisecond;
  tail_flips_per_mille = 0;
  wipes = random.between(100, 400) * millisecond;
  leader.segment_bytes = 1500 + random.below(1500);
  partitions_of_network = one_way_cuts = leader_cuts = pauses = power_losses = failing_syncs = full_disks = 0;
  restart_max = random.between(5, 60) * millisecond;
}

/// Leaders that come and go while those before them go on: fencing alone has to do, among messages that come late.
void swarm::make_a_storm_of_take_overs(random_source& random) {
  if (members < 3) members = 3;
  copies = 2;
  min_copies = 1;
  sync = metadata::sync_policy::batch;
  take_overs = random.between(15, 90) * millisecond;
  delay_max = random.between(2, 20) * millisecond;
  tail_per_mille = 30 + random.below(150);
  tail_delay_max = random.between(30, 300) * millisecond;
  duplicate_per_mille = random.below(100);
  think_max = random.between(2, 8) * millisecond;
  producers = 3 + random.below(3);
  disk_max = random.between(200, 3000) * microsecond;
  pauses = random.coin() ? 0 : random.between(100, 600) * millisecond;
  crashes = wipes = power_losses = failing_syncs = full_disks = drains = 0;
  leader.grace = std::chrono::milliseconds(random.between(2, 30));
  leader.replica_silence_max = std::chrono::milliseconds(300);
}

/// The last that was acknowledged goes bad on one copy, whose member then starts again: it does not know what it had.
void swarm::make_ends_rot(random_source& random) {
  if (members < 3) members = 3;
  copies = 2;
  min_copies = 1;
  sync = metadata::sync_policy::batch;
  bit_flips = random.between(30, 150) * millisecond;
  tail_flips_per_mille = 1000;
  crashes = random.between(100, 500) * millisecond;
  pauses = random.between(100, 400) * millisecond;
  leader_cuts = random.between(100, 500) * millisecond;
  wipes = power_losses = failing_syncs = full_disks = drains = 0;
  restart_max = random.between(5, 60) * millisecond;
  leader.grace = std::chrono::milliseconds(random.between(5, 60));
  beyond_budget = random.per_mille(300);
}

void swarm::add_jobs(random_source& random, bool with_late_commits) {
  jobs = 1 + random.below(3);
  task_ms_max = random.coin() ? random.between(5, 60) : random.between(60, 400);
  if (members < 3) members = 3;
  producers = 1;
  think_max = random.between(15, 60) * millisecond;
  fault_time = random.between(1000, 2500) * millisecond;
  leader.segment_bytes = 600 + random.below(2000);
  burst = 0;
  if (with_late_commits) return make_commits_late(random);
  if (!random.per_mille(400)) return;
  // Supervisors hang and are followed by others, restarts are quick, and what was said before comes much later.
  tail_per_mille = 150 + random.below(200);
  tail_delay_max = random.between(800, 3000) * millisecond;
  duplicate_per_mille = 200 + random.below(300);
  crashes = random.between(80, 300) * millisecond;
  restart_max = random.between(5, 60) * millisecond;
  pauses = random.between(150, 500) * millisecond;
  fault_duration_max = random.between(800, 1500) * millisecond;
  task_ms_max = random.between(20, 200);
  late_commits_per_mille = 300 + random.below(400);
}

/// Members start again at once and often, so jobs change hands, while what their last supervisors committed waits
/// somewhere; and tasks take so long that it comes before their new attempts have ended.
void swarm::make_commits_late(random_source& random) {
  jobs = 3;
  fault_time = random.between(2000, 4000) * millisecond;
  crashes = random.between(80, 250) * millisecond;
  restart_max = random.between(5, 40) * millisecond;
  task_ms_max = random.between(200, 600);
  late_commits_per_mille = 700;
  partitions_of_network = one_way_cuts = leader_cuts = pauses = power_losses = 0;
  slow_disks = failing_syncs = full_disks = bit_flips = wipes = drains = 0;
}

std::string swarm::describe() const {
  const auto ms = [](sim_time t) { return std::to_string(t / millisecond); };
  std::string out = std::to_string(members) + " members, " + std::to_string(partitions) + " partitions, " +
                    std::to_string(copies) + " copies, at least " + std::to_string(min_copies) + ", sync " +
                    (sync == metadata::sync_policy::batch ? "batch" : "seal") + ", segments of " +
                    std::to_string(leader.segment_bytes) + " bytes, " + std::to_string(producers) +
                    " producers, delay to " + ms(delay_max) + " ms, loss " + std::to_string(loss_per_mille) +
                    " ‰, disk to " + ms(disk_max) + " ms; faults every (ms):";
  const std::pair<const char*, sim_time> faults[] = {{"partition", partitions_of_network},
                                                     {"one-way cut", one_way_cuts},
                                                     {"leader cut", leader_cuts},
                                                     {"crash", crashes},
                                                     {"power loss", power_losses},
                                                     {"pause", pauses},
                                                     {"slow disk", slow_disks},
                                                     {"failing fsync", failing_syncs},
                                                     {"full disk", full_disks},
                                                     {"bit flip", bit_flips},
                                                     {"wipe", wipes},
                                                     {"clock jump", clock_jumps},
                                                     {"take-over", take_overs},
                                                     {"drain", drains}};
  for (const auto& [name, every] : faults)
    if (every != 0) out += std::string(" ") + name + " " + ms(every);
  return out;
}

}  // namespace troupe::simulation::log
