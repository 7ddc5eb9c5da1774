#pragma once
#include <actors/supervision/local_messages.hpp>
#include <caf/event_based_actor.hpp>
#include <troupe/metadata/splits.hpp>
#include <troupe/scheduling/job_tracker.hpp>

namespace troupe::actors {

/// Carries one job through: asks the job tracker what to do, sends attempts to nodes, proposes commits. One for each
/// job and epoch, on the node that metadata names; spawned and supervised by that node's supervisor, to which it sends
/// what is for its own node. Ends when the job has ended or has another supervisor. It holds nothing that metadata and
/// the nodes could not give to its successor.
class job_supervisor final : public caf::event_based_actor {
 public:
  static constexpr std::chrono::milliseconds tick_interval{250};
  static constexpr std::uint32_t propose_deadline_ms = 10'000;
  static constexpr std::chrono::milliseconds propose_pause{200};  ///< before a proposal is repeated
  static constexpr scheduling::time_ms silence_ms_max = 1'000;    ///< then a node with attempts is asked what it has
  static constexpr scheduling::time_ms start_grace_ms =
      2'000;  ///< an attempt that its node does not list this long after it was sent is sent again
  static constexpr scheduling::time_ms given_up_ms =
      30'000;  ///< a live node that says nothing of its attempts for so long has lost them
  static constexpr int happenings_a_second_max = 20;

  job_supervisor(caf::actor_config& config, const node_context& context, caf::actor node, job_id job,
                 troupe::epoch epoch, std::shared_ptr<const peer_map> peers);
  const char* name() const override { return "job_supervisor"; }
  caf::behavior make_behavior() override;
  void on_exit() override;

 private:
  struct proposal {
    metadata::command command;
    std::function<void(result<void>)> then;
  };

  bool begin();
  [[nodiscard]] bool still_mine();
  void members_changed();
  void holders_changed(segment_id segment);
  void flush();
  void perform(scheduling::start_effect& e);
  void perform(scheduling::cancel_effect& e);
  void perform(scheduling::withdraw_effect& e);
  void perform(scheduling::prefetch_effect& e);
  void perform(scheduling::commit_effect& e);
  void perform(scheduling::revoke_effect& e);
  void perform(scheduling::finish_effect& e);
  void perform(scheduling::loss_effect& e);
  void sync();

  void propose(metadata::command command, std::function<void(result<void>)> then);
  void send_proposal(request_id id);
  void proposal_answered(request_id id, const result<metadata::response>& answer);

  void on_report(const message::node_report& report);
  void on_tick();
  void say(std::string kind, std::string about, std::string text, std::map<std::string, std::string> fields);
  [[nodiscard]] message::job_status status();
  [[nodiscard]] std::vector<scheduling::worker_member> read_members(const metadata::state& state) const;
  [[nodiscard]] bool is_for_me(job_id job, epoch e) const { return tracker_ && job == job_ && e == epoch_; }
  [[nodiscard]] static scheduling::time_ms now();
  [[nodiscard]] std::string name_of(member_id id) const;

  template <class Message>
  void send_to(member_id where, Message m);

  const node_context& context_;
  const caf::actor node_;
  const job_id job_;
  const troupe::epoch epoch_;
  std::shared_ptr<const peer_map> peers_;
  std::optional<scheduling::job_tracker> tracker_;
  std::string job_name_;
  std::vector<bool> reads_dataset_;  ///< by stage
  std::vector<std::string> stage_names_;
  bool started_ = false;                            ///< start_job is committed: commits may follow
  std::vector<std::function<void()>> after_start_;  ///< proposals that wait for it
  std::map<request_id, proposal> proposals_;
  struct sent_start {
    scheduling::time_ms at = 0;
    std::vector<member_id> replicas;
  };
  std::map<std::pair<member_id, scheduling::attempt_ref>, sent_start> sent_;
  std::optional<scheduling::time_ms> wake_at_;
  std::map<member_id, scheduling::time_ms> heard_at_;
  std::map<member_id, std::map<scheduling::attempt_ref, std::uint64_t>> records_live_;  ///< of running attempts
  // Of commits made in this epoch and before
  std::uint64_t input_bytes_ = 0;
  std::uint64_t input_records_ = 0;
  std::uint64_t output_records_ = 0;
  std::map<std::string, std::int64_t> counters_;
  scheduling::time_ms second_began_ = 0;
  int happenings_ = 0;
  std::uint64_t happenings_left_out_ = 0;
};

}  // namespace troupe::actors
