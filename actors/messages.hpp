#pragma once
#include <actors/described_inspect.hpp>
#include <caf/type_id.hpp>
#include <troupe/metadata/model.hpp>
#include <troupe/scheduling/attempt_ref.hpp>

/// The one list of messages between nodes' actors; append only. All go to a node's gateway (its node supervisor), carry
/// who sent them, and are at most `limits::control_message_bytes_max` long: what can grow is cut (texts, counters) or
/// comes in pages (logs, trees).
///
/// A link may break and lose what was under way. So nothing counts on arrival: `node_report` lists every second what a
/// node has, and whoever finds a difference repeats itself; every message may come twice.
namespace troupe::message {

inline constexpr std::size_t text_bytes_max = 4 << 10;  ///< of an error's message or a log line
inline constexpr std::size_t counters_max = 256;        ///< of one task, names of at most 128 bytes: 36 KiB
inline constexpr std::size_t counter_name_bytes_max = 128;
inline constexpr std::size_t log_page_bytes_max = 48 << 10;
inline constexpr std::size_t tree_page_entries = 128;
inline constexpr std::size_t sources_max = 2'048;  ///< lost map outputs in one report; the next attempt finds the rest

/// Who sends: an old incarnation's messages are dropped.
struct sender {
  member_id member;
  troupe::incarnation incarnation;
};
BOOST_DESCRIBE_STRUCT(sender, (), (member, incarnation))

/// Numbers of a job that its next supervisor goes on from.
struct job_tallies {
  std::uint64_t attempts = 0;  ///< started so far
  double lost_task_seconds = 0;
};
BOOST_DESCRIBE_STRUCT(job_tallies, (), (attempts, lost_task_seconds))

/// Supervisor → node. The node reads job, split and commits from its own metadata, and waits until that has them.
struct start_attempt {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
  std::vector<member_id> replicas;
  job_tallies tallies;
};
BOOST_DESCRIBE_STRUCT(start_attempt, (), (sender, job, epoch, what, replicas, tallies))

/// Supervisor → node: not wanted any more; no answer.
struct cancel_attempt {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
};
BOOST_DESCRIBE_STRUCT(cancel_attempt, (), (sender, job, epoch, what))

/// Node → supervisor: the attempt has its slot.
struct attempt_started {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
};
BOOST_DESCRIBE_STRUCT(attempt_started, (), (sender, job, epoch, what))

/// Node → supervisor: done; repeated until a `report_taken` comes.
struct attempt_finished {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
  metadata::task_commit commit;
};
BOOST_DESCRIBE_STRUCT(attempt_finished, (), (sender, job, epoch, what, commit))

/// Node → supervisor: gave no result; repeated until a `report_taken` comes.
struct attempt_failed {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
  scheduling::failure_kind kind = scheduling::failure_kind::engine;
  errc code = errc::internal;
  std::string text;
  std::optional<std::uint64_t> offset;           ///< of the record within its partition
  std::vector<scheduling::attempt_ref> sources;  ///< map attempts whose output could not be had
};
BOOST_DESCRIBE_STRUCT(attempt_failed, (), (sender, job, epoch, what, kind, code, text, offset, sources))

/// Supervisor → node: the report on this attempt has arrived.
struct report_taken {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
};
BOOST_DESCRIBE_STRUCT(report_taken, (), (sender, job, epoch, what))

struct attempt_progress {
  scheduling::attempt_ref what;
  bool has_slot = false;
  std::uint64_t input_records = 0;
};
BOOST_DESCRIBE_STRUCT(attempt_progress, (), (what, has_slot, input_records))

/// Node → supervisor, while it has attempts of the job or the supervisor thinks so: everything it has, at most 256.
struct node_report {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  std::vector<attempt_progress> attempts;
};
BOOST_DESCRIBE_STRUCT(node_report, (), (sender, job, epoch, attempts))

/// Supervisor → node: which attempts do you have? Answered with a node_report.
struct node_report_wanted {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
};
BOOST_DESCRIBE_STRUCT(node_report_wanted, (), (sender, job, epoch))

/// New supervisor → node: attempts of lower epochs stop. Answered with job_taken_over.
struct take_over_job {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
};
BOOST_DESCRIBE_STRUCT(take_over_job, (), (sender, job, epoch))

/// Node → new supervisor: what was stopped, and what the last supervisor had counted.
struct job_taken_over {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  double seconds_stopped = 0;
  job_tallies tallies;
};
BOOST_DESCRIBE_STRUCT(job_taken_over, (), (sender, job, epoch, seconds_stopped, tallies))

/// Supervisor → node: give the attempt back if it is only waiting for a slot; answered with attempt_withdrawn.
struct withdraw_attempt {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
};
BOOST_DESCRIBE_STRUCT(withdraw_attempt, (), (sender, job, epoch, what))

/// Node → supervisor. `dropped`: it never had a slot here and never will; else it stays.
struct attempt_withdrawn {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  scheduling::attempt_ref what;
  bool dropped = false;
};
BOOST_DESCRIBE_STRUCT(attempt_withdrawn, (), (sender, job, epoch, what, dropped))

/// Supervisor → node: the reduces that are at home there and not begun, all of them. The node fetches the map outputs
/// that they read as these are committed. No answer.
struct prefetch_inputs {
  message::sender sender;
  job_id job;
  troupe::epoch epoch;
  std::vector<task_index> reduces;
};
BOOST_DESCRIBE_STRUCT(prefetch_inputs, (), (sender, job, epoch, reduces))

struct log_line {
  std::int64_t at_unix_ms = 0;
  std::string node;  ///< name
  scheduling::attempt_ref what;
  std::string text;
};
BOOST_DESCRIBE_STRUCT(log_line, (), (at_unix_ms, node, what, text))

/// Node → supervisor: what modules logged.
struct log_lines {
  message::sender sender;
  job_id job;
  std::vector<log_line> lines;
  std::uint64_t dropped = 0;  ///< lines left out because there were too many
};
BOOST_DESCRIBE_STRUCT(log_lines, (), (sender, job, lines, dropped))

/// Anyone → supervisor's node, as a request with a deadline.
struct job_status_query {
  job_id job;
};
BOOST_DESCRIBE_STRUCT(job_status_query, (), (job))

struct stage_status {
  std::uint64_t total = 0;
  std::uint64_t done = 0;
  std::uint64_t running = 0;  ///< have a slot
};
BOOST_DESCRIBE_STRUCT(stage_status, (), (total, done, running))

/// Live numbers of a running job; what it committed is in metadata.
struct job_status {
  job_id job;
  bool known = false;  ///< false: no supervisor of it runs here
  std::vector<stage_status> stages;
  std::uint64_t attempts = 0;
  std::uint64_t lost_attempts = 0;
  double lost_task_seconds = 0;
  std::uint64_t input_bytes = 0;                 ///< of committed tasks that read datasets
  std::uint64_t input_records = 0;               ///< of committed and of running ones
  std::uint64_t output_records = 0;              ///< of committed tasks of the last stage
  std::map<std::string, std::int64_t> counters;  ///< of committed tasks, the first 256 names
};
BOOST_DESCRIBE_STRUCT(job_status, (),
                      (job, known, stages, attempts, lost_attempts, lost_task_seconds, input_bytes, input_records,
                       output_records, counters))

/// Anyone → a node, as a request with a deadline. Lines are numbered from 1.
struct job_log_query {
  job_id job;
  std::uint64_t after = 0;
  std::uint32_t limit = 1'000;
};
BOOST_DESCRIBE_STRUCT(job_log_query, (), (job, after, limit))

struct job_log_page {
  job_id job;
  bool known = false;       ///< false: this node has never supervised the job, or has forgotten it
  std::uint64_t first = 0;  ///< number of the first line; more than after + 1 when older ones were dropped
  std::vector<log_line> lines;
  bool more = false;
};
BOOST_DESCRIBE_STRUCT(job_log_page, (), (job, known, first, lines, more))

/// Anyone → a node, as a request with a deadline.
struct tree_query {
  std::uint32_t from = 0;
};
BOOST_DESCRIBE_STRUCT(tree_query, (), (from))

/// An actor or worker as it is now. `parent` is the id of another entry; the node's own entry has none.
struct tree_entry {
  std::string id;  ///< unique in the cluster: «node1/worker/3»
  std::string parent;
  std::string kind;  ///< node, node_supervisor, worker, mapper, reducer, job_supervisor, monitor
  std::string name;  ///< «job_supervisor/7», «mapper/7.0.3.1»
  std::string node;
  std::string state;  ///< running, idle, starting, stopped…
  std::uint32_t restarts = 0;
  std::uint32_t pid = 0;
  std::string detail;  ///< a few words for people: «word_count, 12 of 40 tasks done»
};
BOOST_DESCRIBE_STRUCT(tree_entry, (), (id, parent, kind, name, node, state, restarts, pid, detail))

struct tree_page {
  std::vector<tree_entry> entries;
  bool more = false;
};
BOOST_DESCRIBE_STRUCT(tree_page, (), (entries, more))

/// Supervisor → every node, for their journals: something was lost, or was taken over. At most 20 a second for one job;
/// the rest is counted.
struct happening {
  message::sender sender;
  std::string kind;  ///< of the event: «attempt_lost»
  std::string node;  ///< name of the member that it is about
  std::string text;
  std::map<std::string, std::string> fields;
};
BOOST_DESCRIBE_STRUCT(happening, (), (sender, kind, node, text, fields))

}  // namespace troupe::message

CAF_BEGIN_TYPE_ID_BLOCK(troupe_cluster, first_custom_type_id + 100)
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::start_attempt))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::cancel_attempt))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::attempt_started))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::attempt_finished))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::attempt_failed))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::report_taken))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::node_report))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::node_report_wanted))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::take_over_job))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::job_taken_over))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::log_lines))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::job_status_query))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::job_status))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::job_log_query))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::job_log_page))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::tree_query))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::tree_page))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::happening))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::withdraw_attempt))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::attempt_withdrawn))
CAF_ADD_TYPE_ID(troupe_cluster, (troupe::message::prefetch_inputs))
CAF_END_TYPE_ID_BLOCK(troupe_cluster)
