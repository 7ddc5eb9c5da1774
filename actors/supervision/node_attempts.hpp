#pragma once
#include <actors/supervision/attempt_run.hpp>
#include <actors/supervision/local_messages.hpp>
#include <actors/supervision/reduce_prefetch.hpp>
#include <caf/message.hpp>
#include <troupe/scheduling/node_queue.hpp>

namespace troupe::actors {

/// The attempts of one node, whoever supervises their jobs: plans them, gives them slots, reports on them until the
/// reports have arrived. Owned by the node supervisor and called on its thread; sends through a function, so that it
/// needs no actor.
class node_attempts final : public attempt_listener {
 public:
  static constexpr std::size_t attempts_max =
      1'024;  ///< of all jobs; more are refused, and their supervisor starts them again later
  static constexpr std::size_t log_buffer_bytes = 32 << 10;

  static constexpr std::chrono::milliseconds sources_interval{20};  ///< between two looks at what maps are committed

  /// Sends a message to a member's gateway; one that cannot be reached misses it.
  using sender = std::function<void(member_id, caf::message)>;

  node_attempts(const node_context& context, poster post, sender send);
  ~node_attempts() override;

  void start(const message::start_attempt& wanted);
  void cancel(const message::cancel_attempt& unwanted);
  void withdraw(const message::withdraw_attempt& wanted);
  void prefetch(const message::prefetch_inputs& wanted);
  void take_over(const message::take_over_job& by);
  void report(const message::node_report_wanted& asked);
  void taken(const message::report_taken& report);

  /// Metadata changed for this job: plans that waited may be possible, or the job has ended.
  void job_changed(job_id job);
  /// The same for all jobs: after a change that no command told of.
  void check_all();
  /// This node may compute nothing until further notice, and why: what is here ends, without blame, and what is asked
  /// for waits. Empty: it may again.
  void lease_changed(const std::string& why);
  /// Repeats reports, sends progress and logs. About four times a second.
  void tick();
  void stop();

  [[nodiscard]] bool is_idle() const noexcept { return attempts_.empty() && reports_.empty() && jobs_.empty(); }
  [[nodiscard]] std::uint32_t slots_taken() const noexcept { return queue_.slots_taken(); }
  [[nodiscard]] std::size_t count() const noexcept { return attempts_.size(); }

 private:
  struct attempt {
    message::start_attempt wanted;
    std::shared_ptr<attempt_run> run;  ///< none while metadata is not so far here
  };
  struct report_due {
    member_id supervisor;
    caf::message message;
    int ticks = 0;  ///< since it was sent
  };
  struct job_here {
    troupe::epoch epoch;
    member_id supervisor;
    std::optional<metadata::split_table> splits;
    message::job_tallies tallies;
    std::set<scheduling::attempt_ref> withdrawn;  ///< given back in this epoch: a repeated start comes too late
    std::vector<message::log_line> log;
    std::size_t log_bytes = 0;
    std::uint64_t lines = 0;
    std::uint64_t lines_dropped = 0;
    std::chrono::steady_clock::time_point sources_read_at{};
  };

  void attempt_ready(attempt_run& run) override;
  void attempt_left_slot(attempt_run& run) override;
  void attempt_over(attempt_run& run, std::optional<attempt_outcome> outcome) override;
  void attempt_log(attempt_run& run, std::string line) override;
  void attempt_fetches(attempt_run& run, const attempt_plan::source& source,
                       node_ports::reply<std::vector<dataflow::block_ref>> then) override;

  void plan(attempt& a);
  void read_sources(job_id job);
  void fill_slots();
  /// What is known of the job, for a message of its supervisor; a new epoch stops the attempts of older ones. None: the
  /// message is of an old epoch.
  job_here* heard_from(job_id job, troupe::epoch epoch, member_id supervisor);
  double stop_older(job_id job, epoch than);
  void end_job(job_id job);
  void send_report(const attempt& a, attempt_outcome outcome);
  void send_progress(job_id job, const job_here& here);
  void flush_log(job_id job, job_here& here);
  [[nodiscard]] message::sender self() const { return context_.self(); }

  const node_context& context_;
  poster post_;
  sender send_;
  scheduling::node_queue queue_;
  reduce_prefetch prefetch_;
  std::map<dataflow::attempt_key, attempt> attempts_;
  std::map<dataflow::attempt_key, report_due> reports_;
  std::map<job_id, job_here> jobs_;
  bool without_lease_ = false;
  bool stopped_ = false;
};

}  // namespace troupe::actors
