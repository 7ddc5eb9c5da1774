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
  bool network = false;                     ///< its code may use the network, unless a node's owner forbids it
  std::vector<std::string> more_outputs{};  ///< behind `output`, for a job that writes several datasets
  static constexpr std::array required{"job", "inputs", "output"};
};
BOOST_DESCRIBE_STRUCT(job_request, (),
                      (job, module_hash, inputs, output, replace, copies, parameters, network, more_outputs))

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

/// What committed tasks of a stage did.
struct stage_numbers {
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::uint64_t output_bytes = 0;
  std::uint64_t output_records = 0;
  std::uint64_t spilled_bytes = 0;   ///< to scratch files, beyond the memory of a task
  std::uint64_t milliseconds = 0;    ///< of all tasks together
  std::uint64_t median_task_ms = 0;  ///< half of the tasks took less
  std::uint64_t slowest_task_ms = 0;
  task_index slowest_task;
};
BOOST_DESCRIBE_STRUCT(stage_numbers, (),
                      (input_bytes, input_records, output_bytes, output_records, spilled_bytes, milliseconds,
                       median_task_ms, slowest_task_ms, slowest_task))

struct job_stage {
  std::string name;  ///< «map», «reduce», or what is in it: «fold, filter, combine»
  task_counts tasks;
  stage_numbers numbers{};
};
BOOST_DESCRIBE_STRUCT(job_stage, (), (name, tasks, numbers))

/// POST /api/v1/jobs/plan
struct plan_request {
  std::string job;
  std::string module_hash;  ///< as in job_request
  std::vector<std::string> inputs;
  static constexpr std::array required{"job", "inputs"};
};
BOOST_DESCRIBE_STRUCT(plan_request, (), (job, module_hash, inputs))

struct plan_stage {
  std::uint32_t stage = 0;
  std::string name;
  std::vector<std::string> reads;  ///< «a split of corpus for each task», «partition i of stage 0 for task i»
  std::uint64_t tasks = 0;
  std::uint64_t partitions = 0;           ///< that each task writes; of the last stage: of the output
  std::string writes;                     ///< where the records go
  std::optional<stage_numbers> last_run;  ///< of the last run of this module over these inputs
};
BOOST_DESCRIBE_STRUCT(plan_stage, (), (stage, name, reads, tasks, partitions, writes, last_run))

struct plan_parameter {
  std::string name;
  std::string about;
};
BOOST_DESCRIBE_STRUCT(plan_parameter, (), (name, about))

/// What a job would do.
struct job_plan {
  std::string job;
  std::string module;
  std::string module_hash;
  std::vector<std::string> inputs;
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::uint64_t split_bytes = 0;  ///< of input for one task
  std::vector<plan_stage> stages;
  std::optional<job_id> last_run;
  std::vector<plan_parameter> parameters{};  ///< that `run` may give it
  std::vector<std::string> outputs{};        ///< of a job that writes several datasets: for which `run` needs names
};
BOOST_DESCRIBE_STRUCT(job_plan, (),
                      (job, module, module_hash, inputs, input_bytes, input_records, split_bytes, stages, last_run,
                       parameters, outputs))

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
