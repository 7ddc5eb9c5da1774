#include <actors/supervision/attempt_plan.hpp>
#include <algorithm>
#include <troupe/base/bytes.hpp>

namespace troupe::actors {

namespace {

/// Of one task: the same in every attempt, so that user code's randomness is, too.
std::uint64_t seed_of(std::uint64_t job_seed, const scheduling::attempt_ref& what) {
  bytes material;
  append_le(material, job_seed);
  append_le(material, what.stage.value);
  append_le(material, what.task.value);
  return xxh3_64(material);
}

error impossible(const scheduling::attempt_ref& what, const std::string& why) {
  return error{errc::internal, scheduling::task_name(what.stage, what.task) + " cannot be planned: " + why};
}

}  // namespace

result<std::optional<attempt_plan>> plan_attempt(const metadata::state& state, member_id self, job_id id,
                                                 epoch supervisor_epoch, const scheduling::attempt_ref& what,
                                                 const std::vector<member_id>& replicas,
                                                 std::optional<metadata::split_table>& splits) {
  const auto* job = state.find_job(id);
  if (job == nullptr || job->supervisor_epoch < supervisor_epoch) return std::optional<attempt_plan>{};
  if (!state.running_jobs().contains(id) || job->supervisor_epoch > supervisor_epoch)
    return error{errc::cancelled, "job " + to_string(id) + " has ended, or has another supervisor"};
  if (what.stage.value >= job->description.stages) return impossible(what, "the job has no such stage");
  const bool last = what.stage.value + 1 == job->description.stages;

  attempt_plan plan;
  auto& a = plan.assignment;
  a.key = key_of(id, what);
  a.module_hash = job->module_hash;
  a.job_name = job->name;
  a.parameters = job->parameters;
  const auto shape = metadata::stages_of(job->description);
  const auto layout = metadata::layout_of(*job);
  const auto& stage = shape.at(what.stage.value);
  const auto& numbers = layout.at(what.stage.value);
  if (what.task.value >= numbers.tasks) return impossible(what, "the job has no such task");
  a.partitions = numbers.partitions;  // a task of the last stage writes the one of its own number
  a.branch = numbers.branch_of(what.task.value);
  a.branch_task = what.task.value - numbers.branches[a.branch].first_task;
  a.seed = seed_of(job->plan.seed, what);
  a.now_unix_ms = job->created_at_unix_ms;
  a.last_stage = last;
  const auto* module = state.find_module(job->module_hash);
  if (module == nullptr) return impossible(what, "module " + job->module + " is gone");
  plan.module_holders = module->holders;

  const auto& edges = stage.branches[a.branch].edges;
  plan.edges = static_cast<std::uint32_t>(edges.size());
  for (std::uint32_t e = 0; e < edges.size(); ++e) {
    const auto& edge = edges[e];
    if (edge.kind == edge_kind::dataset) {
      plan.split_edge = e;
      continue;
    }
    const auto& committed = job->stages[edge.from].committed;
    const auto add = [&](task_index task, const metadata::task_commit& commit) {
      plan.sources.push_back({commit.where,
                              {id, stage_index(edge.from), task, commit.attempt},
                              edge.kind == edge_kind::partitioned ? a.branch_task : edge.partition,
                              e});
    };
    if (edge.kind == edge_kind::forward) {
      const auto found = committed.find(task_index(a.branch_task));
      if (found == committed.end()) return std::optional<attempt_plan>{};
      add(found->first, found->second);
      continue;
    }
    if (committed.size() < layout[edge.from].tasks) return std::optional<attempt_plan>{};
    for (const auto& [task, commit] : committed) add(task, commit);
  }
  if (const auto split = split_of(stage, numbers, metadata::splits_of_inputs(job->plan), what.task.value)) {
    if (!splits) {
      TROUPE_TRY(splits, metadata::split_table::make(state, *job));
    }
    if (*split >= splits->size()) return impossible(what, "its input has no such split");
    plan.split = splits->at(task_index(*split));
    const auto* segment = state.find_segment(plan.split->segment);
    const auto* dataset = state.find_dataset(plan.split->dataset);
    if (dataset == nullptr) return impossible(what, "its input is gone");
    plan.input_format = dataset->format;
    if (segment != nullptr) {
      plan.segment = *segment;
      plan.has_local_copy = std::find(segment->holders.begin(), segment->holders.end(), self) != segment->holders.end();
    } else {
      // It is appended to still: the daemons read the beginning that the job's snapshot names, a worker's map of the
      // file would reach beyond it.
      const auto& of = job->snapshot.at(plan.split->input).partitions.at(plan.split->partition.value).open;
      if (!of || of->segment != plan.split->segment || state.find_open(of->segment) == nullptr)
        return impossible(what, "its input is gone");
      plan.segment.id = of->segment;
      plan.segment.bytes = of->bytes;
      plan.segment.file_bytes = of->file_bytes;
      plan.segment.records = of->records;
      plan.segment.holders = state.holders_of(of->segment);
    }
  }
  if (last) {
    auto& out = plan.output.emplace();
    out.segment = segment_id(job->first_segment.value + std::uint64_t{what.task.value} * metadata::attempts_per_task +
                             what.attempt.value - 1);
    const auto spans = metadata::output_spans(*job);
    std::size_t number = 0;
    while (number + 1 < spans.size() && what.task.value >= spans[number + 1].first_task) ++number;
    out.dataset = number == 0 ? job->output : job->more_outputs.at(number - 1).dataset;
    out.partition = partition_index(what.task.value - spans[number].first_task);
    out.format = job->description.output_format;
    out.replicas = replicas;
    out.replicas.insert(out.replicas.begin(), self);
  }
  return std::optional<attempt_plan>(std::move(plan));
}

}  // namespace troupe::actors
