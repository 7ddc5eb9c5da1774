#pragma once
#include <troupe/scheduling/job_tracker.hpp>

/// Members, jobs and inputs for the tests of scheduling.
namespace troupe::scheduling::testing {

inline member_id member_number(std::uint8_t n) {
  member_id id;
  id.value.octets[0] = n;
  return id;
}

inline const auto a = member_number(1);
inline const auto b = member_number(2);
inline const auto c = member_number(3);

inline worker_member make_member(std::uint8_t n, std::uint32_t slots = 2, std::uint64_t run = 1) {
  return {member_number(n), troupe::incarnation(run), "node" + std::to_string(n), slots, true};
}

inline metadata::job make_job(std::uint32_t maps, std::uint32_t reduces, std::uint32_t copies = 1) {
  metadata::job job;
  job.id = job_id(7);
  job.description.stages = reduces == 0 ? 1 : 2;
  job.plan.map_tasks = maps;
  job.plan.partitions = reduces == 0 ? maps : reduces;
  job.output_copies = copies;
  job.supervisor_epoch = epoch(1);
  job.stages.resize(job.description.stages);
  return job;
}

/// One segment a task; task t has copies on the given members in turn.
inline job_input make_input(std::uint32_t maps, const std::vector<std::vector<member_id>>& holders) {
  job_input input;
  for (std::uint32_t t = 0; t < maps; ++t) {
    input.segments.push_back({segment_id(100 + t), "corpus", holders[t % holders.size()]});
    input.segment_of_task.push_back(t);
  }
  return input;
}

inline metadata::task_commit commit_at(const start_effect& s) {
  metadata::task_commit commit;
  commit.attempt = s.what.attempt;
  commit.where = s.where;
  commit.where_incarnation = troupe::incarnation(1);
  return commit;
}

/// An exception of user code at a record.
inline failure thrown() { return {failure_kind::user_code, errc::user_code, "std::out_of_range: map::at", 812, {}}; }

template <class Effect>
std::vector<Effect> only(const std::vector<effect>& effects) {
  std::vector<Effect> found;
  for (const auto& e : effects)
    if (const auto* x = std::get_if<Effect>(&e)) found.push_back(*x);
  return found;
}

}  // namespace troupe::scheduling::testing
