#pragma once
#include <atomic>
#include <cstdint>

namespace troupe::dataflow {

inline constexpr std::uint64_t no_offset = ~0ULL;
/// How a worker ends when a page of its input could not be read from the disk (worker_control::input_fault is set
/// then).
inline constexpr int worker_exit_input_lost = 71;

/// One page of memory that a worker shares with its daemon. The daemon writes `cancel` and resets the rest before a
/// task; the worker writes the rest. User code can write anything here: the daemon shows it and blames by it, and
/// decides nothing else with it. Read and written with `shared()`.
struct worker_control {
  std::uint64_t current_offset;  ///< of the record the module is at, within its partition; no_offset: none yet
  std::uint64_t input_records;   ///< handed to the module so far
  std::uint64_t input_bytes;
  std::uint64_t output_records;  ///< published so far
  std::uint64_t output_bytes;
  std::uint32_t input;        ///< which of the job's inputs
  std::uint32_t item;         ///< index into task_assignment::inputs
  std::uint32_t cancel;       ///< 1: stop at the next call of the host's functions
  std::uint32_t memory_out;   ///< 1: operator new failed in this task
  std::uint32_t input_fault;  ///< 1: SIGBUS under mapped input
};
inline constexpr std::size_t worker_control_bytes = 4096;
static_assert(sizeof(worker_control) <= worker_control_bytes);
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free &&
              std::atomic_ref<std::uint32_t>::is_always_lock_free);

/// A field of the shared page as an atomic, relaxed.
template <class T>
T shared(const T& field) noexcept {
  return std::atomic_ref<T>(const_cast<T&>(field)).load(std::memory_order_relaxed);
}
template <class T>
void share(T& field, T value) noexcept {
  std::atomic_ref<T>(field).store(value, std::memory_order_relaxed);
}

}  // namespace troupe::dataflow
