#include <boost/describe/enumerators.hpp>
#include <boost/mp11/algorithm.hpp>
#include <tests/simulation/protocol.hpp>
#include <tests/simulation/simulation.hpp>

namespace troupe::simulation {

namespace {
constexpr int owner_bugs = 1000;  ///< numbers from here on are the owner's

planted planted_of(const named_bug* bug) {
  if (bug == nullptr) return {};
  if (bug->number >= owner_bugs) return {{}, static_cast<owner_bug>(bug->number - owner_bugs)};
  return {static_cast<consensus::planted_bug>(bug->number), owner_bug::none};
}
}  // namespace

protocol consensus_protocol() {
  protocol p;
  p.name = "consensus";
  p.failed_seeds = TROUPE_SIMULATION_FAILED_SEEDS "/failed_seeds.txt";
  p.run = [](std::uint64_t seed, const named_bug* bug, bool trace) {
    std::optional<swarm::kind> kind;
    if (bug != nullptr && bug->kind >= 0) kind = static_cast<swarm::kind>(bug->kind);
    return simulation(seed, planted_of(bug), trace, kind).run();
  };
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<consensus::planted_bug>>([&](auto e) {
    if (e.value == consensus::planted_bug::none) return;
    p.bugs.push_back({e.name, static_cast<int>(e.value)});
    using enum consensus::planted_bug;
    const auto in_runs_of = [&](swarm::kind kind) { p.bugs.back().kind = static_cast<int>(kind); };
    switch (e.value) {
      case membership_change_before_own_term:
      case configuration_not_rolled_back:
        in_runs_of(swarm::kind::dances);
        break;
      case lease_too_long:
        in_runs_of(swarm::kind::long_cuts);
        break;
      case vote_not_persisted:
        in_runs_of(swarm::kind::elections_collide);
        break;
      case commit_old_term_by_count:
        in_runs_of(swarm::kind::elections_collide);
        p.bugs.back().budget = 400;
        break;
      case vote_before_fsync:
        in_runs_of(swarm::kind::votes_on_slow_disks);
        p.bugs.back().budget = 400;
        break;
      case leader_counts_before_fsync:
        in_runs_of(swarm::kind::mixture);
        p.bugs.back().budget = 200;
        break;
      case old_snapshot_installed:
        in_runs_of(swarm::kind::late_snapshots);
        p.bugs.back().budget = 100;
        break;
      default:
        break;
    }
  });
  for (const auto& [name, bug] : {std::pair("request_ids_not_in_snapshot", owner_bug::request_ids_not_in_snapshot),
                                  std::pair("wiped_keeps_identity", owner_bug::wiped_keeps_identity),
                                  std::pair("acks_before_disk", owner_bug::acks_before_disk)})
    p.bugs.push_back({name, owner_bugs + static_cast<int>(bug)});
  return p;
}

}  // namespace troupe::simulation
