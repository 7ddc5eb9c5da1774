#pragma once
#include <map>
#include <optional>
#include <set>
#include <troupe/base/limits.hpp>
#include <troupe/metadata/model.hpp>
#include <troupe/scheduling/attempt_ref.hpp>
#include <unordered_map>
#include <variant>
#include <vector>

namespace troupe::scheduling {

/// Milliseconds of a clock that never goes back; whoever calls hands it in.
using time_ms = std::int64_t;

/// A member as a place to run tasks. Only members that are alive (or suspect) are listed.
struct worker_member {
  member_id id;
  troupe::incarnation incarnation;
  std::string name;
  std::uint32_t slots = 1;
  bool reachable = true;  ///< its supervisor can be sent messages now; if not, it gets no new attempts and keeps those it has
  friend bool operator==(const worker_member&, const worker_member&) = default;
};

/// A segment that map tasks read, and who has a copy.
struct input_segment {
  segment_id id;
  std::string dataset;  ///< name, for messages
  std::vector<member_id> holders;
};

/// What a job supervisor knows about the job's input when it starts.
struct job_input {
  std::vector<input_segment> segments;
  std::vector<std::uint32_t> segment_of_task;  ///< for each map task, its position in `segments`
};

/// How an attempt failed, as its node reports it.
struct failure {
  failure_kind kind = failure_kind::engine;
  errc code = errc::internal;
  std::string message;                  ///< the exception's words, or what ended the worker
  std::optional<std::uint64_t> offset;  ///< of the record within its partition
  std::vector<task_index> sources;      ///< of a reduce with input_lost: the map tasks whose output it could not get
};

/// Effects: what the job supervisor has to do. They come in the order in which they must be done.
struct start_effect {
  attempt_ref what;
  member_id where;
  std::vector<member_id> replicas;  ///< for the last stage: members that get further copies of the output
  friend bool operator==(const start_effect&, const start_effect&) = default;
};
struct cancel_effect {
  attempt_ref what;
  member_id where;
  friend bool operator==(const cancel_effect&, const cancel_effect&) = default;
};
/// Propose commit_task; answer with `commit_answered`.
struct commit_effect {
  attempt_ref what;
  metadata::task_commit commit;
};
/// Propose revoke_task; answer with `revoke_answered`.
struct revoke_effect {
  attempt_ref what;
};
/// Propose finish_job; answer with `finish_answered`.
struct finish_effect {
  metadata::job_state outcome = metadata::job_state::succeeded;
  std::optional<metadata::job_error> error;
};
/// Read the commits from metadata and call `sync_commits`.
struct sync_effect {};
/// An attempt's work is gone: for the monitor and for people.
struct loss_effect {
  attempt_ref what;
  member_id where;
  failure_kind kind = failure_kind::engine;
  double seconds = 0;  ///< of work that has to be done again
  std::string text;    ///< one sentence
};
using effect = std::variant<start_effect, cancel_effect, commit_effect, revoke_effect, finish_effect, sync_effect, loss_effect>;

/// Numbers of a job that survive its supervisor.
struct tallies {
  std::uint64_t attempts = 0;       ///< started
  std::uint64_t lost_attempts = 0;  ///< whose work was thrown away, for whatever reason: at the end attempts = tasks + lost_attempts
  double lost_task_seconds = 0;
};

/// Decides where and when the attempts of one job's tasks run. Owned and called by that job's supervisor; pure: time comes in, effects go out.
///
/// A task is waiting → pending → running → committing → committed, and falls back to pending when an attempt or its committed output is lost.
/// At most one attempt of a task is out at a time. A reduce starts when every map is committed. Rules:
/// - a map task goes where a copy of its segment is; idle members take others' tasks;
/// - a member gets as many attempts as it has slots, and as many again to prefetch for;
/// - failures blamed on a task count; with 4, on at least min(2, live) members, the job fails. A second try goes to another member when there is one;
/// - losses are not counted, but a task tried 64 times in all is given up, and such failures back off (50 ms, doubling, to 2 s);
/// - a member with 3 failures of the engine within a minute gets nothing for 10 s while another member is there;
/// - an input segment without a live holder for `input_wait` fails the job.
///
/// After each call take the effects with `take_effects`, and call `tick` at `wakeup()` at the latest.
class job_tracker {
 public:
  static constexpr time_ms backoff_ms_min = 50;
  static constexpr time_ms backoff_ms_max = 2'000;
  static constexpr time_ms input_wait_ms = 10'000;  ///< members of a restarted cluster come back within this
  static constexpr time_ms quarantine_ms = 10'000;
  static constexpr time_ms quarantine_window_ms = 60'000;
  static constexpr std::size_t quarantine_failures = 3;
  static constexpr std::uint32_t source_failures_max = 3;  ///< of fetching one map output from a live member, before it is revoked
  static constexpr std::size_t outstanding_max = 256;      ///< attempts at one member, whatever its slots

  /// `job` as metadata has it: commits in it count as done (its epoch's attempts get numbers of their own, see `attempt_base`).
  job_tracker(const metadata::job& job, job_input input, time_ms now);

  /// The whole list of live members. Attempts at a member that is missing, or has another incarnation, are lost.
  void set_members(time_ms now, std::vector<worker_member> members);
  /// Who holds a copy of an input segment has changed.
  void set_holders(time_ms now, segment_id segment, std::vector<member_id> holders);
  /// What metadata lists as committed now. Ours that it does not list are lost; those it lists that we did not know are done.
  void sync_commits(time_ms now, const std::vector<metadata::stage_progress>& stages);

  /// The attempt has its slot: from here its work counts as seconds.
  void attempt_started(time_ms now, const attempt_ref& what);
  void attempt_finished(time_ms now, const attempt_ref& what, metadata::task_commit commit);
  void attempt_failed(time_ms now, const attempt_ref& what, failure why);

  void commit_answered(time_ms now, const attempt_ref& what, const result<void>& answer);
  void revoke_answered(time_ms now, const attempt_ref& what, const result<void>& answer);
  void finish_answered(time_ms now, const result<void>& answer);
  void tick(time_ms now);

  /// What an earlier supervisor of this job had counted.
  void add_prior(const tallies& counted);

  [[nodiscard]] std::vector<effect> take_effects();
  /// When `tick` has something to do; none: not before another event.
  [[nodiscard]] std::optional<time_ms> wakeup() const;

  /// Whether that attempt is out at a member now.
  [[nodiscard]] bool is_out(const attempt_ref& what) const;
  [[nodiscard]] std::vector<attempt_ref> out_at(member_id where) const;
  [[nodiscard]] const tallies& counted() const noexcept { return tallies_; }
  [[nodiscard]] std::uint64_t tasks_total() const noexcept;
  [[nodiscard]] std::uint64_t tasks_done() const noexcept;
  /// Attempts that have a slot.
  [[nodiscard]] std::uint64_t tasks_running() const noexcept { return running_with_slot_; }
  [[nodiscard]] bool is_over() const noexcept { return over_; }

  /// The attempts of a task have numbers 1 to 64, and a number names files; so supervisors of successive epochs begin 8 apart, and go round.
  [[nodiscard]] static std::uint32_t attempt_base(epoch supervisor_epoch) noexcept;

 private:
  enum class task_state : std::uint8_t { waiting, pending, running, committing, committed, parked };
  struct task {
    task_state state = task_state::waiting;
    std::uint8_t failures = 0;          ///< blamed
    std::uint8_t losses = 0;            ///< not blamed, in a row
    std::uint8_t input_failures = 0;    ///< unreadable on every copy, or a source out of reach
    bool has_slot = false;
    bool revoking = false;
    std::uint32_t tried = 0;            ///< attempts of this epoch
    attempt_number attempt;             ///< out, committing or committed
    member_id where;
    troupe::incarnation where_incarnation;
    time_ms started = 0;                ///< slot taken
    time_ms spent = 0;                  ///< of the committed attempt
    time_ms not_before = 0;
    std::set<member_id> failed_on;
    std::vector<member_id> output_holders;
    std::string last_error;
  };
  struct stage {
    std::vector<task> tasks;
    std::set<task_index> pending;
    std::uint32_t committed = 0;
  };
  struct place {
    worker_member member;
    std::set<attempt_ref> out;
    std::vector<time_ms> engine_failures;
    time_ms quarantined_until = 0;
    std::set<task_index> local;  ///< pending map tasks with a copy here
  };
  enum class reach { local, idle, deep };

  [[nodiscard]] task& at(const attempt_ref& what) { return stages_[what.stage.value].tasks[what.task.value]; }
  [[nodiscard]] bool is_current(const attempt_ref& what, task_state state) const;
  [[nodiscard]] bool is_last(stage_index s) const noexcept { return s.value + 1 == stages_.size(); }
  [[nodiscard]] bool is_alive(member_id id) const { return places_.contains(id); }
  [[nodiscard]] std::string name_of(member_id id) const;
  [[nodiscard]] input_segment* segment_of(stage_index s, task_index t);

  void make_pending(stage_index s, task_index t, time_ms not_before);
  void leave_pending(stage_index s, task_index t);
  void take_from_member(const attempt_ref& what);
  void lose_attempt(time_ms now, const attempt_ref& what, failure_kind kind, const std::string& why);
  void lose_commit(time_ms now, stage_index s, task_index t, const std::string& why);
  void mark_committed(time_ms now, stage_index s, task_index t, const metadata::task_commit& commit);
  void give_up_place(time_ms now, place& gone, const std::string& why);
  void note_engine_failure(time_ms now, member_id where);
  void lost_input_of_map(time_ms now, const attempt_ref& what, const failure& why);
  void lost_sources(time_ms now, const attempt_ref& what, const failure& why);
  void check_outputs(time_ms now);
  void unpark_if_needed(time_ms now);
  void open_reduces(time_ms now);
  void find_lost_segments(time_ms now);
  void fail(metadata::job_error error);
  void try_finish();

  void step(time_ms now);
  void assign(time_ms now);
  bool assign_one(time_ms now, stage_index s, reach how);
  [[nodiscard]] std::optional<task_index> pick(time_ms now, stage_index s, const place& p, reach how) const;
  [[nodiscard]] bool is_eligible(time_ms now, const task& t, stage_index s, task_index i, const place& p) const;
  [[nodiscard]] bool may_get_work(time_ms now, const place& p) const;
  void start(stage_index s, task_index t, place& p);
  [[nodiscard]] std::vector<member_id> choose_replicas(task_index t, member_id first) const;

  std::uint32_t output_copies_;
  std::uint32_t attempt_base_;
  job_input input_;
  std::unordered_map<segment_id, std::vector<task_index>> tasks_of_segment_;
  std::map<std::uint32_t, time_ms> segments_without_holder_;  ///< position in input_.segments → since when
  std::vector<stage> stages_;
  std::map<member_id, place> places_;
  std::map<member_id, std::string> names_;  ///< of members seen, for messages
  std::vector<effect> effects_;
  tallies tallies_;
  std::uint64_t running_with_slot_ = 0;
  std::uint32_t parked_ = 0;
  bool members_known_ = false;
  bool finish_sent_ = false;
  bool over_ = false;  ///< finish was proposed with a failure, or answered
};

}  // namespace troupe::scheduling
