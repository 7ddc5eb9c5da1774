#include "troupe/dataflow/attempt.hpp"

namespace troupe::dataflow {

std::string to_string(const attempt_key& key) {
  return "job " + to_string(key.job) + " stage " + to_string(key.stage) + " task " + to_string(key.task) + " attempt " +
         to_string(key.attempt);
}

}  // namespace troupe::dataflow
