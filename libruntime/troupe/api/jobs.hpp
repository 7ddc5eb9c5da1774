#pragma once
#include <array>
#include <troupe/api/json.hpp>
#include <troupe/api/list.hpp>

namespace troupe::api {

enum class job_state : std::uint8_t { queued, running, succeeded, failed, cancelled };
BOOST_DESCRIBE_ENUM(job_state, queued, running, succeeded, failed, cancelled)

[[nodiscard]] constexpr bool has_ended(job_state state) noexcept { return state >= job_state::succeeded; }

/// POST /api/v1/jobs; answered 201 with `job`
struct job_request {
  std::string job;          ///< its name in the module
  std::string module_hash;  ///< at least 6 digits of it; empty: the newest module that has the job
  std::vector<std::string> inputs;
  std::string output;
  bool replace = false;
  std::uint32_t copies = 0;  ///< of the output; 0: as the inputs
  std::map<std::string, std::string> parameters;
  static constexpr std::array required{"job", "inputs", "output"};
};
BOOST_DESCRIBE_STRUCT(job_request, (), (job, module_hash, inputs, output, replace, copies, parameters))

struct job_error {
  std::string message;
  std::optional<std::string> node;      ///< null when none is to blame
  std::optional<std::string> dataset;   ///< of the input
  std::optional<std::uint64_t> offset;  ///< of the record within its partition of that dataset
};
BOOST_DESCRIBE_STRUCT(job_error, (), (message, node, dataset, offset))

struct task_counts {
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  std::uint64_t running = 0;
};
BOOST_DESCRIBE_STRUCT(task_counts, (), (total, done, running))

struct job_stage {
  std::string name;  ///< «map», «reduce»
  task_counts tasks;
};
BOOST_DESCRIBE_STRUCT(job_stage, (), (name, tasks))

/// GET /api/v1/jobs, an item; GET /api/v1/jobs/ID?wait_ms= (answers when it has ended, or when the time is up); POST
/// /api/v1/jobs/ID/cancel
struct job {
  job_id id;
  std::string name;
  std::string module;
  std::string module_hash;
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::map<std::string, std::string> parameters;
  job_state state = job_state::queued;
  std::optional<job_error> error;
  timestamp created_at;
  std::optional<timestamp> started_at;
  std::optional<timestamp> finished_at;
  task_counts tasks;
  std::vector<job_stage> stages;
  std::uint64_t attempts = 0;
  std::uint64_t lost_attempts = 0;
  double lost_task_seconds = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::uint64_t output_records = 0;
  std::map<std::string, std::int64_t> counters;
  std::optional<std::string> supervisor;  ///< name of the node that supervises it; null when it has ended
};
BOOST_DESCRIBE_STRUCT(job, (),
                      (id, name, module, module_hash, inputs, outputs, parameters, state, error, created_at, started_at,
                       finished_at, tasks, stages, attempts, lost_attempts, lost_task_seconds, input_bytes,
                       input_records, output_records, counters, supervisor))

/// GET /api/v1/jobs/ID/logs, an item
struct job_log_line {
  timestamp time;
  std::string node;
  stage_index stage;
  task_index task;
  attempt_number attempt;
  std::string text;
};
BOOST_DESCRIBE_STRUCT(job_log_line, (), (time, node, stage, task, attempt, text))

}  // namespace troupe::api
