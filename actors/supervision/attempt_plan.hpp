#pragma once
#include <actors/data/replicated_writer.hpp>
#include <optional>
#include <troupe/dataflow/attempt.hpp>
#include <troupe/metadata/splits.hpp>
#include <troupe/metadata/state.hpp>
#include <troupe/scheduling/attempt_ref.hpp>

namespace troupe::actors {

/// What an attempt reads and writes, as this node's metadata has it. A plain value.
struct attempt_plan {
  /// An attempt of an earlier stage whose output it reads.
  struct source {
    member_id where;
    dataflow::attempt_key key;
    std::uint32_t partition = 0;
    std::uint32_t edge = 0;
  };

  dataflow::task_assignment assignment;  ///< without module path and inputs
  std::vector<member_id> module_holders;
  std::uint32_t edges = 1;  ///< of its branch
  // A task that reads a split
  std::optional<metadata::split> split;
  std::uint32_t split_edge = 0;
  metadata::segment segment;
  data_format input_format = data_format::lines;
  bool has_local_copy = false;  ///< says metadata
  // A task that reads earlier stages
  std::vector<source> sources;  ///< in the order of edges, in them of tasks
  // A task of the last stage
  std::optional<data::output_spec> output;
};

/// Names an attempt in the whole cluster.
[[nodiscard]] inline dataflow::attempt_key key_of(job_id job, const scheduling::attempt_ref& what) {
  return {job, what.stage, what.task, what.attempt};
}

/// Reads the plan. Nothing: metadata is not so far here (the job is not known yet, or a map that a reduce reads is not
/// committed here yet): ask again after the next change. `cancelled`: the job has ended or has a newer supervisor.
/// `splits` is made at first need and kept by the caller.
result<std::optional<attempt_plan>> plan_attempt(const metadata::state& state, member_id self, job_id job,
                                                 epoch supervisor_epoch, const scheduling::attempt_ref& what,
                                                 const std::vector<member_id>& replicas,
                                                 std::optional<metadata::split_table>& splits);

}  // namespace troupe::actors
