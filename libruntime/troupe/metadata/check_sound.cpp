#include <algorithm>
#include <troupe/base/limits.hpp>
#include <troupe/metadata/checks.hpp>
#include <troupe/metadata/splits.hpp>
#include <troupe/metadata/state.hpp>

/// What a snapshot must be before anything is applied to it. Its checksum says that it came as it was written, not that
/// who wrote it was right; and `apply` counts on every one of these.
namespace troupe::metadata {
namespace {

/// Ids are given out one after the other: none comes near.
constexpr std::uint64_t number_max = std::uint64_t{1} << 62;

error contradiction(std::string what) {
  return {errc::corrupted, "the metadata snapshot contradicts itself: " + std::move(what)};
}

bool within(const std::vector<input_snapshot>& read, std::size_t i, const dataset& d) {
  const auto& parts = read[i].partitions;
  if (parts.size() > d.partitions.size()) return false;
  for (std::size_t p = 0; p < parts.size(); ++p)
    if (parts[p].segments > d.partitions[p].segments.size()) return false;
  return true;
}

}  // namespace

result<void> state::check_sound() const {
  if (next_dataset_ >= number_max || next_segment_ >= number_max || next_job_ >= number_max ||
      applied_.value >= number_max)
    return contradiction("it has given out more numbers than there can be");
  for (const auto& [name, u] : access_.users)
    if (u.name != name || u.role > role::admin) return contradiction("user " + name + " is not what it is called");
  for (const auto& [id, t] : access_.tokens)
    if (t.id != id || t.kind > token_kind::session) return contradiction("token " + id + " is not what it is called");
  if (access_.next_audit >= number_max) return contradiction("its audit log has more entries than there can be");
  for (const auto& [id, d] : datasets_) TROUPE_TRY_VOID(check_dataset(d));
  for (const auto& [first, r] : reservations_)
    if (r.count >= number_max || first.value + r.count > next_segment_ || !datasets_.contains(r.dataset))
      return contradiction("segment ids from " + to_string(first) + " on are reserved for nothing");
  if (!jobs_.empty() && jobs_.rbegin()->first.value >= next_job_)
    return contradiction("job " + to_string(jobs_.rbegin()->first) + " is still to come");
  for (const auto& [id, j] : jobs_) {
    if (j.state > job_state::cancelled) return contradiction("job " + to_string(id) + " is in no known state");
    if (running_.contains(id)) TROUPE_TRY_VOID(check_running(j));
  }
  return ok();
}

result<void> state::check_dataset(const dataset& d) const {
  const auto wrong = [&](const std::string& what) { return contradiction("dataset " + to_string(d.id) + " " + what); };
  if (d.id.value >= next_dataset_) return wrong("is still to come");
  if (d.state > dataset_state::deleting) return wrong("is in no known state");
  if (d.state == dataset_state::ready && find_dataset(d.name) != &d) return wrong("shares its name with another");
  if (d.state == dataset_state::creating) {
    if (find_creating(d.name) != &d) return wrong("shares its name with another");
    if (d.made_by ? !running_.contains(*d.made_by) : !replaces_.contains(d.id)) return wrong("is written by nobody");
  }
  for (std::uint32_t p = 0; p < d.partitions.size(); ++p) {
    const auto& here = d.partitions[p];
    for (std::uint32_t i = 0; i < here.segments.size(); ++i) {
      const auto& s = here.segments[i];
      const auto at = segments_.find(s.id);
      if (s.id.value >= next_segment_ || open_segments_.contains(s.id) || at->second.dataset != d.id ||
          at->second.partition != p || at->second.position != i)
        return wrong("has segment " + to_string(s.id) + " twice, or before its time");
      for (const auto& r : s.remade)
        if (r.made.value == 0 || r.made > applied_ || s.made(r.holder) != r.made ||
            std::find(s.holders.begin(), s.holders.end(), r.holder) == s.holders.end())
          return wrong("has a copy of segment " + to_string(s.id) + " that nobody made");
    }
    if (const auto& open = here.log.open;
        open && (open->id.value >= next_segment_ || open_segments_.at(open->id) != std::pair(d.id, partition_index{p})))
      return wrong("has open segment " + to_string(open->id) + " twice, or before its time");
  }
  return ok();
}

result<void> state::check_running(const job& j) const {
  const auto wrong = [&](const std::string& what) { return contradiction("job " + to_string(j.id) + " " + what); };
  if (j.more_outputs.size() + 1 != std::max<std::size_t>(j.description.outputs.size(), 1))
    return wrong("has other outputs than it was made with");
  for (std::size_t n = 0; n <= j.more_outputs.size(); ++n) {
    const auto* output = find_dataset(n == 0 ? j.output : j.more_outputs[n - 1].dataset);
    if (output == nullptr || output->state != dataset_state::creating || output->made_by != j.id)
      return wrong("does not write its output");
  }
  const auto shape = stages_of(j.description);
  if (j.stages.size() != j.description.stages || shape.size() != j.stages.size() ||
      !check_stages(shape, static_cast<std::uint32_t>(j.description.inputs.size())))
    return wrong("has other stages than it was made of");
  if (!checks::outputs_fit(j.description)) return wrong("has outputs that do not fit its last stage");
  const auto layout = lay_out(shape, splits_of_inputs(j.plan), j.plan.partitions);
  if (!layout) return wrong("has stages that do not fit");
  for (std::size_t s = 0; s < j.plan.stage_tasks.size(); ++s)
    if (s >= layout->size() || j.plan.stage_tasks[s] != (*layout)[s].tasks) return wrong("has a plan that cannot be");
  if (j.plan.split_bytes == 0 || j.plan.map_tasks > map_tasks_max || j.plan.partitions > limits::partitions_max)
    return wrong("has a plan that cannot be");
  for (std::size_t stage = 0; stage < j.stages.size(); ++stage) {
    const auto tasks = (*layout)[stage].tasks;
    const auto& committed = j.stages[stage].committed;
    if (!committed.empty() && committed.rbegin()->first.value >= tasks)
      return wrong("has committed a task that it does not have");
  }
  if (j.snapshot.size() != j.inputs.size()) return wrong("does not say what it reads");
  for (std::size_t i = 0; i < j.inputs.size(); ++i) {
    const auto* input = find_dataset(j.inputs[i]);
    if (input == nullptr || input->state == dataset_state::creating || !within(j.snapshot, i, *input))
      return wrong("reads what is not there");
  }
  return ok();
}

}  // namespace troupe::metadata
