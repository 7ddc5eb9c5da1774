#pragma once
#include <functional>
#include <string>
#include <tests/simulation/outcome.hpp>
#include <vector>

namespace troupe::simulation {

/// A mistake that can be planted, and how soon the seeds must find it.
struct named_bug {
  std::string name;
  int number = 0;             ///< of the protocol's own enums
  std::uint64_t budget = 60;  ///< the first seeds, within which it must be found
  int kind = -1;              ///< of the protocol's swarm::kind: it is looked for in runs of this kind; -1: in any
};

/// What the program can simulate.
struct protocol {
  std::string name;
  std::vector<named_bug> bugs;
  std::function<outcome(std::uint64_t seed, const named_bug* bug, bool trace)> run;
  std::string failed_seeds;  ///< a file
};

protocol consensus_protocol();
protocol log_protocol();
protocol jobs_protocol();  ///< the two together, with jobs on what was appended

}  // namespace troupe::simulation
