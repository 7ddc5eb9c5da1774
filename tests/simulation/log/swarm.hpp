#pragma once
#include <optional>
#include <string>
#include <tests/simulation/random.hpp>
#include <tests/simulation/scheduler.hpp>
#include <troupe/consensus/options.hpp>
#include <troupe/metadata/model.hpp>
#include <troupe/replication/options.hpp>

namespace troupe::simulation::log {

/// Mistakes of a member around its replica and leaders, beside those of replication::planted_bug.
enum class owner_bug : std::uint8_t {
  none,
  repair_from_removed_holder,  ///< copies any file of that id, from whoever has one, and looks at no digest
  wiped_keeps_identity,        ///< an empty disk counts as the member that it was
  /// A seal by a leader of an earlier epoch is answered as if it counted. (Only not to look at the epoch does no harm:
  /// that a segment is sealed once is checked as well, and the replicas' promises bind both leaders to one length.)
  commit_without_epoch_check,
  job_commit_without_epoch_check,  ///< metadata takes the commits of a supervisor that was followed by another
  adoption_forgets_a_task,         ///< who goes on with a job holds a task for running that nobody runs
  output_committed_twice,          ///< that a task is committed already is not looked at
  dead_attempts_commit,            ///< nor that the node of an attempt has started again since
};

/// What one run is like; a different mixture for every seed.
struct swarm {
  std::size_t members = 3;
  std::uint32_t partitions = 1, copies = 2, min_copies = 1;
  metadata::sync_policy sync = metadata::sync_policy::batch;
  std::uint64_t keep_bytes = 0;
  sim_time fault_time = 3 * second;

  // network
  sim_time delay_min = 50 * microsecond, delay_max = 1 * millisecond;
  sim_time tail_delay_max = 0;  ///< of tail_per_mille of the messages
  std::uint64_t tail_per_mille = 0, loss_per_mille = 0, duplicate_per_mille = 0;
  // disk
  sim_time disk_min = 50 * microsecond, disk_max = 1 * millisecond;
  // clocks: ± parts per million of the steady one; the wall clock may be off and jump
  std::int64_t skew_ppm = 1000, wall_off_ms = 0;

  // faults: mean time between them, 0 for never
  sim_time partitions_of_network = 0, one_way_cuts = 0, leader_cuts = 0, crashes = 0, power_losses = 0, pauses = 0,
           slow_disks = 0, failing_syncs = 0, full_disks = 0, bit_flips = 0, wipes = 0, clock_jumps = 0, take_overs = 0,
           drains = 0;
  bool beyond_budget = false;              ///< bits flip in every copy of open segments
  std::uint64_t tail_flips_per_mille = 0;  ///< of the bit flips: in the end of an open segment, and its member crashes
  sim_time restart_max = 500 * millisecond, fault_duration_max = 1 * second;

  // producers and readers
  std::size_t producers = 3;
  sim_time think_max = 20 * millisecond;
  std::uint64_t records_max = 4;
  std::size_t filler_max = 40;
  std::size_t burst = 0;  ///< appends without a producer that a leader is given at once now and then: fills queues

  std::size_t jobs = 0;  ///< how many outputs somebody wants
  std::int64_t task_ms_max = 60;
  std::uint64_t late_commits_per_mille = 0;

  std::uint64_t snapshot_every = 0;  ///< entries of metadata, 0 never
  consensus::options raft;
  replication::leader_options leader;
  replication::replica_options replica;
  owner_bug planted = owner_bug::none;

  /// Half of the runs and more are only a mixture; in the others something is done on purpose that chance alone meets
  /// too seldom.
  enum class kind : std::uint8_t {
    mixture,
    storm_of_take_overs,
    rotting_ends,
    late_answers,   ///< of fences, while the same members take over again and again
    rotten_copies,  ///< repair has to be careful where it copies from
    late_commits    ///< of jobs' tasks, by supervisors that were followed by others; never chosen by a seed
  };
  /// `of_kind`: instead of the one that the seed would choose; a planted bug is looked for in runs of its kind.
  static swarm of(random_source& random, std::optional<kind> of_kind = std::nullopt);
  /// Fewer appends, and jobs on what they wrote.
  void add_jobs(random_source& random, bool with_late_commits = false);
  [[nodiscard]] std::string describe() const;

 private:
  void make_a_storm_of_take_overs(random_source& random);
  void make_ends_rot(random_source& random);
  void make_answers_late(random_source& random);
  void make_copies_rot(random_source& random);
  void make_commits_late(random_source& random);
};

}  // namespace troupe::simulation::log
