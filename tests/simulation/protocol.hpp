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
  std::uint64_t budget = 60;  ///< seeds from `first` within which it must be found; 0: too rare for a gate
  std::uint64_t first = 1;    ///< rare ones are looked for near a seed that is known to meet them
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

}  // namespace troupe::simulation
