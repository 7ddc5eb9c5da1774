#pragma once
#include <troupe/metadata/access.hpp>
#include <troupe/metadata/log_commands.hpp>
#include <troupe/metadata/model.hpp>
#include <variant>

/// Every change of the cluster's metadata. The variant's order is on disk: append only. `apply` answers each with a
/// `response`.
namespace troupe::metadata {

/// A member starts (or starts again). Refused when the incarnation is not above the one known: a copied data directory.
struct register_member {
  member who;
};
BOOST_DESCRIBE_STRUCT(register_member, (), (who))

/// The failure detector's verdict. Ignored unless incarnation is the present one. dead also ends what the member held:
/// its map outputs, its imports, its supervisors.
struct set_member_state {
  member_id id;
  troupe::incarnation incarnation;
  member_state state = member_state::suspect;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(set_member_state, (), (id, incarnation, state, reason))

/// Reserves a name and a range of segment ids; the dataset is invisible until commit_import.
struct begin_import {
  std::string name;
  data_format format = data_format::lines;
  troupe::schema schema;
  std::uint32_t copies = 1;
  bool replace = false;
  member_id importer;
  std::uint32_t segment_ids = 64;
};
BOOST_DESCRIBE_STRUCT(begin_import, (), (name, format, schema, copies, replace, importer, segment_ids))

/// More ids for the same import.
struct allocate_segments {
  dataset_id dataset;
  std::uint32_t count = 64;
};
BOOST_DESCRIBE_STRUCT(allocate_segments, (), (dataset, count))

struct commit_import {
  dataset_id dataset;
  std::vector<partition> partitions;
};
BOOST_DESCRIBE_STRUCT(commit_import, (), (dataset, partitions))

struct abort_import {
  dataset_id dataset;
};
BOOST_DESCRIBE_STRUCT(abort_import, (), (dataset))

struct delete_dataset {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(delete_dataset, (), (name))

/// A copy was found damaged or gone. Takes the holder off when another one remains; never the last. `made` is the
/// making of the copy that was looked at (segment::made, as known before the look): a report that comes when the copy
/// has been made anew is `aborted`, or it would take the good one off.
struct report_damage {
  dataset_id dataset;
  segment_id segment;
  member_id holder;
  log_index made{};
};
BOOST_DESCRIBE_STRUCT(report_damage, (), (dataset, segment, holder, made))

struct load_module {
  module_info module;
};
BOOST_DESCRIBE_STRUCT(load_module, (), (module))

struct module_held {
  std::string hash;
  member_id holder;
};
BOOST_DESCRIBE_STRUCT(module_held, (), (hash, holder))

struct delete_module {
  std::string name;  ///< every load under this name; refused while a job runs one
};
BOOST_DESCRIBE_STRUCT(delete_module, (), (name))

/// How far an open segment had been acknowledged when a job was asked for; its leader says it.
struct open_end {
  std::uint32_t input = 0;  ///< position among the job's inputs
  partition_index partition;
  open_prefix prefix;
};
BOOST_DESCRIBE_STRUCT(open_end, (), (input, partition, prefix))

/// `module_hash` empty: the newest module that has the job. Computes the plan, names the supervisor, reserves output
/// and segment ids.
struct create_job {
  std::string job_name;
  std::string module_hash;  ///< may be a prefix of at least 6 digits
  std::vector<std::string> inputs;
  std::string output;
  bool replace = false;
  std::uint32_t copies = 0;  ///< of the output; 0: as the inputs
  std::map<std::string, std::string> parameters;
  std::uint64_t seed = 0;
  /// Of open segments. A partition without one is read up to its last sealed segment; a segment that was sealed
  /// meanwhile is read whole.
  std::vector<open_end> open_ends{};
  std::vector<std::string> more_outputs{};  ///< names of the datasets behind the first, for a job that writes several
};
BOOST_DESCRIBE_STRUCT(create_job, (),
                      (job_name, module_hash, inputs, output, replace, copies, parameters, seed, open_ends,
                       more_outputs))

struct start_job {
  job_id job;
  troupe::epoch epoch;
};
BOOST_DESCRIBE_STRUCT(start_job, (), (job, epoch))

/// The first attempt of a task wins; a later one gets `already_exists`. A stale epoch, or a member that died since,
/// gets `aborted`. Another digest than the first: `failed_precondition`.
struct commit_task {
  job_id job;
  troupe::epoch epoch;
  stage_index stage;
  task_index task;
  task_commit commit;
};
BOOST_DESCRIBE_STRUCT(commit_task, (), (job, epoch, stage, task, commit))

/// A map output that its member still lists but can no longer give (evicted, damaged): the task counts as not done.
struct revoke_task {
  job_id job;
  troupe::epoch epoch;
  stage_index stage;
  task_index task;
  attempt_number attempt;
};
BOOST_DESCRIBE_STRUCT(revoke_task, (), (job, epoch, stage, task, attempt))

/// Succeeded only when every task of the last stage is committed; then the output dataset is ready in the same step.
struct finish_job {
  job_id job;
  troupe::epoch epoch;
  job_state outcome = job_state::succeeded;
  std::optional<job_error> error;
  std::uint64_t attempts = 0;
  std::uint64_t lost_attempts = 0;
  double lost_task_seconds = 0;
};
BOOST_DESCRIBE_STRUCT(finish_job, (), (job, epoch, outcome, error, attempts, lost_attempts, lost_task_seconds))

/// From anyone: ends the job as cancelled, whatever its supervisor does.
struct cancel_job {
  job_id job;
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(cancel_job, (), (job, reason))

/// Changes nothing. The first entry of a term, a probe of the log, and what the benchmark measures.
struct noop {
  std::uint32_t reserved = 0;
};
BOOST_DESCRIBE_STRUCT(noop, (), (reserved))

using command =
    std::variant<register_member, set_member_state, begin_import, allocate_segments, commit_import, abort_import,
                 delete_dataset, report_damage, load_module, module_held, delete_module, create_job, start_job,
                 commit_task, revoke_task, finish_job, cancel_job, noop, create_dataset, alter_dataset, take_over,
                 release_partition, seal_and_open, add_holder, remove_holder, trim_partition, drain_member,
                 remove_member, put_user, remove_user, create_token, revoke_token, use_join_token, revoke_member,
                 note_audit, note_certificate, redeem_link>;

/// What goes into the log. The time is the proposer's clock, so that `apply` needs none. A retry has the same id and no
/// second effect.
struct envelope {
  request_id id;
  std::int64_t at_unix_ms = 0;
  metadata::command command;
};
BOOST_DESCRIBE_STRUCT(envelope, (), (id, at_unix_ms, command))

/// Answer of apply: the ids that the command made; zero where it made none.
struct response {
  dataset_id dataset{};
  job_id job{};
  segment_id first_segment{};
  std::string text{};     ///< the name of a member or module; the hash for load_module
  troupe::epoch epoch{};  ///< of the partition, after take_over and seal_and_open
  friend bool operator==(const response&, const response&) = default;
};
BOOST_DESCRIBE_STRUCT(response, (), (dataset, job, first_segment, text, epoch))

}  // namespace troupe::metadata
