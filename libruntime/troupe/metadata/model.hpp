#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <map>
#include <optional>
#include <string>
#include <troupe/base/checksum.hpp>
#include <troupe/base/error.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/schema.hpp>
#include <troupe/base/stages.hpp>
#include <vector>

/// What the cluster knows about itself, as plain described structs. `state` (state.hpp) holds them; commands
/// (commands.hpp) change them.
namespace troupe::metadata {

enum class member_state : std::uint8_t {
  alive,
  suspect,  ///< its connection is closed or its heartbeats are late, its lease still runs
  dead,     ///< lease run out or known to be killed; its tasks go elsewhere
  left,     ///< went in order
};
BOOST_DESCRIBE_ENUM(member_state, alive, suspect, dead, left)

struct member {
  member_id id;
  std::string name;     ///< unique in the cluster: node1, node2…
  std::string address;  ///< host:port of its gate
  troupe::incarnation incarnation;
  member_state state = member_state::alive;
  std::string state_reason;  ///< why it is suspect, dead or left; empty when alive
  std::uint32_t cores = 0;
  std::uint32_t slots = 0;  ///< tasks it runs at once
  std::uint64_t memory_bytes = 0;
  std::uint32_t pid = 0;
  std::string version;
  std::int64_t started_at_unix_ms = 0;
  bool draining = false;  ///< on its way out: gets no new copies and leads no logs
  friend bool operator==(const member&, const member&) = default;
};
BOOST_DESCRIBE_STRUCT(member, (),
                      (id, name, address, incarnation, state, state_reason, cores, slots, memory_bytes, pid, version,
                       started_at_unix_ms, draining))

/// A copy that was made after the segment was written, and by which command: so that a report of damage can say whether
/// it means this copy or the one that lay there before.
struct remade_copy {
  member_id holder;
  log_index made;
  friend bool operator==(const remade_copy&, const remade_copy&) = default;
};
BOOST_DESCRIBE_STRUCT(remade_copy, (), (holder, made))

/// A sealed file with copies on members. All copies have the same bytes after the header.
struct segment {
  segment_id id;
  std::uint64_t bytes = 0;       ///< of the payloads: what a user thinks of as its size
  std::uint64_t file_bytes = 0;  ///< of the batches, after the header and before the footer; splits divide this range
  std::uint64_t records = 0;
  digest128 digest;                      ///< XXH3-128 over the batches
  std::vector<member_id> holders;        ///< none: every copy was given up, the records are lost
  troupe::epoch epoch{};                 ///< in which it was opened for appends; 0: written whole by an import or a job
  std::int64_t last_append_unix_ms = 0;  ///< of its last record; 0: not appended to
  std::vector<remade_copy> remade{};     ///< those of the holders whose copy add_holder listed

  /// The making of a holder's copy: the entry that listed it, 0 for one that was written with the segment.
  [[nodiscard]] log_index made(member_id holder) const {
    for (const auto& r : remade)
      if (r.holder == holder) return r.made;
    return log_index{0};
  }
  void drop_holder(member_id holder) {
    std::erase(holders, holder);
    std::erase_if(remade, [&](const remade_copy& r) { return r.holder == holder; });
  }
  friend bool operator==(const segment&, const segment&) = default;
};
BOOST_DESCRIBE_STRUCT(segment, (),
                      (id, bytes, file_bytes, records, digest, holders, epoch, last_append_unix_ms, remade))

/// A member as it was started then: a message to, or an answer of, another start of it does not count.
struct replica_ref {
  member_id member;
  troupe::incarnation incarnation;
  friend auto operator<=>(const replica_ref&, const replica_ref&) = default;
};
BOOST_DESCRIBE_STRUCT(replica_ref, (), (member, incarnation))

/// The segment that appends go to. Its length is known to its replicas only.
struct open_segment {
  segment_id id;
  troupe::epoch epoch;  ///< the partition's when it was opened; appends carry it
  std::vector<replica_ref> replicas;
  friend bool operator==(const open_segment&, const open_segment&) = default;
};
BOOST_DESCRIBE_STRUCT(open_segment, (), (id, epoch, replicas))

/// The appendable end of a partition. doc/design/protocols.md, section 2.
struct partition_log {
  troupe::epoch epoch;  ///< grows with every take-over and with every segment opened
  std::optional<replica_ref> leader;
  std::optional<open_segment> open;   ///< follows the sealed ones
  std::uint64_t trimmed_records = 0;  ///< given up by retention: the offset of the first record that is left
  friend bool operator==(const partition_log&, const partition_log&) = default;
};
BOOST_DESCRIBE_STRUCT(partition_log, (), (epoch, leader, open, trimmed_records))

struct partition {
  std::vector<segment> segments{};  ///< sealed, in order
  partition_log log{};
  friend bool operator==(const partition&, const partition&) = default;
};
BOOST_DESCRIBE_STRUCT(partition, (), (segments, log))

enum class sync_policy : std::uint8_t {
  batch,  ///< a record is acknowledged when it is on the disks of all replicas
  seal,   ///< when all replicas have written it; a loss of power everywhere may take the open segment's tail
};
BOOST_DESCRIBE_ENUM(sync_policy, batch, seal)

/// How a dataset grows. Every ready dataset may be appended to, an imported one as well.
struct log_settings {
  std::string key_field;         ///< the field that chooses a record's partition; empty: spread evenly
  std::uint32_t min_copies = 1;  ///< with fewer live replicas than this, appends are refused; at most `copies`
  sync_policy sync = sync_policy::batch;
  std::int64_t keep_age_ms = 0;  ///< segments whose last record is older are given up; 0: kept
  std::uint64_t keep_bytes = 0;  ///< of payload in each partition; the oldest segments beyond it go; 0: all
  friend bool operator==(const log_settings&, const log_settings&) = default;
};
BOOST_DESCRIBE_STRUCT(log_settings, (), (key_field, min_copies, sync, keep_age_ms, keep_bytes))

enum class dataset_state : std::uint8_t {
  creating,  ///< an import or a job is writing it; no one sees it
  ready,
  deleting,  ///< its name is free again; its files stay while a running job reads them
};
BOOST_DESCRIBE_ENUM(dataset_state, creating, ready, deleting)

struct dataset {
  dataset_id id;
  std::string name;
  data_format format = data_format::lines;
  troupe::schema schema;  ///< empty unless format is records
  std::uint32_t copies = 1;
  dataset_state state = dataset_state::creating;
  std::int64_t created_at_unix_ms = 0;
  std::optional<job_id> made_by;      ///< else imported
  std::optional<member_id> importer;  ///< while creating by import: dies with it
  std::vector<partition> partitions;
  log_settings log;
  friend bool operator==(const dataset&, const dataset&) = default;
};
BOOST_DESCRIBE_STRUCT(dataset, (),
                      (id, name, format, schema, copies, state, created_at_unix_ms, made_by, importer, partitions, log))

/// What one of a job's inputs has to be.
struct input_shape {
  data_format format = data_format::lines;
  troupe::schema schema;
  friend bool operator==(const input_shape&, const input_shape&) = default;
};
BOOST_DESCRIBE_STRUCT(input_shape, (), (format, schema))

/// One of several datasets that a job writes: the tasks of `branches` branches of its last stage do.
struct output_shape {
  std::string name;  ///< for people; the dataset's is chosen when the job is run
  troupe::schema schema;
  std::uint32_t branches = 1;
  friend bool operator==(const output_shape&, const output_shape&) = default;
};
BOOST_DESCRIBE_STRUCT(output_shape, (), (name, schema, branches))

/// What a job takes as `name=value`.
struct declared_parameter {
  std::string name;
  std::string about;  ///< for people
  friend bool operator==(const declared_parameter&, const declared_parameter&) = default;
};
BOOST_DESCRIBE_STRUCT(declared_parameter, (), (name, about))

/// What a module says about one job in it (from its C table, sdk/abi.hpp).
struct job_description {
  std::string name;
  data_format input_format = data_format::lines;
  schema input_schema;
  data_format output_format = data_format::records;
  schema output_schema;
  std::uint32_t stages = 1;             ///< how many
  std::vector<stage_shape> shape{};     ///< of them, in order; empty: classic_stages(stages)
  std::vector<input_shape> inputs{};    ///< exactly these; empty: any number, as input_format and input_schema say
  std::vector<output_shape> outputs{};  ///< of the last stage's branches in order; empty: one, as output_schema says
  std::optional<std::vector<declared_parameter>> parameters{};  ///< none but these; absent: the module does not say
  friend bool operator==(const job_description&, const job_description&) = default;
};
BOOST_DESCRIBE_STRUCT(job_description, (),
                      (name, input_format, input_schema, output_format, output_schema, stages, shape, inputs, outputs,
                       parameters))

struct module_info {
  std::string hash;  ///< SHA-256 of the file, 64 hexadecimal digits
  std::string name;  ///< file name without .so
  std::string abi;
  std::uint64_t size_bytes = 0;
  std::int64_t loaded_at_unix_ms = 0;
  std::vector<job_description> jobs;
  std::vector<member_id> holders;
  friend bool operator==(const module_info&, const module_info&) = default;
};
BOOST_DESCRIBE_STRUCT(module_info, (), (hash, name, abi, size_bytes, loaded_at_unix_ms, jobs, holders))

enum class job_state : std::uint8_t { queued, running, succeeded, failed, cancelled };
BOOST_DESCRIBE_ENUM(job_state, queued, running, succeeded, failed, cancelled)

struct job_error {
  std::string message{};
  std::string node{};                     ///< name of the member; empty when none is to blame
  std::string dataset{};                  ///< of the input; empty when none is to blame
  std::optional<std::uint64_t> offset{};  ///< of the record within its partition of that dataset
  friend bool operator==(const job_error&, const job_error&) = default;
};
BOOST_DESCRIBE_STRUCT(job_error, (), (message, node, dataset, offset))

/// Fixed when the job is accepted: what a task writes depends on the input's bytes and on this, on nothing else.
struct job_plan {
  std::uint64_t split_bytes = 0;  ///< a map task reads the batches that begin in one such range of a segment's batches
  std::uint32_t map_tasks = 0;    ///< splits of all inputs
  std::uint32_t partitions = 0;   ///< of a shuffle; for a job of one stage: map_tasks
  std::uint64_t seed = 0;
  std::vector<std::uint32_t> input_splits{};  ///< of each input: map_tasks together
  std::vector<std::uint32_t> stage_tasks{};   ///< of each stage
  friend bool operator==(const job_plan&, const job_plan&) = default;
};
BOOST_DESCRIBE_STRUCT(job_plan, (), (split_bytes, map_tasks, partitions, seed, input_splits, stage_tasks))

/// The attempt that counts for a task. For a map task its blocks lie on `where`; for a task of the last stage `output`
/// is its segment (absent when it wrote nothing).
struct task_commit {
  attempt_number attempt;
  member_id where;
  incarnation where_incarnation;
  digest128 digest;  ///< over the digests of everything it wrote
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::uint64_t output_records = 0;
  std::optional<segment> output;
  std::map<std::string, std::int64_t> counters;
  std::uint64_t output_bytes = 0;
  std::uint64_t spilled_bytes = 0;  ///< of its own, beyond its memory; what the block store spills is not the task's
  std::uint64_t milliseconds = 0;   ///< in its slot
  friend bool operator==(const task_commit&, const task_commit&) = default;
};
BOOST_DESCRIBE_STRUCT(task_commit, (),
                      (attempt, where, where_incarnation, digest, input_bytes, input_records, output_records, output,
                       counters, output_bytes, spilled_bytes, milliseconds))

/// What a stage's committed tasks did; kept when the job has ended.
struct stage_summary {
  std::uint64_t tasks = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::uint64_t output_bytes = 0;
  std::uint64_t output_records = 0;
  std::uint64_t spilled_bytes = 0;
  std::uint64_t milliseconds = 0;         ///< of all tasks together
  std::uint64_t milliseconds_median = 0;  ///< of a task
  std::uint64_t milliseconds_max = 0;
  task_index slowest;
  friend bool operator==(const stage_summary&, const stage_summary&) = default;
};
BOOST_DESCRIBE_STRUCT(stage_summary, (),
                      (tasks, input_bytes, input_records, output_bytes, output_records, spilled_bytes, milliseconds,
                       milliseconds_median, milliseconds_max, slowest))

struct stage_progress {
  std::map<task_index, task_commit> committed;
  std::map<task_index, digest128>
      first_digests;  ///< of tasks whose commit was lost with its member: a re-run must give the same
  friend bool operator==(const stage_progress&, const stage_progress&) = default;
};
BOOST_DESCRIBE_STRUCT(stage_progress, (), (committed, first_digests))

/// The beginning of an open segment that a job reads: whole batches.
struct open_prefix {
  segment_id segment;
  std::uint64_t bytes = 0;       ///< of the payloads
  std::uint64_t file_bytes = 0;  ///< of the batches
  std::uint64_t records = 0;
  friend bool operator==(const open_prefix&, const open_prefix&) = default;
};
BOOST_DESCRIBE_STRUCT(open_prefix, (), (segment, bytes, file_bytes, records))

/// What a job reads of one partition, fixed when the job is accepted: its first `segments` segments (none of them is
/// given up while the job runs, so they stay the first) and what had been appended behind them.
struct partition_snapshot {
  std::uint32_t segments = 0;
  std::optional<open_prefix> open;
  friend bool operator==(const partition_snapshot&, const partition_snapshot&) = default;
};
BOOST_DESCRIBE_STRUCT(partition_snapshot, (), (segments, open))

struct input_snapshot {
  std::vector<partition_snapshot> partitions;
  friend bool operator==(const input_snapshot&, const input_snapshot&) = default;
};
BOOST_DESCRIBE_STRUCT(input_snapshot, (), (partitions))

/// A dataset that a job writes.
struct job_output {
  dataset_id dataset;
  std::string name;
  friend bool operator==(const job_output&, const job_output&) = default;
};
BOOST_DESCRIBE_STRUCT(job_output, (), (dataset, name))

struct job {
  job_id id;
  std::string name;
  std::string module;  ///< name, for people
  std::string module_hash;
  job_description description;
  std::vector<dataset_id> inputs;
  std::vector<std::string> input_names;
  dataset_id output;  ///< the first, for most jobs the only one
  std::string output_name;
  bool replace = false;
  std::uint32_t output_copies = 1;
  std::map<std::string, std::string> parameters;
  job_plan plan;
  job_state state = job_state::queued;
  std::optional<job_error> error;
  std::int64_t created_at_unix_ms = 0;
  std::int64_t started_at_unix_ms = 0;
  std::int64_t finished_at_unix_ms = 0;
  // While it runs
  std::optional<member_id>
      supervisor;            ///< where its supervisor runs; assigned by the state machine, moved when that member dies
  epoch supervisor_epoch;    ///< fences earlier supervisors' commits
  segment_id first_segment;  ///< task t's attempt a writes segment first_segment + t * attempts_per_task + (a - 1)
  std::vector<stage_progress> stages;    ///< cleared when it has ended
  std::vector<input_snapshot> snapshot;  ///< for each input; cleared when it has ended
  // What remains
  std::uint64_t tasks_done = 0;
  std::uint64_t attempts = 0;
  std::uint64_t lost_attempts = 0;
  double lost_task_seconds = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::uint64_t output_records = 0;
  std::map<std::string, std::int64_t> counters;
  std::vector<stage_summary> summary;      ///< of each stage
  std::vector<job_output> more_outputs{};  ///< behind the first; they appear with it or not at all
  friend bool operator==(const job&, const job&) = default;
};
BOOST_DESCRIBE_STRUCT(job, (),
                      (id, name, module, module_hash, description, inputs, input_names, output, output_name, replace,
                       output_copies, parameters, plan, state, error, created_at_unix_ms, started_at_unix_ms,
                       finished_at_unix_ms, supervisor, supervisor_epoch, first_segment, stages, tasks_done, attempts,
                       lost_attempts, lost_task_seconds, input_bytes, input_records, output_records, counters, snapshot,
                       summary, more_outputs))

/// Attempts of one task, of whatever fate, before the job fails as hopeless; also the stride of its segment ids.
inline constexpr std::uint32_t attempts_per_task = 64;

}  // namespace troupe::metadata
