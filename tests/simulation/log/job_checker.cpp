#include <tests/simulation/log/jobs.hpp>
#include <troupe/metadata/splits.hpp>

namespace troupe::simulation::log {

std::optional<job_id> job_of(const metadata::command& what) {
  if (const auto* c = std::get_if<metadata::commit_task>(&what)) return c->job;
  if (const auto* c = std::get_if<metadata::finish_job>(&what)) return c->job;
  return std::nullopt;
}

std::optional<std::string> job_checker::applied(const metadata::command& what, bool accepted,
                                                const metadata::job* before, const metadata::state& after) {
  if (!accepted) return std::nullopt;
  if (const auto* c = std::get_if<metadata::commit_task>(&what)) {
    const auto name =
        "task " + to_string(c->task) + " of stage " + to_string(c->stage) + " of job " + to_string(c->job);
    if (before == nullptr || c->stage.value >= before->stages.size())
      return name + " is committed, but the job has ended";
    if (before->supervisor_epoch != c->epoch)
      return name + " is committed by a supervisor of epoch " + to_string(c->epoch) + ", the job has " +
             to_string(before->supervisor_epoch);
    if (before->stages[c->stage.value].committed.contains(c->task)) return name + " is committed twice";
    const auto ran = finished_.find(
        {{c->job, {c->stage, c->task, c->commit.attempt}}, c->commit.where, c->commit.where_incarnation});
    if (ran == finished_.end()) return name + " is committed, and no such attempt has ever ended well";
    if (ran->second != c->epoch)
      return name + " is committed with the output of an attempt that an earlier supervisor ordered";
    const auto* where = after.find_member(c->commit.where);
    if (where == nullptr || !after.is_live(where->id) || where->incarnation != c->commit.where_incarnation)
      return name + " is committed with the output of a dead attempt";
  }
  if (const auto* c = std::get_if<metadata::finish_job>(&what); c != nullptr) {
    if (c->outcome != metadata::job_state::succeeded) return std::nullopt;
    if (before == nullptr) return "job " + to_string(c->job) + " ends, and was never there";
    if (!succeeded_.insert(c->job).second) return "job " + to_string(c->job) + " ends twice";
    if (before->supervisor_epoch != c->epoch) return "job " + to_string(c->job) + " is ended by an earlier supervisor";
    const auto last = before->stages.size() - 1;
    if (before->stages[last].committed.size() != metadata::tasks_of(*before, last))
      return "job " + to_string(c->job) + " succeeds with " + std::to_string(before->stages[last].committed.size()) +
             " of " + std::to_string(metadata::tasks_of(*before, last)) + " parts of its output";
    const auto* made = after.find_dataset(before->output_name);
    if (made == nullptr || made->partitions.size() != metadata::tasks_of(*before, last))
      return "job " + to_string(c->job) + " has succeeded, and its output is not there whole";
    if (!outputs_.emplace(before->output_name, c->job).second)
      return "output " + before->output_name + " is made twice";
  }
  return std::nullopt;
}

}  // namespace troupe::simulation::log
