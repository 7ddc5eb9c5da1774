#pragma once
#include <optional>
#include <string>
#include <tests/simulation/scheduler.hpp>
#include <vector>

namespace troupe::simulation {

/// What came of one seed's run.
struct outcome {
  std::optional<std::string> failure;
  std::uint64_t events = 0, operations = 0, entries = 0, crashes = 0, cuts = 0, wipes = 0, elections = 0,
                configurations = 0, flips = 0, records = 0, segments = 0, jobs = 0;
  sim_time simulated = 0;
  std::vector<std::string> last_events;  ///< when tracing
  std::string configuration;
};

}  // namespace troupe::simulation
