#pragma once
#include <boost/describe/enum.hpp>
#include <caf/actor_system.hpp>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>
#include <troupe/dataflow/attempt.hpp>
#include <troupe/dataflow/block_store.hpp>
#include <vector>

namespace troupe::actors {

class basp_bridge;

/// Whether workers may make sockets: those of jobs that ask for it (network_parameter), none, all.
enum class worker_network : std::uint8_t { on_request, forbidden, allowed };

struct worker_pool_options {
  std::filesystem::path worker_program;  ///< of troupe-worker
  std::uint32_t workers_max =
      4;  ///< processes at once, idle ones included; beyond it, idle workers of other modules are retired first
  std::uint32_t queued_max = 256;           ///< attempts that wait for a worker; H6's slots keep this near zero
  std::uint64_t memory_bytes = 1ULL << 30;  ///< of an attempt whose assignment says 0
  std::uint64_t output_window_bytes =
      8ULL << 20;  ///< of a last stage's chunks that wait for their release; then the task waits
  std::chrono::milliseconds start_time_max{10'000};  ///< fork to ready; a sanitized worker on a busy machine took 3 s
  std::chrono::milliseconds cancel_grace{200};       ///< flag in shared memory, then SIGKILL
  std::string scratch_directory = "/tmp";  ///< of workers' files without a name, for what exceeds a task's memory
  std::chrono::milliseconds chunk_wait_max{
      120'000};  ///< for memory or for the release of output; then the attempt fails, unblamed
  worker_network network = worker_network::on_request;
};

/// A chunk of a last stage's output. `bytes` lies in shared memory and stays valid until the last copy of `hold` is
/// gone: dropping it is the release, which gives the task its credit back.
struct output_chunk {
  partition_index partition;
  bytes_view bytes;
  std::uint64_t records = 0;
  digest128 digest;  ///< as the worker reports it: verify it while writing, its bytes are user code's
  std::shared_ptr<const void> hold;
};

/// Hears of one attempt. Calls come one after another, on the pool's thread, with no lock held: return quickly, never
/// block. After finished() or failed() nothing more comes, and the pool drops its reference.
class attempt_observer {
 public:
  virtual ~attempt_observer() = default;
  virtual void started(std::uint32_t worker_pid) = 0;
  /// Only with task_assignment::last_stage; chunks of one partition come in order.
  virtual void output(output_chunk chunk) = 0;
  /// A line that the module logged or printed to stderr; without its newline.
  virtual void log(std::string line) = 0;
  /// Everything was published. A map task's blocks are in the block store from now on.
  virtual void finished(const dataflow::attempt_result& result) = 0;
  /// What it had published is freed already (a last stage's chunks when their holds go).
  virtual void failed(const dataflow::attempt_failure& failure) = 0;
};

/// How far an attempt is, as its worker says (user code may lie): for people and for blame, never for decisions.
struct attempt_progress {
  std::uint64_t input_records = 0;
  std::uint64_t input_bytes = 0;
  std::uint64_t output_records = 0;
  std::uint64_t output_bytes = 0;
  std::optional<std::uint64_t> offset;  ///< of the record it is at
};

enum class worker_state : std::uint8_t { starting, idle, busy, ending };
BOOST_DESCRIBE_ENUM(worker_state, starting, idle, busy, ending)

struct worker_info {
  std::uint32_t pid = 0;
  worker_state state = worker_state::starting;
  std::string module_hash;
  std::uint64_t tasks_done = 0;
  std::optional<dataflow::attempt_key> attempt;
  std::string actor;  ///< name of the actor that runs it: «mapper job 7 stage 0 task 3 attempt 1»; empty when idle
};

class worker_pool_impl;

/// The workers of one node. Owned by the daemon, made once; every function is thread-safe and returns at once. One
/// permanent thread of its own forks (PDEATHSIG follows the thread), reaps, watches the workers' sockets and calls the
/// observers.
class worker_pool {
 public:
  /// `bridge` and `blocks` must outlive the pool, as must the actor system, which needs the message types of
  /// worker_messages.hpp (caf::id_block::troupe_worker).
  static result<std::unique_ptr<worker_pool>> start(caf::actor_system& system, basp_bridge& bridge,
                                                    dataflow::block_store& blocks, worker_pool_options options);
  /// Kills every worker, fails what runs (cancelled), joins the thread.
  ~worker_pool();
  worker_pool(const worker_pool&) = delete;
  worker_pool& operator=(const worker_pool&) = delete;

  /// Runs an attempt on a warm worker of its module, or a new one. Everything that comes of it, errors too, comes
  /// through the observer, never from inside this call.
  void run(dataflow::task_assignment assignment, std::shared_ptr<attempt_observer> observer);
  /// Asks the attempt to stop; after the grace its worker is killed. The observer hears failed(cancelled), or
  /// finished() where that came first. Unknown keys are ignored.
  void cancel(const dataflow::attempt_key& attempt);
  /// Kills every worker (a fenced node): the signals are sent when this returns. Attempts fail as cancelled. The pool
  /// goes on: later runs fork new workers.
  void kill_all();

  [[nodiscard]] std::optional<attempt_progress> progress(const dataflow::attempt_key& attempt) const;
  [[nodiscard]] std::vector<worker_info> tree() const;

 private:
  explicit worker_pool(std::shared_ptr<worker_pool_impl> impl);
  std::shared_ptr<worker_pool_impl> impl_;
};

}  // namespace troupe::actors
