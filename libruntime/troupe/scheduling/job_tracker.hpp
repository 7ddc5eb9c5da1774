#pragma once
#include <map>
#include <optional>
#include <set>
#include <troupe/base/limits.hpp>
#include <troupe/metadata/model.hpp>
#include <troupe/scheduling/attempt_ref.hpp>
#include <tuple>
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
  bool reachable =
      true;  ///< its supervisor can be sent messages now; if not, it gets no new attempts and keeps those it has
  friend bool operator==(const worker_member&, const worker_member&) = default;
};

/// A segment that tasks read, and who has a copy.
struct input_segment {
  segment_id id;
  std::string dataset;  ///< name, for messages
  std::vector<member_id> holders;
};

/// What a job supervisor knows about the job's input when it starts.
struct job_input {
  std::vector<input_segment> segments;
  std::vector<std::uint32_t> segment_of_task;  ///< for each split, its position in `segments`
};

/// How an attempt failed, as its node reports it.
struct failure {
  failure_kind kind = failure_kind::engine;
  errc code = errc::internal;
  std::string message;                  ///< the exception's words, or what ended the worker
  std::optional<std::uint64_t> offset;  ///< of the record within its partition
  std::vector<attempt_ref> sources;  ///< with input_lost: the attempts of earlier stages whose output it could not get
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
/// Ask the member to give the attempt back if it has not got a slot there; answer with `attempt_withdrawn`.
struct withdraw_effect {
  attempt_ref what;
  member_id where;
  friend bool operator==(const withdraw_effect&, const withdraw_effect&) = default;
};
/// Tell the member which reduces are at home there and not begun, all of them: it may fetch their inputs as maps are
/// committed. Worth nothing but time if it gets lost.
struct prefetch_effect {
  member_id where;
  std::vector<task_index> reduces;
  friend bool operator==(const prefetch_effect&, const prefetch_effect&) = default;
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
  double seconds = 0;                     ///< of work that has to be done again
  std::string text;                       ///< one sentence
  std::string dataset{};                  ///< that it read, when a record of it is known
  std::optional<std::uint64_t> offset{};  ///< of the record that it was at, within its partition
};
using effect = std::variant<start_effect, cancel_effect, withdraw_effect, prefetch_effect, commit_effect, revoke_effect,
                            finish_effect, sync_effect, loss_effect>;

/// Numbers of a job that survive its supervisor.
struct tallies {
  std::uint64_t attempts = 0;  ///< started
  std::uint64_t lost_attempts =
      0;  ///< whose work was thrown away, for whatever reason: at the end attempts = tasks + lost_attempts
  double lost_task_seconds = 0;
};

/// Decides where and when the attempts of one job's tasks run. Owned and called by that job's supervisor; pure: time
/// comes in, effects go out.
///
/// A task is pending → running → committing → committed, and falls back to pending when an attempt or its committed
/// output is lost. A finished map whose output is lost is parked until a reduce needs it. At most one attempt of a task
/// is out at a time. A stage starts when every task of the stages that it reads is committed. «Map» here is a task that
/// reads a split, «reduce» one that reads earlier stages only. Rules:
/// - a map task goes where a copy of its segment is; idle members take others' tasks;
/// - a reduce that reads one task alone (a forward edge) is at home where that task's output is;
/// - a reduce has a home from the beginning, as many to a slot everywhere, so that its inputs can be there when the
/// last map is done; others take it only for a slot that would be idle;
/// - a member gets as many attempts as it has slots, and as many again to prefetch for;
/// - an attempt that waits for a slot is asked back when another member has a free one and nothing else to do; its
/// member answers whether it dropped it, so that never two of them run. One that was given back is not counted;
/// - failures blamed on a task count; with 4, on at least min(2, live) members, the job fails. A second try goes to
/// another member when there is one;
/// - losses are not counted, but a task tried 64 times in all is given up, and so is one with 16 losses in a row of
/// which the last was a failure of the engine; such failures back off (50 ms, doubling, to 2 s: 20 s in all);
/// - a member with 3 failures of the engine within a minute gets nothing for 10 s while another member is there;
/// - an input segment without a live holder for `input_wait` fails the job.
///
/// After each call take the effects with `take_effects`, and call `tick` at `wakeup()` at the latest.
class job_tracker {
 public:
  static constexpr time_ms backoff_ms_min = 50;
  static constexpr time_ms backoff_ms_max = 2'000;
  static constexpr time_ms input_wait_ms = 10'000;  ///< members of a restarted cluster come back within this
  static constexpr std::uint8_t engine_losses_max = 16;
  static constexpr time_ms quarantine_ms = 10'000;
  static constexpr time_ms quarantine_window_ms = 60'000;
  static constexpr std::size_t quarantine_failures = 3;
  static constexpr std::uint32_t source_failures_max =
      3;  ///< of fetching one map output from a live member, before it is revoked
  static constexpr std::uint32_t outstanding_max = 128;  ///< attempts of one stage at one member, whatever its slots
  static constexpr std::uint32_t input_failures_max =
      4;  ///< of reading a map's input, each on another member where there is one
  static constexpr std::uint32_t finishes_refused_max = 8;
  static constexpr time_ms withdraw_after_ms =
      250;  ///< an attempt without a slot for so long may go elsewhere: shorter tasks get theirs sooner than that
  static constexpr time_ms withdraw_answer_ms = 1'000;  ///< without an answer for so long it is asked again
  static constexpr std::uint32_t withdrawals_max = 3;  ///< of one task: members busy with other jobs must not play ball

  /// `job` as metadata has it: commits in it count as done (its epoch's attempts get numbers of their own, see
  /// `attempt_base`).
  job_tracker(const metadata::job& job, job_input input, time_ms now);

  /// The whole list of live members. Attempts at a member that is missing, or has another incarnation, are lost.
  /// `committed`, if given, is what metadata lists in the same state, as for `sync_commits`: whoever forgets a member
  /// forgets its map outputs, and no reduce should start in between.
  void set_members(time_ms now, std::vector<worker_member> members,
                   const std::vector<metadata::stage_progress>* committed = nullptr);
  /// Who holds a copy of an input segment has changed.
  void set_holders(time_ms now, segment_id segment, std::vector<member_id> holders);
  /// What metadata lists as committed now. Ours that it does not list are lost; those it lists that we did not know are
  /// done.
  void sync_commits(time_ms now, const std::vector<metadata::stage_progress>& stages);

  /// The attempt has its slot: from here its work counts as seconds.
  void attempt_started(time_ms now, const attempt_ref& what);
  void attempt_finished(time_ms now, const attempt_ref& what, metadata::task_commit commit);
  void attempt_failed(time_ms now, const attempt_ref& what, const failure& why);
  /// Its member has dropped it before it began, or keeps it: it runs, or will have a slot as soon as its inputs are
  /// there.
  void attempt_withdrawn(time_ms now, const attempt_ref& what, bool dropped);

  void commit_answered(time_ms now, const attempt_ref& what, const result<void>& answer);
  void revoke_answered(time_ms now, const attempt_ref& what, const result<void>& answer);
  void finish_answered(time_ms now, const result<void>& answer);
  void tick(time_ms now);

  /// What an earlier supervisor of this job had counted, as a node remembers it; the largest such number counts.
  void set_prior(std::uint64_t attempts, double lost_task_seconds);
  /// Work of an earlier supervisor's attempts that a node stopped when this one took over.
  void add_stopped(double seconds);

  [[nodiscard]] std::vector<effect> take_effects();
  /// When `tick` has something to do; none: not before another event.
  [[nodiscard]] std::optional<time_ms> wakeup() const;

  /// Whether that attempt is out at a member now.
  [[nodiscard]] bool is_out(const attempt_ref& what) const;
  [[nodiscard]] std::vector<attempt_ref> out_at(member_id where) const;
  /// All supervisors together. Every attempt that was started before this one and is not committed is lost: at the end
  /// attempts = tasks + lost_attempts.
  [[nodiscard]] tallies counted() const;
  struct stage_count {
    std::uint64_t total = 0;
    std::uint64_t done = 0;     ///< committed
    std::uint64_t running = 0;  ///< have a slot
  };
  [[nodiscard]] std::vector<stage_count> stage_counts() const;
  [[nodiscard]] bool is_over() const noexcept { return over_; }

  /// The attempts of a task have numbers 1 to 64, and a number names files; so supervisors of successive epochs begin 8
  /// apart, and go round.
  [[nodiscard]] static std::uint32_t attempt_base(epoch supervisor_epoch) noexcept;

 private:
  enum class task_state : std::uint8_t { pending, running, committing, committed, parked };
  struct task {
    task_state state = task_state::pending;
    std::uint8_t failures = 0;  ///< blamed
    std::uint8_t losses = 0;    ///< not blamed, in a row
    std::uint8_t input_failures =
        0;  ///< of a map: unreadable input; of a finished map: reports that its output is out of reach
    bool has_slot = false;
    bool revoking = false;
    bool withdrawing = false;  ///< asked back, not answered yet
    std::uint8_t withdrawals = 0;
    std::uint32_t tried = 0;  ///< attempts of this epoch
    attempt_number attempt;   ///< out, committing or committed; of a pending task the last one known
    member_id where;
    member_id home;       ///< of a reduce: where it shall run; none while no member is known
    time_ms started = 0;  ///< slot taken
    time_ms spent = 0;    ///< by the attempt that is committing or committed
    time_ms not_before = 0;
    time_ms withdraw_from = 0;      ///< while it has no slot: when it may be asked back
    std::set<member_id> failed_on;  ///< blamed
    std::set<member_id> avoid;      ///< tried there without success: another member first
    std::vector<member_id> output_holders;
  };
  /// Of the shape and layout, what is asked often.
  struct stage_links {
    std::vector<std::uint32_t> reads;                 ///< stages, each once
    std::vector<std::uint32_t> read_by;               ///< stages, each once
    std::vector<std::optional<std::uint32_t>> split;  ///< of each task
    bool has_reduces = false;
  };
  struct stage {
    std::vector<task> tasks;
    std::set<task_index> ready;  ///< pending and due
    std::uint32_t pending = 0;   ///< ready or waiting for not_before
    std::uint32_t out = 0;       ///< running, with or without a slot
    std::uint32_t with_slot = 0;
    std::uint32_t committing = 0;
    std::uint32_t committed = 0;
    std::uint32_t revoking = 0;
  };
  struct place {
    worker_member member;
    std::set<attempt_ref> out;
    std::map<std::uint32_t, std::uint32_t> out_of_stage;
    std::vector<time_ms> engine_failures;
    time_ms quarantined_until = 0;
    std::set<std::pair<stage_index, task_index>> local;  ///< ready map tasks with a copy here
  };
  enum class reach { local, idle, deep };

  [[nodiscard]] task& at(const attempt_ref& what) { return stages_[what.stage.value].tasks[what.task.value]; }
  [[nodiscard]] bool is_known(const attempt_ref& what) const;
  [[nodiscard]] bool is_current(const attempt_ref& what, task_state state) const;
  [[nodiscard]] bool is_last(stage_index s) const noexcept { return s.value + 1 == stages_.size(); }
  [[nodiscard]] std::string name_of(member_id id) const;
  [[nodiscard]] std::optional<std::uint32_t> split_of(stage_index s, task_index t) const {
    return links_[s.value].split[t.value];
  }
  /// Of a task that reads a split.
  [[nodiscard]] std::uint32_t position_of(stage_index s, task_index t) const {
    return input_.segment_of_task[*split_of(s, t)];
  }
  [[nodiscard]] const input_segment& segment_of(stage_index s, task_index t) const {
    return input_.segments[position_of(s, t)];
  }
  /// Everything that the stage reads of other stages is there.
  [[nodiscard]] bool inputs_committed(stage_index s) const;
  /// Some task of a stage that reads this one has not all its input.
  [[nodiscard]] bool is_needed(stage_index s) const;
  [[nodiscard]] bool has_live_holder(const input_segment& segment) const;

  // Life of the tasks (job_tracker.cpp)
  void take_from_member(const attempt_ref& what);
  void leave_state(stage_index s, task_index t);
  void apply_commits(time_ms now, const std::vector<metadata::stage_progress>& progress);
  void mark_committed(time_ms now, stage_index s, task_index t, const metadata::task_commit& commit);
  void fail(metadata::job_error error);
  void try_finish();
  void step(time_ms now);

  // Losses (job_tracker_losses.cpp)
  void lose_attempt(time_ms now, const attempt_ref& what, failure_kind kind, const std::string& why,
                    std::optional<std::uint64_t> offset = {});
  void lose_commit(time_ms now, stage_index s, task_index t, const std::string& why);
  void lose_place(time_ms now, const place& gone, const std::string& why);
  void note_engine_failure(time_ms now, member_id where);
  void lost_input_of_map(const attempt_ref& what, member_id where, const failure& why);
  [[nodiscard]] bool is_prefetched(stage_index s) const;
  void follow_source(stage_index s, task_index t);
  void lost_sources(const failure& why);
  void revoke(const attempt_ref& what);
  void check_holders(time_ms now);
  void check_outputs();
  void fail_lost_segments(time_ms now);
  void unpark_if_needed(time_ms now);

  // Placement (job_tracker_assign.cpp)
  void make_pending(time_ms now, stage_index s, task_index t, time_ms not_before);
  void make_ready(stage_index s, task_index t);
  void leave_ready(stage_index s, task_index t);
  void assign(time_ms now);
  bool assign_one(time_ms now, stage_index s, reach how);
  [[nodiscard]] std::optional<task_index> pick(stage_index s, const place& p, reach how) const;
  [[nodiscard]] bool is_eligible(stage_index s, task_index t, const place& p) const;
  [[nodiscard]] bool may_get_work(const place& p) const;
  void start(time_ms now, stage_index s, task_index t, place& p);
  [[nodiscard]] std::vector<member_id> choose_replicas(task_index t, member_id first) const;

  // Homes of reduces (job_tracker_homes.cpp)
  void choose_homes();
  void move_home(stage_index s, task& t, member_id to);
  void tell_homes();

  // Balance (job_tracker_withdraw.cpp)
  [[nodiscard]] std::vector<const place*> places_with_free_slots() const;
  [[nodiscard]] bool may_be_withdrawn(const attempt_ref& what) const;
  void withdraw_queued(time_ms now);

  std::uint32_t output_copies_;
  std::uint32_t attempt_base_;
  job_input input_;
  std::unordered_map<segment_id, std::uint32_t> segment_positions_;
  std::vector<stage_shape> shape_;
  std::vector<stage_layout> layout_;
  std::vector<stage_links> links_;
  std::vector<std::vector<std::pair<stage_index, task_index>>> tasks_of_segment_;
  std::map<std::uint32_t, time_ms> segments_without_holder_;  ///< position in input_.segments → since when
  std::vector<stage> stages_;
  std::set<std::tuple<time_ms, stage_index, task_index>> delayed_;  ///< pending, not due yet
  std::map<member_id, place> places_;
  std::map<member_id, std::string> names_;  ///< of members seen, for messages
  std::set<member_id> homes_changed_;       ///< not told yet
  std::vector<effect> effects_;
  tallies own_;                  ///< of this supervisor
  tallies prior_;                ///< of earlier ones: attempts and seconds
  std::uint64_t inherited_ = 0;  ///< tasks that were committed when this supervisor began
  std::uint32_t parked_ = 0;
  std::uint32_t finishes_refused_ = 0;
  bool members_known_ = false;
  bool finish_sent_ = false;
  bool over_ = false;  ///< its failure was proposed, or its end is committed
};

}  // namespace troupe::scheduling
