#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <compare>
#include <string>
#include <string_view>
#include <troupe/base/ids.hpp>

namespace troupe::scheduling {

/// One attempt of one task within a job.
struct attempt_ref {
  stage_index stage;
  task_index task;
  attempt_number attempt;
  friend auto operator<=>(const attempt_ref&, const attempt_ref&) = default;
};
BOOST_DESCRIBE_STRUCT(attempt_ref, (), (stage, task, attempt))

/// Why an attempt gave no result. On the wire: append only.
enum class failure_kind : std::uint8_t {
  user_code,     ///< the module's code threw
  worker_died,   ///< its process ended: a signal, or somebody killed it
  memory_limit,  ///< beyond the memory of a task
  time_limit,    ///< beyond the time of a task
  input_lost,    ///< something that it reads is gone, damaged or out of reach
  engine,        ///< troupe's own trouble: a disk, a full budget, a connection
  member_lost,   ///< the node that ran it is gone
};
BOOST_DESCRIBE_ENUM(failure_kind, user_code, worker_died, memory_limit, time_limit, input_lost, engine, member_lost)

/// Whether the task itself is to blame, so that the failure counts towards `limits::attempts_failed_max`.
[[nodiscard]] constexpr bool is_blamed(failure_kind kind) noexcept { return kind <= failure_kind::time_limit; }

/// «map task 3», «reduce task 0», «task 5 of stage 2»: the first two stages have had their names for long.
[[nodiscard]] inline std::string task_name(stage_index stage, task_index task) {
  if (stage.value > 1) return "task " + to_string(task) + " of stage " + to_string(stage);
  return std::string(stage.value == 0 ? "map task " : "reduce task ") + to_string(task);
}

}  // namespace troupe::scheduling
