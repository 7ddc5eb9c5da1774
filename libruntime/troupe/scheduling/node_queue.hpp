#pragma once
#include <map>
#include <optional>
#include <set>
#include <troupe/base/result.hpp>
#include <troupe/scheduling/attempt_ref.hpp>

namespace troupe::scheduling {

/// Which of a node's ready attempts gets the next free slot. Owned and called by that node's supervisor; pure.
///
/// Slots are shared fairly: the job with the fewest slots goes first, among equals the one that was served longest ago;
/// within a job the earlier stage goes first (a lost map holds up every reduce), then whoever was ready first. Nothing
/// is pre-empted.
///
/// Two jobs with four ready attempts each on two slots: 1a 2a | 1b 2b | …, whoever came first.
class node_queue {
 public:
  static constexpr std::size_t ready_max = 4'096;  ///< a supervisor sends at most 256 of one job

  explicit node_queue(std::uint32_t slots) : slots_(slots) {}

  /// `resource_exhausted` when the queue is full, `already_exists` when it is queued or has a slot.
  result<void> add(job_id job, const attempt_ref& what);
  /// Gives the next free slot to an attempt, if there is both. Call until it answers none.
  std::optional<std::pair<job_id, attempt_ref>> next();
  /// The attempt is over, or no longer wanted: out of the queue, or its slot is free again. Unknown ones are ignored.
  void remove(job_id job, const attempt_ref& what);

  [[nodiscard]] bool has_slot(job_id job, const attempt_ref& what) const;
  [[nodiscard]] std::uint32_t slots() const noexcept { return slots_; }
  [[nodiscard]] std::uint32_t slots_taken() const noexcept { return taken_; }
  [[nodiscard]] std::size_t ready() const noexcept { return ready_; }

 private:
  struct job_share {
    std::map<std::pair<stage_index, std::uint64_t>, attempt_ref> ready;  ///< by stage, then by arrival
    std::map<attempt_ref, std::uint64_t> arrivals;
    std::set<attempt_ref> with_slot;
    std::uint64_t served = 0;
  };
  std::uint32_t slots_;
  std::uint32_t taken_ = 0;
  std::size_t ready_ = 0;
  std::uint64_t clock_ = 0;
  std::map<job_id, job_share> jobs_;
};

}  // namespace troupe::scheduling
