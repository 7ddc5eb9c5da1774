#include <shell/display/job_text.hpp>

#include <algorithm>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace {

std::string called(const api::job& job) { return "job " + to_string(job.id) + " (" + job.name + ")"; }

std::string attempts(std::uint64_t count) {
  return format_count(count) + (count == 1 ? " attempt" : " attempts") + " lost";
}

std::string took(const api::job& job) {
  if (!job.finished_at) return {};
  const auto begin = job.started_at ? job.started_at->unix_ms : job.created_at.unix_ms;
  return format_duration(static_cast<double>(job.finished_at->unix_ms - begin) / 1000);
}

}  // namespace

std::string progress_text(const api::job& job) {
  auto out = called(job);
  if (job.state == api::job_state::queued) return out + ": waiting for its turn";
  out += ":";
  // Of many stages only those that something happens in, and how many are done.
  const bool many = job.stages.size() > 3;
  if (many) {
    const auto done = std::count_if(job.stages.begin(), job.stages.end(),
                                    [](const api::job_stage& s) { return s.tasks.done == s.tasks.total; });
    out += " " + std::to_string(done) + " of " + std::to_string(job.stages.size()) + " stages done";
  }
  for (const auto& stage : job.stages) {
    const bool quiet = stage.tasks.running == 0 && (stage.tasks.done == 0 || stage.tasks.done == stage.tasks.total);
    if (many && quiet) continue;
    out += (out.back() == ':' ? " " : ", ") + stage.name + " " + std::to_string(stage.tasks.done) + "/" +
           std::to_string(stage.tasks.total);
    if (stage.tasks.running != 0) out += " (" + std::to_string(stage.tasks.running) + " running)";
  }
  if (job.stages.empty()) out += " " + std::to_string(job.tasks.done) + "/" + std::to_string(job.tasks.total);
  if (job.lost_attempts != 0) out += ", " + attempts(job.lost_attempts);
  return out;
}

std::string stages_text(const api::job& job) {
  constexpr std::size_t bar = 24;
  std::vector<std::vector<std::string>> rows;
  for (const auto& stage : job.stages) {
    const auto total = std::max<std::uint64_t>(1, stage.tasks.total);
    const auto done = stage.tasks.total == 0 ? bar : static_cast<std::size_t>(stage.tasks.done * bar / total);
    const auto running =
        std::min(bar - done, static_cast<std::size_t>((stage.tasks.running * bar + total - 1) / total));
    rows.push_back(
        {"  " + stage.name,
         "[" + std::string(done, '#') + std::string(running, '>') + std::string(bar - done - running, '.') + "]",
         std::to_string(stage.tasks.done) + "/" + std::to_string(stage.tasks.total),
         std::to_string(stage.tasks.running) + " running"});
  }
  auto out = called(job) + " " + boost::describe::enum_to_string(job.state, "");
  if (job.lost_attempts != 0) out += ", " + attempts(job.lost_attempts);
  return out + "\n" + aligned(rows, {false, false, true, false});
}

namespace {

std::string seconds(std::uint64_t ms) { return format_duration(static_cast<double>(ms) / 1000); }
std::string records_and_bytes(std::uint64_t records, std::uint64_t bytes) {
  return format_count(records) + " (" + format_bytes(bytes) + ")";
}

}  // namespace

std::string stage_numbers_text(const api::job& job) {
  std::vector<std::vector<std::string>> rows{
      {"stage", "what", "tasks", "records in", "records out", "spilled", "task time", "median", "slowest"}};
  for (std::size_t i = 0; i < job.stages.size(); ++i) {
    const auto& s = job.stages[i];
    const auto& n = s.numbers;
    rows.push_back(
        {std::to_string(i), s.name, std::to_string(s.tasks.done) + "/" + std::to_string(s.tasks.total),
         records_and_bytes(n.input_records, n.input_bytes), records_and_bytes(n.output_records, n.output_bytes),
         n.spilled_bytes == 0 ? "" : format_bytes(n.spilled_bytes), seconds(n.milliseconds), seconds(n.median_task_ms),
         seconds(n.slowest_task_ms) +
             (s.tasks.done > 1 ? " (task " + to_string(n.slowest_task) + ")" : std::string())});
  }
  return aligned(rows, {true, false, true, true, true, true, true, true, false});
}

std::string plan_text(const api::job_plan& plan) {
  auto out = "job " + plan.job + " over " + format_count(plan.input_records) + " records (" +
             format_bytes(plan.input_bytes) + "), splits of " + format_bytes(plan.split_bytes) + "\n";
  for (const auto& s : plan.stages) {
    out += "stage " + std::to_string(s.stage) + "  " + s.name + "  " + std::to_string(s.tasks) +
           (s.tasks == 1 ? " task\n" : " tasks\n");
    for (const auto& side : s.reads) out += "    reads   " + side + "\n";
    out += "    writes  " + s.writes + "\n";
    if (!s.last_run) continue;
    const auto& n = *s.last_run;
    out += "    last    " + records_and_bytes(n.input_records, n.input_bytes) + " in, " +
           records_and_bytes(n.output_records, n.output_bytes) + " out, " + seconds(n.milliseconds) + " of tasks" +
           (n.spilled_bytes == 0 ? "" : ", " + format_bytes(n.spilled_bytes) + " spilled") + "\n";
  }
  if (!plan.outputs.empty()) {
    out += "writes";
    for (const auto& name : plan.outputs) out += (name == plan.outputs.front() ? " " : ", ") + name;
    out += ": name a dataset for each, in this order\n";
  }
  for (const auto& p : plan.parameters) out += "takes " + p.name + "=…  " + p.about + "\n";
  out += plan.last_run ? "last run: job " + to_string(*plan.last_run) + "\n" : "";
  return out;
}

std::string summary_text(const api::job& job) {
  auto out = called(job) + " " + boost::describe::enum_to_string(job.state, "") + ": " +
             format_count(job.input_records) + " records (" + format_bytes(job.input_bytes) + ") in, " +
             format_count(job.output_records) + " out, " + took(job);
  if (job.lost_attempts != 0) {
    out += "; " + attempts(job.lost_attempts) + " (" + format_duration(job.lost_task_seconds) + " of work)";
  }
  return out;
}

std::string failure_text(const api::job& job) {
  auto out = called(job) + " " + boost::describe::enum_to_string(job.state, "");
  if (!job.error) return out;
  std::string where;
  if (job.error->node && !job.error->node->empty()) where = *job.error->node;
  if (job.error->offset) where += (where.empty() ? "" : ", ") + ("record " + std::to_string(*job.error->offset));
  if (job.error->dataset && !job.error->dataset->empty())
    where += (job.error->offset ? " of " : where.empty() ? "" : ", ") + *job.error->dataset;
  return out + ": " + (where.empty() ? "" : where + ": ") + harmless(job.error->message);
}

}  // namespace troupe::shell
