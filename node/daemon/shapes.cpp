#include "node/daemon/shapes.hpp"

#include <actors/replication/log_plane.hpp>
#include <algorithm>
#include <troupe/metadata/splits.hpp>

namespace troupe::node {
namespace {

std::string name_of(const metadata::state& s, member_id id) {
  const auto* m = s.find_member(id);
  return m != nullptr ? m->name : id.value.short_string();
}

std::vector<std::string> names_of(const metadata::state& s, const std::vector<member_id>& ids) {
  std::vector<std::string> names;
  names.reserve(ids.size());
  for (const auto id : ids) names.push_back(name_of(s, id));
  std::sort(names.begin(), names.end());
  return names;
}

std::optional<api::timestamp> moment(std::int64_t unix_ms) {
  if (unix_ms == 0) return std::nullopt;
  return api::timestamp{unix_ms};
}

template <class Visit>
void for_each_segment(const metadata::dataset& d, Visit visit) {
  for (const auto& p : d.partitions)
    for (const auto& s : p.segments) visit(s);
}

}  // namespace

api::node to_api(const metadata::state& s, const metadata::member& m, member_id leader,
                 const std::vector<member_id>& voters) {
  api::node n;
  n.name = m.name;
  n.id = m.id;
  n.address = m.address;
  n.pid = m.pid;
  n.state = static_cast<api::node_state>(m.state);
  n.state_reason = m.state_reason;
  n.incarnation = m.incarnation;
  n.leader = m.id == leader;
  const bool votes = std::find(voters.begin(), voters.end(), m.id) != voters.end();
  n.role = n.leader ? api::node_role::leader : votes ? api::node_role::voter : api::node_role::learner;
  n.cores = m.cores;
  n.slots = m.slots;
  n.memory_bytes = m.memory_bytes;
  n.version = m.version;
  n.started_at = api::timestamp{m.started_at_unix_ms};
  n.draining = m.draining;
  if (const auto at = s.access().certificates.find(m.id); at != s.access().certificates.end()) {
    n.certificate_expires_at = api::timestamp{at->second.expires_at_unix_ms};
    n.signs = at->second.signs;
  }
  return n;
}

api::dataset_summary to_summary(const metadata::dataset& d) {
  api::dataset_summary out;
  out.name = d.name;
  out.id = d.id;
  out.format = d.format;
  out.state = static_cast<api::dataset_state>(d.state);
  out.copies = d.copies;
  out.partition_count = static_cast<std::uint32_t>(d.partitions.size());
  out.created_at = api::timestamp{d.created_at_unix_ms};
  out.made_by = d.made_by;
  for_each_segment(d, [&](const metadata::segment& s) {
    out.records += s.records;
    out.bytes += s.bytes;
  });
  return out;
}

namespace {

/// The appendable end, and what its copies lack. Its end offset is that of the sealed segments: what follows, only the
/// leader knows.
void add_log(const metadata::state& s, const metadata::dataset& d, const metadata::partition& p,
             api::partition_summary& out) {
  out.epoch = p.log.epoch;
  if (p.log.leader) out.leader = name_of(s, p.log.leader->member);
  out.begin_offset.value = p.log.trimmed_records;
  out.end_offset.value = p.log.trimmed_records + out.records;
  if (p.log.open) {
    out.open_segment = p.log.open->id;
    for (const auto& r : p.log.open->replicas) out.replicas.push_back(name_of(s, r.member));
    std::sort(out.replicas.begin(), out.replicas.end());
  }
  for (const auto& segment : p.segments) {
    const auto live = std::count_if(segment.holders.begin(), segment.holders.end(),
                                    [&](member_id holder) { return s.is_live(holder); });
    if (segment.holders.empty()) ++out.lost;
    if (static_cast<std::uint32_t>(live) >= d.copies || segment.holders.empty()) continue;
    ++out.under_replicated;
    out.under_replicated_bytes += segment.bytes;
  }
}

}  // namespace

void add_status(api::dataset& shown, const logs::dataset_status& status) {
  for (const auto& p : status.partitions) {
    if (p.partition.value >= shown.partitions.size()) continue;
    auto& part = shown.partitions[p.partition.value];
    part.refusing = p.refusing;
    if (p.end <= part.end_offset) continue;
    const auto more = p.end.value - part.end_offset.value;
    part.end_offset = p.end;
    part.records += more;
    part.bytes += p.open_bytes;
    shown.records += more;
    shown.bytes += p.open_bytes;
  }
  shown.notes.insert(shown.notes.end(), status.notes.begin(), status.notes.end());
}

api::dataset to_api(const metadata::state& s, const metadata::dataset& d) {
  api::dataset out;
  out.name = d.name;
  out.id = d.id;
  out.format = d.format;
  out.schema = d.schema.fields;
  out.state = static_cast<api::dataset_state>(d.state);
  out.copies = d.copies;
  out.created_at = api::timestamp{d.created_at_unix_ms};
  out.made_by = d.made_by;
  out.min_copies = d.log.min_copies;
  out.sync = api::same_name<api::sync_policy>(d.log.sync);
  out.key_field = d.log.key_field;
  out.keep_age_ms = d.log.keep_age_ms;
  out.keep_bytes = d.log.keep_bytes;
  for (const auto& p : d.partitions) {
    api::partition_summary part;
    std::optional<std::vector<member_id>> everywhere;
    for (const auto& seg : p.segments) {
      part.records += seg.records;
      part.bytes += seg.bytes;
      part.segments.push_back({seg.id, seg.records, seg.bytes, seg.digest.to_string(), names_of(s, seg.holders)});
      auto holders = seg.holders;
      std::sort(holders.begin(), holders.end());
      if (!everywhere) {
        everywhere = std::move(holders);
      } else {
        std::vector<member_id> both;
        std::set_intersection(everywhere->begin(), everywhere->end(), holders.begin(), holders.end(),
                              std::back_inserter(both));
        everywhere = std::move(both);
      }
    }
    if (everywhere) part.copies = names_of(s, *everywhere);
    add_log(s, d, p, part);
    out.under_replicated += part.under_replicated;
    out.under_replicated_bytes += part.under_replicated_bytes;
    out.lost += part.lost;
    out.records += part.records;
    out.bytes += part.bytes;
    out.partitions.push_back(std::move(part));
  }
  return out;
}

api::module_info to_api(const metadata::state& s, const metadata::module_info& m) {
  api::module_info out;
  out.name = m.name;
  out.hash = m.hash;
  out.abi = m.abi;
  out.size_bytes = m.size_bytes;
  out.loaded_at = api::timestamp{m.loaded_at_unix_ms};
  out.nodes = names_of(s, m.holders);
  for (const auto& j : m.jobs) {
    out.jobs.push_back(
        {j.name, j.input_format, j.input_schema.fields, j.output_format, j.output_schema.fields, j.stages, {}, {}});
    for (const auto& o : j.outputs) out.jobs.back().outputs.push_back({o.name, o.schema.fields});
    if (j.parameters)
      for (const auto& p : *j.parameters) out.jobs.back().parameters.push_back({p.name, p.about});
  }
  return out;
}

api::stage_numbers to_api(const metadata::stage_summary& s) {
  return {s.input_bytes,  s.input_records,       s.output_bytes,     s.output_records, s.spilled_bytes,
          s.milliseconds, s.milliseconds_median, s.milliseconds_max, s.slowest};
}

namespace {

std::string reads_text(const stage_edge& e, const std::vector<std::string>& inputs) {
  auto stage = "stage " + std::to_string(e.from);
  switch (e.kind) {
    case edge_kind::dataset:
      return e.from == all_inputs || e.from >= inputs.size() ? "the inputs, a split for each task"
                                                             : inputs[e.from] + ", a split for each task";
    case edge_kind::partitioned:
      return stage + ", its own partition of every task";
    case edge_kind::broadcast:
      return stage + ", the whole output for every task";
    case edge_kind::forward:
      return stage + ", the task of the same number, where it lies";
  }
  return stage;
}

/// «the outputs long, counts, a partition for each task»
std::string writes_text(const std::vector<metadata::output_shape>& outputs) {
  std::string names;
  for (const auto& o : outputs) names += (names.empty() ? "" : ", ") + o.name;
  return "the outputs " + names + ", a partition for each task";
}

/// The last job that ran the same over the same.
const metadata::job* last_run_of(const metadata::state& s, const metadata::job& like) {
  for (auto at = s.jobs().rbegin(); at != s.jobs().rend(); ++at) {
    const auto& j = at->second;
    if (j.name == like.name && j.module_hash == like.module_hash && j.input_names == like.input_names &&
        j.state == metadata::job_state::succeeded)
      return &j;
  }
  return nullptr;
}

}  // namespace

api::job_plan to_plan(const metadata::state& s, const metadata::job& j) {
  api::job_plan out;
  out.job = j.name;
  out.module = j.module;
  out.module_hash = j.module_hash;
  out.inputs = j.input_names;
  out.split_bytes = j.plan.split_bytes;
  for (std::size_t i = 0; i < j.inputs.size(); ++i) {
    const auto* d = s.find_dataset(j.inputs[i]);
    if (d == nullptr) continue;
    for (std::size_t p = 0; p < d->partitions.size(); ++p) {
      const auto& read = j.snapshot[i].partitions[p];
      for (std::size_t g = 0; g < read.segments; ++g) {
        out.input_bytes += d->partitions[p].segments[g].bytes;
        out.input_records += d->partitions[p].segments[g].records;
      }
      if (read.open) out.input_bytes += read.open->bytes, out.input_records += read.open->records;
    }
  }
  if (j.description.parameters)
    for (const auto& p : *j.description.parameters) out.parameters.push_back({p.name, p.about});
  for (const auto& o : j.description.outputs) out.outputs.push_back(o.name);
  const auto* last = last_run_of(s, j);
  if (last != nullptr) out.last_run = last->id;
  const auto shape = metadata::stages_of(j.description);
  const auto layout = metadata::layout_of(j);
  for (std::uint32_t n = 0; n < shape.size(); ++n) {
    api::plan_stage shown;
    shown.stage = n;
    shown.name = shape[n].name;
    for (const auto& branch : shape[n].branches) {
      std::string side;
      for (const auto& e : branch.edges) side += (side.empty() ? "" : "; ") + reads_text(e, j.input_names);
      shown.reads.push_back(std::move(side));
    }
    shown.tasks = layout[n].tasks;
    shown.partitions = layout[n].partitions;
    const bool is_last = n + 1 == shape.size();
    shown.writes = is_last && !j.description.outputs.empty() ? writes_text(j.description.outputs)
                   : is_last                                 ? "the output, a partition for each task"
                   : shape[n].partitions == 0 ? "a shuffle of " + std::to_string(layout[n].partitions) + " partitions"
                                              : "blocks that stay on the node";
    if (last != nullptr && n < last->summary.size()) shown.last_run = to_api(last->summary[n]);
    out.stages.push_back(std::move(shown));
  }
  return out;
}

api::job to_api(const metadata::state& s, const metadata::job& j) {
  api::job out;
  out.id = j.id;
  out.name = j.name;
  out.module = j.module;
  out.module_hash = j.module_hash;
  out.inputs = j.input_names;
  out.outputs = {j.output_name};
  for (const auto& more : j.more_outputs) out.outputs.push_back(more.name);
  out.parameters = j.parameters;
  out.state = static_cast<api::job_state>(j.state);
  if (j.error) {
    api::job_error e;
    e.message = j.error->message;
    if (!j.error->node.empty()) e.node = j.error->node;
    if (!j.error->dataset.empty()) e.dataset = j.error->dataset;
    e.offset = j.error->offset;
    out.error = std::move(e);
  }
  out.created_at = api::timestamp{j.created_at_unix_ms};
  out.started_at = moment(j.started_at_unix_ms);
  out.finished_at = moment(j.finished_at_unix_ms);
  const bool ended = api::has_ended(out.state);
  const auto shape = metadata::stages_of(j.description);
  for (std::uint32_t stage = 0; stage < j.description.stages; ++stage) {
    api::job_stage shown;
    shown.name = shape.at(stage).name;
    shown.tasks.total = metadata::tasks_of(j, stage);
    if (stage < j.stages.size()) {
      shown.tasks.done = j.stages[stage].committed.size();
      shown.numbers = to_api(metadata::summary_of(j.stages[stage]));
    } else if (stage < j.summary.size()) {
      shown.numbers = to_api(j.summary[stage]);
    }
    if (ended && out.state == api::job_state::succeeded) shown.tasks.done = shown.tasks.total;
    out.tasks.total += shown.tasks.total;
    out.stages.push_back(std::move(shown));
  }
  if (ended) {
    // A map whose node died after every reduce had read its output was not done again, and was not missing either.
    out.tasks.done = out.state == api::job_state::succeeded ? out.tasks.total : j.tasks_done;
    out.input_bytes = j.input_bytes;
    out.input_records = j.input_records;
    out.output_records = j.output_records;
    out.counters = j.counters;
  } else {
    for (std::size_t stage = 0; stage < j.stages.size(); ++stage)
      for (const auto& [task, commit] : j.stages[stage].committed) {
        ++out.tasks.done;
        if (reads_dataset(shape.at(stage))) {
          out.input_bytes += commit.input_bytes;
          out.input_records += commit.input_records;
        }
        if (stage + 1 == j.stages.size()) out.output_records += commit.output_records;
        for (const auto& [name, delta] : commit.counters) out.counters[name] += delta;
      }
    if (j.supervisor) out.supervisor = name_of(s, *j.supervisor);
  }
  out.attempts = j.attempts;
  out.lost_attempts = j.lost_attempts;
  out.lost_task_seconds = j.lost_task_seconds;
  return out;
}

api::event to_api(const telemetry::event& e) {
  return {e.id, api::timestamp{e.time_unix_ms}, e.kind, e.node, e.text, e.fields};
}

}  // namespace troupe::node
