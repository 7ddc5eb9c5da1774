#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <troupe/dataflow/task_inputs.hpp>
#include <troupe/dataflow/worker_channel.hpp>
#include <troupe/dataflow/worker_control.hpp>
#include <troupe/sdk/abi.hpp>

namespace troupe::dataflow {

/// Runs the stages of a module in a worker process: everything behind troupe_host. Lives as long as the process
/// (mappings of slabs are kept from task to task); run() is called for one task at a time, each time on one thread.
class task_runtime {
 public:
  /// `channel`: the socket to the daemon, not owned. `log` is called on the task's thread with a line that is at most 4
  /// KiB.
  task_runtime(int channel, worker_control& control, std::function<void(std::string_view)> log);
  ~task_runtime();
  task_runtime(const task_runtime&) = delete;
  task_runtime& operator=(const task_runtime&) = delete;

  /// Runs the stage that the order names. Returns when the module has returned and the daemon has taken note of
  /// everything that was published.
  task_outcome run(const troupe_job& job, const task_order& order);

 private:
  struct host_functions;
  struct open_chunk_state {
    char* data = nullptr;
    std::uint64_t capacity = 0;
    mapping own;  ///< of a chunk with a slab to itself
  };

  /// Asks and waits for the answer; an error is a daemon that is gone.
  result<packet> ask(const worker_question& question);
  result<std::optional<packet>> ask_or_stop(const worker_question& question);
  int next_block(troupe_block* out);
  int open_chunk(std::uint64_t bytes_min, troupe_chunk* out);
  int publish(std::uint32_t partition, const troupe_chunk* chunk, std::uint64_t bytes, std::uint64_t records);
  void log(std::string_view text);
  void count(std::string_view name, std::int64_t delta);
  int scratch_open(std::uint64_t* file);
  int scratch_append(std::uint64_t file, const char* data, std::uint64_t size);
  int scratch_read(std::uint64_t file, std::uint64_t offset, char* data, std::uint64_t size);
  int fail(attempt_failure failure);
  [[nodiscard]] bool stopping() const;

  const int channel_;
  worker_control& control_;
  const std::function<void(std::string_view)> log_;
  std::map<std::uint64_t, mapping> read_slabs_;
  std::map<std::uint64_t, mapping> write_slabs_;
  std::uint64_t write_slab_kept_ =
      0;  ///< the last one: the daemon expects this one to be kept after a task, and no other

  // Of the task that runs
  const task_order* order_ = nullptr;
  std::optional<task_inputs> inputs_;
  std::map<std::uint64_t, open_chunk_state> chunks_;
  std::map<std::uint64_t, std::pair<descriptor, std::uint64_t>> scratch_;  ///< file and its size
  std::uint64_t last_scratch_ = 0;
  task_outcome outcome_;
  bool stop_ = false;
};

/// Makes operator new's failure visible to the daemon as «out of memory», wherever it happens.
void install_memory_guard(worker_control& control);

}  // namespace troupe::dataflow
