#include <boost/describe/enumerators.hpp>
#include <boost/mp11/algorithm.hpp>
#include <tests/simulation/log/world.hpp>
#include <tests/simulation/protocol.hpp>

namespace troupe::simulation {

namespace {
constexpr int owner_bugs = 1000;  ///< numbers from here on are the owner's

log::planted planted_of(const named_bug* bug) {
  if (bug == nullptr) return {};
  if (bug->number >= owner_bugs) return {{}, static_cast<log::owner_bug>(bug->number - owner_bugs)};
  return {static_cast<replication::planted_bug>(bug->number), log::owner_bug::none};
}
}  // namespace

protocol log_protocol() {
  protocol p;
  p.name = "log";
  p.failed_seeds = TROUPE_SIMULATION_FAILED_SEEDS "/log/failed_seeds.txt";
  p.run = [](std::uint64_t seed, const named_bug* bug, bool trace) {
    std::optional<log::swarm::kind> kind;
    if (bug != nullptr && bug->kind >= 0) kind = static_cast<log::swarm::kind>(bug->kind);
    return log::world(seed, planted_of(bug), trace, kind).run();
  };
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<replication::planted_bug>>([&](auto e) {
    if (e.value == replication::planted_bug::none) return;
    p.bugs.push_back({e.name, static_cast<int>(e.value), 200});
    using enum replication::planted_bug;
    using enum log::swarm::kind;
    if (e.value == late_fence_answer_counts) p.bugs.back().kind = static_cast<int>(late_answers);
    if (e.value == seal_below_floor || e.value == seal_by_unsure_alone)
      p.bugs.back().kind = static_cast<int>(rotting_ends);
    if (e.value == freeze_goes_on || e.value == late_fence_answer_counts) p.bugs.back().budget = 400;
    if (e.value == digest_not_compared) p.bugs.back().kind = static_cast<int>(rotten_copies);
  });
  for (const auto& [name, bug] : {std::pair("repair_from_removed_holder", log::owner_bug::repair_from_removed_holder),
                                  std::pair("wiped_member_keeps_identity", log::owner_bug::wiped_keeps_identity),
                                  std::pair("commit_without_epoch_check", log::owner_bug::commit_without_epoch_check)})
    p.bugs.push_back({name, owner_bugs + static_cast<int>(bug), 200});
  return p;
}

protocol jobs_protocol() {
  protocol p;
  p.name = "jobs";
  p.failed_seeds = TROUPE_SIMULATION_FAILED_SEEDS "/log/failed_seeds_of_jobs.txt";
  p.run = [](std::uint64_t seed, const named_bug* bug, bool trace) {
    const auto kind =
        bug != nullptr && bug->kind >= 0 ? static_cast<log::swarm::kind>(bug->kind) : log::swarm::kind::mixture;
    return log::world(seed, planted_of(bug), trace, kind, true).run();
  };
  for (const auto& [name, bug] :
       {std::pair("job_commit_without_epoch_check", log::owner_bug::job_commit_without_epoch_check),
        std::pair("adoption_forgets_a_task", log::owner_bug::adoption_forgets_a_task),
        std::pair("output_committed_twice", log::owner_bug::output_committed_twice),
        std::pair("dead_attempts_commit", log::owner_bug::dead_attempts_commit)})
    p.bugs.push_back({name, owner_bugs + static_cast<int>(bug), 400});
  p.bugs.front().kind = static_cast<int>(log::swarm::kind::late_commits);
  return p;
}

}  // namespace troupe::simulation
