#pragma once
#include <actors/supervision/attempt_plan.hpp>
#include <actors/supervision/output_sink.hpp>
#include <chrono>
#include <troupe/scheduling/job_tracker.hpp>
#include <variant>

namespace troupe::actors {

class attempt_run;

/// Hands work over to the actor that owns an attempt; any thread may call it. Work for an actor that has ended is
/// dropped.
using poster = std::function<void(std::function<void()>)>;

/// How an attempt ended, for its job's supervisor.
using attempt_outcome = std::variant<metadata::task_commit, scheduling::failure>;

/// Hears of an attempt, on its owner's thread.
class attempt_listener {
 public:
  virtual ~attempt_listener() = default;
  /// All its input is here: it may have a slot.
  virtual void attempt_ready(attempt_run& run) = 0;
  /// The worker is done with it: its slot is free. Its output may still be being sealed.
  virtual void attempt_left_slot(attempt_run& run) = 0;
  /// The last call. Nothing: it was stopped. `run` may be destroyed by the listener.
  virtual void attempt_over(attempt_run& run, std::optional<attempt_outcome> outcome) = 0;
  virtual void attempt_log(attempt_run& run, std::string line) = 0;
  /// As node_ports::fetch_map_output: what of it is here already is given from there.
  virtual void attempt_fetches(attempt_run& run, const attempt_plan::source& source,
                               node_ports::reply<std::vector<dataflow::block_ref>> then) = 0;
};

/// One attempt on its node, from the module's file to the sealed output:
///
///   preparing ─ready→ waiting ─run()→ running ─worker done→ sealing ─→ over
///       └────────────────┴──────────────┴── stop() → stopping ──────────→ over
///
/// Owned by the node supervisor (shared only with callbacks under way); all functions are called on its thread.
class attempt_run : public std::enable_shared_from_this<attempt_run> {
 public:
  static constexpr std::size_t fetches_outstanding_max = 16;  ///< of earlier tasks' outputs, for one attempt

  enum class phase : std::uint8_t { planned, preparing, waiting, running, sealing, stopping, over };

  attempt_run(attempt_plan plan, member_id self, troupe::incarnation incarnation, node_ports& ports, poster post,
              attempt_listener& listener);
  ~attempt_run();
  attempt_run(const attempt_run&) = delete;
  attempt_run& operator=(const attempt_run&) = delete;

  [[nodiscard]] const dataflow::attempt_key& key() const noexcept { return plan_.assignment.key; }
  [[nodiscard]] phase now() const noexcept { return phase_; }
  [[nodiscard]] bool has_slot() const noexcept { return phase_ == phase::running; }
  /// Since it got its slot; 0 before.
  [[nodiscard]] double seconds_worked() const;
  [[nodiscard]] std::uint32_t worker_pid() const noexcept { return worker_pid_; }

  /// Fetches module and inputs.
  void prepare();
  /// It has a slot.
  void run();
  /// Its work is not wanted any more.
  void stop();

 private:
  class observer;

  void on_module(result<std::string> path);
  void fetch_split();
  void list_inputs();
  void fetch_next_source();
  void on_source(std::size_t position, result<std::vector<dataflow::block_ref>> blocks);
  void one_part_ready();
  void fail_preparing(scheduling::failure why);
  void on_started(std::uint32_t pid);
  void on_finished(dataflow::attempt_result outcome);
  void on_failed(const dataflow::attempt_failure& why);
  void on_sealed(dataflow::attempt_result outcome, result<std::optional<data::sealed_output>> sealed);
  void finish(dataflow::attempt_result outcome, std::optional<metadata::segment> output);
  void end(std::optional<attempt_outcome> outcome);
  void discard_inputs();
  [[nodiscard]] scheduling::failure blame(const dataflow::attempt_failure& why);

  attempt_plan plan_;
  const member_id self_;
  const troupe::incarnation incarnation_;
  node_ports& ports_;
  poster post_;
  attempt_listener& listener_;
  phase phase_ = phase::planned;
  std::uint32_t parts_missing_ = 0;  ///< module, input
  std::size_t next_source_ = 0;
  std::size_t sources_outstanding_ = 0;
  std::vector<std::vector<dataflow::block_ref>> fetched_;  ///< by source
  std::optional<dataflow::task_input> split_input_;
  std::vector<dataflow::block_ref> split_blocks_;  ///< of a split that was read from elsewhere
  std::shared_ptr<output_sink> sink_;
  std::uint32_t worker_pid_ = 0;
  std::chrono::steady_clock::time_point slot_since_{};
  double worked_ = 0;
};

}  // namespace troupe::actors
