#include <algorithm>
#include <troupe/base/invariant.hpp>
#include <troupe/metadata/splits.hpp>

namespace troupe::metadata {

std::vector<stage_shape> stages_of(const job_description& what) {
  return what.shape.empty() ? classic_stages(what.stages) : what.shape;
}

std::vector<std::uint32_t> splits_of_inputs(const job_plan& plan) {
  return plan.input_splits.empty() ? std::vector<std::uint32_t>{plan.map_tasks} : plan.input_splits;
}

std::vector<stage_layout> layout_of(const job& j) {
  auto layout = lay_out(stages_of(j.description), splits_of_inputs(j.plan), j.plan.partitions);
  TROUPE_INVARIANT(layout.has_value(),
                   "job " + to_string(j.id) + " was accepted with stages that do not fit: " + layout.error().message());
  return std::move(*layout);
}

std::uint32_t tasks_of(const job& j, std::size_t stage) {
  if (stage < j.plan.stage_tasks.size()) return j.plan.stage_tasks[stage];
  return layout_of(j).at(stage).tasks;
}

stage_summary summary_of(const stage_progress& stage) {
  stage_summary sum;
  std::vector<std::uint64_t> times;
  for (const auto& [task, commit] : stage.committed) {
    ++sum.tasks;
    sum.input_bytes += commit.input_bytes;
    sum.input_records += commit.input_records;
    sum.output_bytes += commit.output_bytes;
    sum.output_records += commit.output_records;
    sum.spilled_bytes += commit.spilled_bytes;
    sum.milliseconds += commit.milliseconds;
    times.push_back(commit.milliseconds);
    if (commit.milliseconds > sum.milliseconds_max || times.size() == 1) {
      sum.milliseconds_max = commit.milliseconds;
      sum.slowest = task;
    }
  }
  if (!times.empty()) {
    const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    sum.milliseconds_median = *middle;
  }
  return sum;
}

result<split_table> split_table::make(const state& s, const job& j) {
  TROUPE_INVARIANT(j.plan.split_bytes > 0, "job " + to_string(j.id) + " has no split size");
  split_table table;
  table.split_bytes_ = j.plan.split_bytes;
  std::uint64_t tasks = 0;
  if (j.snapshot.size() != j.inputs.size())
    return error{errc::failed_precondition, "job " + to_string(j.id) + " has ended, and what it read is not kept"};
  const auto add = [&](const split& whole, std::uint64_t file_bytes) {
    if (file_bytes == 0) return;
    table.entries_.push_back({static_cast<std::uint32_t>(tasks), file_bytes, whole});
    tasks += splits_of(file_bytes, table.split_bytes_);
  };
  for (std::uint32_t input = 0; input < j.inputs.size(); ++input) {
    const auto* d = s.find_dataset(j.inputs[input]);
    if (d == nullptr)
      return error{errc::not_found, "input " + to_string(j.inputs[input]) + " of job " + to_string(j.id) + " is gone"};
    const auto& read = j.snapshot[input].partitions;
    for (std::uint32_t p = 0; p < read.size() && p < d->partitions.size(); ++p) {
      const auto& here = d->partitions[p];
      std::uint64_t records = here.log.trimmed_records;
      const auto whole_of = [&](segment_id id, std::uint64_t file_bytes) {
        return split{input, d->id, partition_index{p}, id, 0, file_bytes, record_offset{records}};
      };
      TROUPE_INVARIANT(read[p].segments <= here.segments.size(),
                       "segments were given up that job " + to_string(j.id) + " reads");
      for (std::uint32_t i = 0; i < read[p].segments; ++i) {
        const auto& g = here.segments[i];
        add(whole_of(g.id, g.file_bytes), g.file_bytes);
        records += g.records;
      }
      if (read[p].open) add(whole_of(read[p].open->segment, read[p].open->file_bytes), read[p].open->file_bytes);
    }
  }
  TROUPE_INVARIANT(tasks == j.plan.map_tasks, "job " + to_string(j.id) + " was planned with " +
                                                  std::to_string(j.plan.map_tasks) + " map tasks, its inputs make " +
                                                  std::to_string(tasks));
  table.size_ = static_cast<std::uint32_t>(tasks);
  return table;
}

std::vector<output_span> output_spans(const job& j) {
  const auto last = layout_of(j).back();
  if (j.description.outputs.empty()) return {{0, last.tasks}};
  std::vector<output_span> out;
  std::size_t branch = 0;
  for (const auto& o : j.description.outputs) {
    output_span span{last.branches.at(branch).first_task, 0};
    for (std::uint32_t b = 0; b < o.branches; ++b) span.tasks += last.branches.at(branch++).tasks;
    out.push_back(span);
  }
  return out;
}

split split_table::at(task_index task) const {
  TROUPE_INVARIANT(task.value < size_, "task " + to_string(task) + " of " + std::to_string(size_));
  const auto after = std::upper_bound(entries_.begin(), entries_.end(), task.value,
                                      [](std::uint32_t t, const entry& e) { return t < e.first_task; });
  const auto& found = *std::prev(after);
  split range = found.whole;
  const auto position = task.value - found.first_task;
  const bool last = position + 1 == splits_of(found.file_bytes, split_bytes_);
  range.from = position * split_bytes_;
  range.to = last ? found.file_bytes : range.from + split_bytes_;
  return range;
}

}  // namespace troupe::metadata
