#pragma once
#include <optional>
#include <string>
#include <tests/simulation/random.hpp>
#include <tests/simulation/scheduler.hpp>
#include <troupe/consensus/options.hpp>

namespace troupe::simulation {

/// Mistakes of the owner of a `raft`, beside those of consensus::planted_bug.
enum class owner_bug : std::uint8_t {
  none,
  request_ids_not_in_snapshot,  ///< a retry after a snapshot has its effect twice
  wiped_keeps_identity,         ///< an empty disk counts as the voter that it was
  acks_before_disk,             ///< `persisted` is called when the write begins
};

/// What one run is like; a different mixture for every seed (Groce et al. 2012, «Swarm testing»), so that no fault
/// hides another for good.
struct swarm {
  std::size_t nodes = 3;   ///< slots
  std::size_t voters = 3;  ///< at the start
  sim_time fault_time = 10 * second;

  // network
  sim_time delay_min = 100 * microsecond, delay_max = 2 * millisecond;
  sim_time tail_delay_max = 0;  ///< of tail_per_mille of the messages
  std::uint64_t tail_per_mille = 0, loss_per_mille = 0, duplicate_per_mille = 0;
  // disk
  sim_time disk_min = 100 * microsecond, disk_max = 3 * millisecond;
  // clocks: ± parts per million
  std::int64_t skew_ppm = 1000;

  // faults: mean time between them, 0 for never
  sim_time partitions = 0, one_way_cuts = 0, leader_cuts = 0, crashes = 0, power_losses = 0, pauses = 0, slow_disks = 0,
           failing_syncs = 0, wipes = 0, transfers = 0, membership = 0, dances = 0;
  sim_time restart_max = 1 * second, fault_duration_max = 2 * second;
  /// A member whose vote or term has just become durable crashes and is back within milliseconds: what did it forget?
  std::uint64_t crash_after_vote_per_mille = 0;
  bool cut_at_election = false;  ///< a new leader gets a few messages through, then it is alone: Raft's figure 8
  bool change_members_at_election = false;  ///< the first thing that a new leader is asked for

  // clients
  std::size_t clients = 4;
  sim_time think_max = 40 * millisecond;
  std::uint64_t read_per_mille = 400;
  std::size_t padding_max = 0;
  std::size_t burst = 0;  ///< commands without a client that each leader is given at once now and then: fills queues

  std::uint64_t snapshot_every = 0;  ///< entries, 0 never
  consensus::options raft;           ///< without ids
  owner_bug planted = owner_bug::none;

  /// Half of the runs are only a mixture; in the others something is done on purpose that chance alone meets too
  /// seldom.
  enum class kind : std::uint8_t {
    mixture,
    elections_collide,
    changes_of_voters,    ///< a storm of them
    long_cuts,            ///< a leader that is cut off and goes on answering reads within its lease
    dances,               ///< choreography.cpp
    late_snapshots,       ///< whole ones, again and again, and twice
    votes_on_slow_disks,  ///< voters that crash while a vote is being written, and candidates that share a term
  };
  /// `of_kind`: instead of the one that the seed would choose; a planted bug is looked for in runs of its kind.
  static swarm of(random_source& random, std::optional<kind> of_kind = std::nullopt);
  [[nodiscard]] std::string describe() const;

 private:
  void make_elections_collide(random_source& random);
  void make_a_storm_of_changes(random_source& random);
  void make_long_cuts(random_source& random);
  void make_dances(random_source& random);
  void make_snapshots_late(random_source& random);
  void make_votes_slow(random_source& random);
};

}  // namespace troupe::simulation
