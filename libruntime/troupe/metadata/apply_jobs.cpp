#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <troupe/base/invariant.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/base/text.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/splits.hpp>
#include <troupe/metadata/state.hpp>

/// The life of a job: planned when it is created, its tasks committed one by one, its output visible in the step in
/// which it succeeds.
namespace troupe::metadata {
namespace {

const char* kind_of(data_format format) {
  return format == data_format::lines ? "lines" : format == data_format::records ? "records" : "bytes";
}

constexpr std::uint64_t split_bytes_max = 1ULL << 50;
constexpr std::size_t counters_of_job_max = checks::counters_max;

std::string task_name(job_id j, stage_index s, task_index t) {
  return "task " + to_string(t) + " of stage " + to_string(s) + " of job " + to_string(j);
}

/// One range of bytes that a job reads: a sealed segment, or the beginning of an open one.
struct extent {
  std::uint64_t bytes = 0;
  std::uint64_t file_bytes = 0;
};

/// For each input.
std::vector<std::vector<extent>> extents_of(const std::vector<const dataset*>& inputs,
                                            const std::vector<input_snapshot>& read) {
  std::vector<std::vector<extent>> all(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (std::size_t p = 0; p < inputs[i]->partitions.size(); ++p) {
      const auto& segments = inputs[i]->partitions[p].segments;
      for (std::size_t s = 0; s < read[i].partitions[p].segments; ++s)
        all[i].push_back({segments[s].bytes, segments[s].file_bytes});
      if (const auto& open = read[i].partitions[p].open) all[i].push_back({open->bytes, open->file_bytes});
    }
  }
  return all;
}

/// Fills in how many tasks there are at a size of splits; false: too many of something.
result<bool> count_tasks(const std::vector<std::vector<extent>>& inputs, const std::vector<stage_shape>& stages,
                         std::uint64_t partitions, job_plan& plan) {
  std::uint64_t splits = 0;
  plan.input_splits.clear();
  for (const auto& extents : inputs) {
    std::uint64_t here = 0;
    for (const auto& e : extents) here += splits_of(e.file_bytes, plan.split_bytes);
    splits += here;
    if (splits > map_tasks_max) return false;
    plan.input_splits.push_back(static_cast<std::uint32_t>(here));
  }
  plan.map_tasks = static_cast<std::uint32_t>(splits);
  plan.partitions = static_cast<std::uint32_t>(stages.size() == 1 ? splits : partitions);
  TROUPE_TRY(const auto layout, lay_out(stages, plan.input_splits, plan.partitions));
  plan.stage_tasks.clear();
  for (const auto& stage : layout) {
    if (stage.tasks > map_tasks_max) return false;
    plan.stage_tasks.push_back(stage.tasks);
  }
  return plan.stage_tasks.back() <= limits::partitions_max;  // each writes a partition of the output
}

/// 16 to 64 MiB a split, or more where that would make too many tasks: a property of the input alone, so that a re-run
/// plans the same.
result<job_plan> plan_job(const std::vector<std::vector<extent>>& inputs, const job_description& what,
                          std::uint64_t seed) {
  constexpr auto sum_max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  std::uint64_t bytes = 0, segments = 0;
  for (const auto& extents : inputs)
    for (const auto& e : extents) {
      if (e.bytes > sum_max - bytes)
        return error{errc::resource_exhausted, "the inputs are larger than a job may read"};
      bytes += e.bytes;
      ++segments;
    }
  const auto stages = stages_of(what);
  const auto wanted = (bytes + partition_bytes - 1) / partition_bytes;
  const auto partitions = std::clamp<std::uint64_t>(wanted, 1, shuffle_partitions_max);
  job_plan plan;
  plan.seed = seed;
  plan.split_bytes = std::clamp(std::bit_floor(bytes / splits_wanted), limits::split_bytes, split_bytes_large);
  for (;; plan.split_bytes *= 2) {
    TROUPE_TRY(const auto fits, count_tasks(inputs, stages, partitions, plan));
    if (fits) return plan;
    if (plan.split_bytes >= split_bytes_max)
      return error{errc::resource_exhausted, "the inputs have " + std::to_string(segments) +
                                                 " segments, which makes more tasks than a job of " +
                                                 std::to_string(what.stages) + " stage(s) may have"};
  }
}

/// Sums of what was committed, kept when the commits go.
void sum_up(job& j) {
  const auto shape = stages_of(j.description);
  for (const auto& stage : j.stages) j.summary.push_back(summary_of(stage));
  for (std::size_t stage = 0; stage < j.stages.size(); ++stage) {
    for (const auto& [task, commit] : j.stages[stage].committed) {
      ++j.tasks_done;
      if (reads_dataset(shape[stage])) {
        j.input_bytes += commit.input_bytes;
        j.input_records += commit.input_records;
      }
      if (stage + 1 == j.stages.size()) j.output_records += commit.output_records;
      for (const auto& [name, value] : commit.counters) {
        if (j.counters.size() >= counters_of_job_max && !j.counters.contains(name)) continue;
        auto& sum = j.counters[name];
        sum = static_cast<std::int64_t>(static_cast<std::uint64_t>(sum) +
                                        static_cast<std::uint64_t>(value));  // wraps, as users' sums may
      }
    }
  }
}

}  // namespace

result<job> state::draft_job(const create_job& c) const {
  TROUPE_TRY_VOID(check_name("job", c.job_name));
  TROUPE_TRY_VOID(checks::parameters(c.parameters));
  if (c.copies > copies_max)
    return error{errc::invalid_argument,
                 std::to_string(c.copies) + " copies: it must be at most " + std::to_string(copies_max)};
  if (c.inputs.empty() || c.inputs.size() > checks::inputs_max)
    return error{errc::invalid_argument, "a job has 1 to " + std::to_string(checks::inputs_max) + " inputs, not " +
                                             std::to_string(c.inputs.size())};
  TROUPE_TRY(const auto* module, resolve_module(c.job_name, c.module_hash));
  const auto& what =
      *std::find_if(module->jobs.begin(), module->jobs.end(), [&](const auto& j) { return j.name == c.job_name; });

  TROUPE_TRY_VOID(checks::takes_parameters(what, c.parameters));

  std::vector<const dataset*> inputs;
  std::uint32_t copies = c.copies;
  if (!what.inputs.empty() && what.inputs.size() != c.inputs.size())
    return error{errc::invalid_argument, "job " + what.name + " reads " + std::to_string(what.inputs.size()) +
                                             " inputs, and " + std::to_string(c.inputs.size()) + " were given"};
  for (std::size_t i = 0; i < c.inputs.size(); ++i) {
    const auto& name = c.inputs[i];
    const auto& wanted_format = what.inputs.empty() ? what.input_format : what.inputs[i].format;
    const auto& wanted_schema = what.inputs.empty() ? what.input_schema : what.inputs[i].schema;
    const auto* d = find_dataset(name);
    if (d == nullptr) {
      const bool written = find_creating(name) != nullptr;
      return error{errc::not_found, "no dataset is called " + checks::shorten(name) +
                                        (written ? " yet: it is still being written" : "")};
    }
    if (d->format != wanted_format)
      return error{errc::failed_precondition, "job " + what.name + " reads " + kind_of(wanted_format) +
                                                  ", and dataset " + name + " has " + kind_of(d->format) +
                                                  ": read_lines(), read_records<T>() and read_bytes() are for each"};
    if (d->format == data_format::records)
      TROUPE_TRY_VOID(checks::readable_as(d->schema, wanted_schema, name, what.name));
    if (c.copies == 0) copies = std::max(copies, d->copies);
    inputs.push_back(d);
  }
  for (const auto& end : c.open_ends)
    if (end.input >= inputs.size() || end.partition.value >= inputs[end.input]->partitions.size())
      return error{errc::invalid_argument, "job " + c.job_name + " has no partition " + to_string(end.partition) +
                                               " of input " + std::to_string(end.input)};
  std::vector<input_snapshot> snapshot;
  for (std::uint32_t i = 0; i < inputs.size(); ++i) {
    TROUPE_TRY(auto of_input, snapshot_of(*inputs[i], i, c.open_ends));
    snapshot.push_back(std::move(of_input));
  }
  TROUPE_TRY(auto plan, plan_job(extents_of(inputs, snapshot), what, c.seed));

  job j;
  j.name = c.job_name;
  j.module = module->name;
  j.module_hash = module->hash;
  j.description = what;
  for (const auto* d : inputs) j.inputs.push_back(d->id);
  j.input_names = c.inputs;
  j.output_name = c.output;
  j.replace = c.replace;
  j.output_copies = copies;
  j.parameters = c.parameters;
  j.plan = std::move(plan);
  j.snapshot = std::move(snapshot);
  return j;
}

result<response> state::on(const create_job& c, std::int64_t now) {
  TROUPE_TRY(auto j, draft_job(c));
  TROUPE_TRY_VOID(checks::output_names(j.description, c.output, c.more_outputs));
  TROUPE_TRY_VOID(check_name_free(c.output, c.replace));
  for (const auto& name : c.more_outputs) TROUPE_TRY_VOID(check_name_free(name, c.replace));
  if (running_.size() >= jobs_running_max)
    return error{errc::resource_exhausted,
                 std::to_string(jobs_running_max) + " jobs are queued or running already: wait for some"};
  j.supervisor = choose_supervisor();
  if (!j.supervisor) return error{errc::unavailable, "no node is alive that could supervise job " + c.job_name};

  j.id = job_id{next_job_++};
  for (const auto& name : c.more_outputs) j.more_outputs.push_back({{}, name});
  const auto spans = output_spans(j);
  for (std::size_t n = 0; n < spans.size(); ++n) {
    dataset output;
    output.name = n == 0 ? c.output : c.more_outputs[n - 1];
    output.format = j.description.output_format;
    output.schema = n == 0 ? j.description.output_schema : j.description.outputs[n].schema;
    output.copies = j.output_copies;
    output.log.min_copies = std::max(1U, j.output_copies - 1);
    output.made_by = j.id;
    output.created_at_unix_ms = now;
    auto& id = n == 0 ? j.output : j.more_outputs[n - 1].dataset;
    id = add_creating(std::move(output)).id;
    // Tasks of the last stage are numbered through the outputs, and so are the segments.
    const auto first = reserve(id, std::uint64_t{spans[n].tasks} * attempts_per_task);
    if (n == 0) j.first_segment = first;
  }
  j.created_at_unix_ms = now;
  j.supervisor_epoch = epoch{1};
  j.stages.resize(j.description.stages);
  running_.insert(j.id);
  const response made{.dataset = j.output, .job = j.id, .first_segment = j.first_segment};
  jobs_.emplace(j.id, std::move(j));
  return made;
}

/// What a job that is accepted now reads of the dataset: what is sealed, and what is known of open segments.
result<input_snapshot> state::snapshot_of(const dataset& d, std::uint32_t input,
                                          const std::vector<open_end>& ends) const {
  input_snapshot out;
  out.partitions.resize(d.partitions.size());
  for (std::size_t p = 0; p < d.partitions.size(); ++p)
    out.partitions[p].segments = static_cast<std::uint32_t>(d.partitions[p].segments.size());
  for (const auto& end : ends) {
    if (end.input != input) continue;
    const auto& open = d.partitions[end.partition.value].log.open;
    if (!open || open->id != end.prefix.segment) continue;  // sealed since: it is read whole
    const auto& prefix = end.prefix;
    if (prefix.file_bytes > bytes_max || prefix.bytes > prefix.file_bytes || prefix.records > prefix.file_bytes)
      return error{errc::invalid_argument,
                   "the end of open segment " + to_string(open->id) + " of dataset " + d.name + " makes no sense"};
    if (prefix.records != 0) out.partitions[end.partition.value].open = prefix;
  }
  return out;
}

/// The job, if it has not ended; with `fence`, only for its present supervisor.
result<job*> state::running_job(job_id id, std::optional<epoch> fence) {
  const auto at = jobs_.find(id);
  if (at == jobs_.end()) return error{errc::not_found, "job " + to_string(id) + " is not known"};
  if (!running_.contains(id)) return error{errc::failed_precondition, "job " + to_string(id) + " has ended"};
  if (fence && *fence != at->second.supervisor_epoch)
    return error{errc::aborted, "job " + to_string(id) + " has another supervisor by now: epoch " +
                                    to_string(at->second.supervisor_epoch) + ", not " + to_string(*fence)};
  return &at->second;
}

result<response> state::on(const start_job& c, std::int64_t now) {
  TROUPE_TRY(auto* j, running_job(c.job, c.epoch));
  if (j->state == job_state::queued) {
    j->state = job_state::running;
    j->started_at_unix_ms = now;
  }
  return response{.dataset = j->output, .job = j->id, .first_segment = j->first_segment};
}

result<response> state::on(const commit_task& c, std::int64_t) {
  TROUPE_TRY(auto* j, running_job(c.job, c.epoch));
  const auto name = task_name(c.job, c.stage, c.task);
  if (j->state != job_state::running)
    return error{errc::failed_precondition, "job " + to_string(c.job) + " was not started"};
  if (c.stage.value >= j->stages.size() || c.task.value >= tasks_of(*j, c.stage.value))
    return error{errc::invalid_argument, name + " does not exist"};
  if (c.commit.attempt.value < 1 || c.commit.attempt.value > attempts_per_task)
    return error{errc::invalid_argument, name + " has no attempt " + to_string(c.commit.attempt)};
  TROUPE_TRY_VOID(checks::counters(c.commit.counters));
  const auto* where = find_member(c.commit.where);
  if (where == nullptr)
    return error{errc::invalid_argument,
                 "member " + to_string(c.commit.where) + ", where " + name + " ran, is not known"};
  auto& progress = j->stages[c.stage.value];
  if (progress.committed.contains(c.task)) return error{errc::already_exists, name + " is committed already"};
  if (where->incarnation != c.commit.where_incarnation || !is_live(where->id))
    return error{errc::aborted, "node " + where->name + " died since it ran " + name};
  if (const auto first = progress.first_digests.find(c.task);
      first != progress.first_digests.end() && first->second != c.commit.digest)
    return error{errc::failed_precondition, name + " gave another output when it was repeated (digest " +
                                                c.commit.digest.to_string() + ", first " + first->second.to_string() +
                                                "): the job is not deterministic"};
  if (const auto& output = c.commit.output) {
    const segment_id due{j->first_segment.value + std::uint64_t{c.task.value} * attempts_per_task +
                         c.commit.attempt.value - 1};
    if (c.stage.value + 1 != j->stages.size())
      return error{errc::invalid_argument, name + " is not of the last stage and writes no segment"};
    if (output->id != due)
      return error{errc::invalid_argument,
                   name + " wrote segment " + to_string(output->id) + ", not " + to_string(due)};
    TROUPE_TRY_VOID(check_segment(*output));
    if (std::none_of(output->holders.begin(), output->holders.end(), [this](member_id h) { return is_live(h); }))
      return error{errc::aborted, "every holder of the output of " + name + " died"};
  }
  progress.committed.emplace(c.task, c.commit);
  return response{.dataset = j->output, .job = j->id};
}

result<response> state::on(const revoke_task& c, std::int64_t) {
  TROUPE_TRY(auto* j, running_job(c.job, c.epoch));
  const auto name = task_name(c.job, c.stage, c.task);
  if (c.stage.value >= j->stages.size()) return error{errc::invalid_argument, name + " does not exist"};
  auto& progress = j->stages[c.stage.value];
  const auto at = progress.committed.find(c.task);
  if (at == progress.committed.end() || at->second.attempt != c.attempt)
    return error{errc::not_found, "attempt " + to_string(c.attempt) + " of " + name + " is not the committed one"};
  progress.first_digests.emplace(c.task, at->second.digest);
  progress.committed.erase(at);
  return response{.dataset = j->output, .job = j->id};
}

result<response> state::on(const finish_job& c, std::int64_t now) {
  TROUPE_TRY(auto* j, running_job(c.job, c.epoch));
  if (c.outcome != job_state::succeeded && c.outcome != job_state::failed && c.outcome != job_state::cancelled)
    return error{errc::invalid_argument, "job " + to_string(c.job) + " cannot end as queued or running"};
  if (c.outcome == job_state::succeeded) {
    const auto done = j->stages.back().committed.size();
    const auto all = tasks_of(*j, j->stages.size() - 1);
    if (done != all)
      return error{errc::failed_precondition, "job " + to_string(c.job) + " has committed " + std::to_string(done) +
                                                  " of " + std::to_string(all) + " tasks of its last stage"};
  }
  j->attempts = c.attempts;
  j->lost_attempts = c.lost_attempts;
  j->lost_task_seconds = std::isfinite(c.lost_task_seconds) ? c.lost_task_seconds : 0;
  const response answer{.dataset = c.outcome == job_state::succeeded ? j->output : dataset_id{}, .job = c.job};
  end_job(*j, c.outcome, c.error, now);
  return answer;
}

result<response> state::on(const cancel_job& c, std::int64_t now) {
  TROUPE_TRY(auto* j, running_job(c.job, std::nullopt));
  end_job(*j, job_state::cancelled, job_error{.message = c.reason.empty() ? "cancelled" : c.reason}, now);
  return response{.job = c.job};
}

void state::end_job(job& j, job_state outcome, std::optional<job_error> why, std::int64_t now) {
  std::vector<std::vector<partition>> written;
  if (outcome == job_state::succeeded) {
    why.reset();
    auto& commits = j.stages.back().committed;
    for (const auto& span : output_spans(j)) {
      auto& partitions = written.emplace_back(span.tasks);
      for (auto at = commits.lower_bound(task_index(span.first_task));
           at != commits.end() && at->first.value < span.first_task + span.tasks; ++at)
        if (at->second.output)
          partitions[at->first.value - span.first_task].segments.push_back(std::move(*at->second.output));
    }
  } else if (!why) {
    why = job_error{.message = outcome == job_state::failed ? "failed for a reason that was not given" : "cancelled"};
  }
  sum_up(j);
  j.stages.clear();
  j.snapshot.clear();
  j.supervisor.reset();
  j.state = outcome;
  j.error = std::move(why);
  if (j.error) {
    j.error->message = checks::shorten(std::move(j.error->message));
    j.error->node = checks::shorten(std::move(j.error->node));
    j.error->dataset = checks::shorten(std::move(j.error->dataset));
  }
  j.finished_at_unix_ms = now;
  running_.erase(j.id);  // before publish: a job may replace its own input
  for (std::size_t n = 0; n <= j.more_outputs.size(); ++n) {
    const auto id = n == 0 ? j.output : j.more_outputs[n - 1].dataset;
    if (outcome == job_state::succeeded)
      publish(id, std::move(written[n]), now);
    else
      drop_creating(id);
  }
  for (const auto input : j.inputs)
    if (const auto* d = find_dataset(input); d != nullptr && d->state == dataset_state::deleting && !is_read(input))
      erase_dataset(input);
  trim_history(j.id);
}

/// Forgets the oldest ended jobs beyond the limit, but not the one that has just ended: somebody waits to hear how.
void state::trim_history(job_id keep) {
  while (jobs_.size() - running_.size() > limits::jobs_in_history_max) {
    const auto oldest = std::find_if(jobs_.begin(), jobs_.end(),
                                     [&](const auto& j) { return j.first != keep && !running_.contains(j.first); });
    jobs_.erase(oldest);
  }
}

}  // namespace troupe::metadata
