#pragma once
#include <actors/supervision/job_logs.hpp>
#include <actors/supervision/node_attempts.hpp>
#include <caf/event_based_actor.hpp>
#include <troupe/supervision/restart_policy.hpp>

namespace troupe::actors {

/// The root of a node's actors, and its gateway: every message from other nodes comes here. Supervises one
/// job_supervisor for each job that metadata gives to this node (transient) and the monitor (permanent), one_for_one;
/// the attempts that run here are its own business (node_attempts), the workers' processes the worker pool's. When it
/// gives up it says so through `cluster_actors_config::escalated`, and the daemon ends.
class node_supervisor final : public caf::event_based_actor {
 public:
  static constexpr std::chrono::milliseconds tick_interval{250};
  static constexpr int ticks_to_check =
      4;  ///< then metadata is compared with what runs, in case a change came without a command

  node_supervisor(caf::actor_config& config, std::shared_ptr<const node_context> context);
  const char* name() const override { return "node_supervisor"; }
  caf::behavior make_behavior() override;
  void on_exit() override;

 private:
  struct child {
    caf::actor actor;
    job_id job;  ///< 0: the monitor
    troupe::epoch epoch;
  };

  void start_monitor();
  void start_job(job_id job, troupe::epoch epoch);
  void take_up_jobs();
  void child_ended(const caf::down_msg& down);
  void to_job(job_id job, const caf::message& m);
  void to_all_jobs(const caf::message& m);
  void publish_peers();
  [[nodiscard]] bool is_current(const message::sender& from) const;
  void send_to(member_id where, caf::message m);
  void on_tick();
  [[nodiscard]] std::vector<message::tree_entry> tree();
  void shut_down();

  const std::shared_ptr<const node_context> context_;
  std::optional<node_attempts> attempts_;
  job_logs logs_;
  supervision::restart_policy policy_{supervision::strategy::one_for_one, {10, 60'000}};
  std::map<std::string, child> children_;           ///< by name: «monitor», «job_supervisor/7»
  std::map<job_id, local::job_summary> summaries_;  ///< as the children last told
  std::shared_ptr<const peer_map> peers_ = std::make_shared<peer_map>();
  int ticks_ = 0;
  bool stopping_ = false;
};

}  // namespace troupe::actors
