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
    return log::world(seed, planted_of(bug), trace).run();
  };
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<replication::planted_bug>>([&](auto e) {
    if (e.value == replication::planted_bug::none) return;
    p.bugs.push_back({e.name, static_cast<int>(e.value), 200});
    using enum replication::planted_bug;
    // Measured from seed 1: most take fewer than 80 seeds, this one 323; late answers were not met in 900.
    if (e.value == lost_append_not_resent) p.bugs.back().budget = 500;
    if (e.value == late_fence_answer_counts) p.bugs.back().budget = 0;
  });
  for (const auto& [name, bug] : {std::pair("repair_from_removed_holder", log::owner_bug::repair_from_removed_holder),
                                  std::pair("wiped_member_keeps_identity", log::owner_bug::wiped_keeps_identity),
                                  std::pair("commit_without_epoch_check", log::owner_bug::commit_without_epoch_check)})
    // Nor was a commit of a leader that had been taken over and did not know it.
    p.bugs.push_back({name, owner_bugs + static_cast<int>(bug),
                      bug == log::owner_bug::commit_without_epoch_check ? std::uint64_t{0} : std::uint64_t{200}});
  return p;
}

}  // namespace troupe::simulation
