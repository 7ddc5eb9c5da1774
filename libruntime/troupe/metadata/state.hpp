#pragma once
#include <deque>
#include <map>
#include <set>
#include <string_view>
#include <troupe/base/result.hpp>
#include <troupe/metadata/commands.hpp>
#include <unordered_map>

namespace troupe::metadata {

/// Limits of the replicated state itself; each is checked by `apply`, so that every member refuses alike.
inline constexpr std::size_t answers_remembered_max = 10'000;  ///< request ids whose repetition has no second effect
inline constexpr std::size_t jobs_running_max = 1'000;         ///< queued or running at once
inline constexpr std::size_t datasets_max = 100'000;
inline constexpr std::size_t modules_max = 1'000;
inline constexpr std::uint32_t map_tasks_max = 100'000;     ///< of one job: its commits stay below 30 MB
inline constexpr std::uint32_t segment_ids_max = 1U << 16;  ///< in one begin_import or allocate_segments
inline constexpr std::uint32_t copies_max = 16;
inline constexpr std::size_t segments_of_dataset_max = 1'000'000;
inline constexpr std::size_t members_removed_max = 10'000;          ///< remembered, so that none of them comes back
inline constexpr std::uint64_t bytes_max = std::uint64_t{1} << 62;  ///< of anything: more is rubbish
inline constexpr std::uint64_t partition_bytes = 64ULL << 20;       ///< input for each partition of a shuffle
inline constexpr std::uint32_t shuffle_partitions_max = 256;        ///< of a job that did not say how many

/// What the cluster agreed on: the deterministic machine under the log. Owned by the metadata service, changed on its
/// thread only, read under its lock.
///
/// `apply` looks at nothing but this state and the entry: the same entries give the same bytes of `snapshot()` on every
/// member. It validates everything before it changes anything; an error means that nothing changed but the answer
/// remembered for its request id.
///
/// Pointers from `find_…` live until the next `apply` or assignment.
class state {
 public:
  /// Applies the entry at `index`, which must be `applied()` + 1 (an invariant). A request id seen among the last
  /// `answers_remembered_max` gives the answer it was given then, and has no effect.
  result<response> apply(log_index index, const envelope& what);

  /// Index of the entry applied last; 0 when none was.
  [[nodiscard]] log_index applied() const noexcept { return applied_; }

  /// The answer given to a request that was applied, or nullptr when it was not (or long ago). Whoever replicates looks
  /// here before it appends a retry.
  [[nodiscard]] const result<response>* answer_of(request_id id) const;

  /// Everything, as bytes; equal states have equal bytes. doc/formats/metadata_snapshot.md.
  [[nodiscard]] bytes snapshot() const;
  /// The state of such bytes. `corrupted` when they do not decode or contradict themselves, `unsupported` when a newer
  /// build wrote them.
  static result<state> restore(bytes_view snapshot);

  [[nodiscard]] const std::map<member_id, member>& members() const noexcept { return members_; }
  [[nodiscard]] const std::map<dataset_id, dataset>& datasets() const noexcept { return datasets_; }
  [[nodiscard]] const std::map<job_id, job>& jobs() const noexcept { return jobs_; }
  /// In the order of their last load: the newest comes last.
  [[nodiscard]] const std::vector<module_info>& modules() const noexcept { return modules_; }
  /// Jobs that are queued or running.
  [[nodiscard]] const std::set<job_id>& running_jobs() const noexcept { return running_; }
  /// Users, tokens, revoked members, the audit log.
  [[nodiscard]] const access_state& access() const noexcept { return access_; }
  /// Removed or revoked: whose certificates are not to be believed.
  [[nodiscard]] std::set<member_id> distrusted() const;

  [[nodiscard]] const member* find_member(member_id id) const;
  /// Given up by `remove_member`: it may not come back.
  [[nodiscard]] bool was_removed(member_id id) const { return removed_.contains(id); }
  [[nodiscard]] const member* find_member(std::string_view name) const;
  [[nodiscard]] const dataset* find_dataset(dataset_id id) const;
  /// The ready dataset of that name: what a person means by it.
  [[nodiscard]] const dataset* find_dataset(std::string_view name) const;
  /// The dataset that an import or a job is writing under that name.
  [[nodiscard]] const dataset* find_creating(std::string_view name) const;
  [[nodiscard]] const job* find_job(job_id id) const;
  /// By its whole hash.
  [[nodiscard]] const module_info* find_module(std::string_view hash) const;
  /// The module for `run job@hash`: the newest that has the job, or the one whose hash begins with `hash` (at least 6
  /// digits). `not_found` with a sentence.
  [[nodiscard]] result<const module_info*> resolve_module(std::string_view job_name, std::string_view hash) const;
  /// A job as it would be planned if it were created now: description, inputs, snapshot, plan, copies; without ids,
  /// output and supervisor. Refused as `create_job` would be for the same.
  [[nodiscard]] result<job> draft_job(const create_job& c) const;
  /// A segment of a ready or deleting dataset.
  [[nodiscard]] const segment* find_segment(segment_id id) const;
  /// An open segment of a ready or deleting dataset.
  [[nodiscard]] const open_segment* find_open(segment_id id) const;
  /// Whose disks have it: the holders of a sealed segment, the replicas of an open one; none when it is not known.
  [[nodiscard]] std::vector<member_id> holders_of(segment_id id) const;
  /// A partition of a ready dataset.
  [[nodiscard]] const partition* find_partition(dataset_id id, partition_index p) const;
  /// Whether a running job reads of the partition, so that nothing of it may be given up.
  [[nodiscard]] bool is_read(dataset_id id, partition_index p) const;
  /// Alive or suspect: its copies and what it leads count.
  [[nodiscard]] bool is_live(member_id id) const;
  /// Live, and started no more often than the reference says.
  [[nodiscard]] bool is_current(const replica_ref& who) const;
  /// May get new copies and lead logs: alive and not draining.
  [[nodiscard]] bool takes_copies(member_id id) const;
  /// The dataset that has this segment, or has reserved its id and is still being written. None: a file of that id is
  /// trash (after a barrier).
  [[nodiscard]] std::optional<dataset_id> owner_of(segment_id id) const;
  /// The id was given out at some time: without an owner now, the segment is gone for good.
  [[nodiscard]] bool was_given_out(segment_id id) const noexcept { return id.value < next_segment_; }
  /// Whether a queued or running job has it among its inputs.
  [[nodiscard]] bool is_read(dataset_id id) const;

 private:
  struct segment_place {
    dataset_id dataset;
    std::uint32_t partition = 0;
    std::uint32_t position = 0;
  };
  struct reservation {
    std::uint64_t count = 0;
    dataset_id dataset;
  };

  // One for each command; `now` is the envelope's time. Validate, then change.
  result<response> on(const register_member& c, std::int64_t now);
  result<response> on(const set_member_state& c, std::int64_t now);
  result<response> on(const begin_import& c, std::int64_t now);
  result<response> on(const allocate_segments& c, std::int64_t now);
  result<response> on(const commit_import& c, std::int64_t now);
  result<response> on(const abort_import& c, std::int64_t now);
  result<response> on(const delete_dataset& c, std::int64_t now);
  result<response> on(const report_damage& c, std::int64_t now);
  result<response> on(const load_module& c, std::int64_t now);
  result<response> on(const module_held& c, std::int64_t now);
  result<response> on(const delete_module& c, std::int64_t now);
  result<response> on(const create_job& c, std::int64_t now);
  result<response> on(const start_job& c, std::int64_t now);
  result<response> on(const commit_task& c, std::int64_t now);
  result<response> on(const revoke_task& c, std::int64_t now);
  result<response> on(const finish_job& c, std::int64_t now);
  result<response> on(const cancel_job& c, std::int64_t now);
  result<response> on(const noop& c, std::int64_t now);
  result<response> on(const create_dataset& c, std::int64_t now);
  result<response> on(const alter_dataset& c, std::int64_t now);
  result<response> on(const take_over& c, std::int64_t now);
  result<response> on(const release_partition& c, std::int64_t now);
  result<response> on(const seal_and_open& c, std::int64_t now);
  result<response> on(const add_holder& c, std::int64_t now);
  result<response> on(const remove_holder& c, std::int64_t now);
  result<response> on(const trim_partition& c, std::int64_t now);
  result<response> on(const drain_member& c, std::int64_t now);
  result<response> on(const remove_member& c, std::int64_t now);
  result<response> on(const put_user& c, std::int64_t now);
  result<response> on(const remove_user& c, std::int64_t now);
  result<response> on(const create_token& c, std::int64_t now);
  result<response> on(const revoke_token& c, std::int64_t now);
  result<response> on(const use_join_token& c, std::int64_t now);
  result<response> on(const revoke_member& c, std::int64_t now);
  result<response> on(const note_audit& c, std::int64_t now);
  result<response> on(const note_certificate& c, std::int64_t now);
  result<response> on(const redeem_link& c, std::int64_t now);
  result<response> add_token(token t, std::int64_t now);
  void make_room_for(const token& fresh);

  // Members (apply_members.cpp)
  [[nodiscard]] std::string free_name() const;
  void end_duties(member_id id, bool disk_is_gone);
  void forget_commits(job& j, member_id id, bool disk_is_gone);
  [[nodiscard]] std::optional<member_id> choose_supervisor() const;
  void assign_supervisors();

  // Datasets (apply_datasets.cpp)
  result<void> check_name_free(const std::string& name, bool replace) const;
  result<void> check_segment(const segment& s) const;
  dataset& add_creating(dataset d);
  segment_id reserve(dataset_id owner, std::uint64_t count);
  [[nodiscard]] bool has_reserved(dataset_id owner, segment_id id) const;
  void publish(dataset_id id, std::vector<partition> partitions, std::int64_t now);
  void retire(dataset_id id);
  void drop_creating(dataset_id id);
  void erase_dataset(dataset_id id);
  void index_segments(const dataset& d);

  // Logs (apply_logs.cpp) and copies (apply_copies.cpp)
  struct partition_place {
    dataset* of = nullptr;
    partition* here = nullptr;
  };
  result<partition_place> growing_partition(dataset_id id, partition_index p);
  result<partition_place> led_partition(dataset_id id, partition_index p, epoch e, const replica_ref& leader);
  result<void> check_settings(const std::string& name, std::uint32_t copies, const log_settings& log) const;
  result<void> check_seal(const sealed_segment& s, const partition& p) const;
  result<void> check_replicas(const std::vector<replica_ref>& replicas, const dataset& d) const;
  [[nodiscard]] std::size_t other_copies(const segment& s, member_id without) const;

  // Jobs (apply_jobs.cpp)
  result<input_snapshot> snapshot_of(const dataset& d, std::uint32_t input, const std::vector<open_end>& ends) const;
  result<job*> running_job(job_id id, std::optional<epoch> fence);
  void end_job(job& j, job_state outcome, std::optional<job_error> error, std::int64_t now);
  void trim_history(job_id keep);

  void remember(request_id id, const result<response>& answer);
  void rebuild_indexes();
  // Of a restored state (check_sound.cpp)
  [[nodiscard]] result<void> check_sound() const;
  [[nodiscard]] result<void> check_dataset(const dataset& d) const;
  [[nodiscard]] result<void> check_running(const job& j) const;

  // What a snapshot holds
  log_index applied_;
  std::uint64_t next_dataset_ = 1;
  std::uint64_t next_segment_ = 1;
  std::uint64_t next_job_ = 1;
  std::map<member_id, member> members_;
  std::map<dataset_id, dataset> datasets_;
  std::map<segment_id, reservation> reservations_;  ///< by first id; of datasets that are being written
  std::vector<module_info> modules_;
  std::map<job_id, job> jobs_;
  std::map<dataset_id, bool> replaces_;  ///< of datasets that are being written: may take the name from another
  std::deque<std::pair<request_id, result<response>>> answers_;  ///< oldest first
  std::set<member_id> removed_;                                  ///< given up for good: they may not come back
  access_state access_;

  // What follows from it
  std::map<std::string, dataset_id, std::less<>> ready_names_;
  std::map<std::string, dataset_id, std::less<>> creating_names_;
  std::unordered_map<segment_id, segment_place> segments_;  ///< sealed ones
  std::unordered_map<segment_id, std::pair<dataset_id, partition_index>> open_segments_;
  std::uint64_t first_answer_ = 0;  ///< number of answers_.front(), counted since this object began
  std::unordered_map<request_id, std::uint64_t> answer_numbers_;
  std::set<job_id> running_;
};

}  // namespace troupe::metadata
