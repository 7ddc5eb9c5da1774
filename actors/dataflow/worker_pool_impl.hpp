#pragma once
#include <actors/cluster/basp_bridge.hpp>
#include <actors/dataflow/worker_pool.hpp>
#include <actors/dataflow/worker_process.hpp>
#include <caf/actor.hpp>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <troupe/base/checksum.hpp>
#include <troupe/dataflow/block_store_impl.hpp>
#include <troupe/dataflow/worker_channel.hpp>
#include <troupe/dataflow/worker_control.hpp>

namespace troupe::actors {

using clock = std::chrono::steady_clock;

/// All state under one mutex; only the pool's thread changes workers. Calls of observers are collected while it is held
/// and made after it is free. Shared with the callbacks that the block store and output holds keep, which may outlive
/// the pool: they only post.
class worker_pool_impl : public std::enable_shared_from_this<worker_pool_impl> {
 public:
  worker_pool_impl(caf::actor_system& system, basp_bridge& bridge, dataflow::block_store& blocks,
                   worker_pool_options options);
  ~worker_pool_impl();
  result<void> start();
  void stop();

  /// To be done by the pool's thread with the mutex held; after stop() it is dropped.
  void post(std::function<void()> event);

  // Events, on the pool's thread
  void on_run(dataflow::task_assignment assignment, std::shared_ptr<attempt_observer> observer);
  void on_cancel(const dataflow::attempt_key& attempt);
  void on_kill_all();
  void on_ready(std::uint64_t token, caf::actor host);
  void on_task_ended(std::uint64_t token, const std::string& outcome);
  void on_logged(std::uint64_t token, std::string line);

  // Any thread
  /// At once, on the caller's thread: a fenced node waits for nobody.
  void kill_workers();
  std::optional<attempt_progress> progress(const dataflow::attempt_key& attempt) const;
  std::vector<worker_info> tree() const;

 private:
  /// An attempt, from run() until its observer has heard the end.
  struct attempt {
    dataflow::task_assignment assignment;
    std::shared_ptr<attempt_observer> observer;
    bytes order;           ///< what the worker is sent
    bool network = false;  ///< it needs a worker that may make sockets
    std::uint64_t serial = 0;
    clock::time_point started{};
    std::optional<clock::time_point> kill_at;          ///< a cancel's grace
    std::optional<dataflow::attempt_failure> verdict;  ///< what failed() will say, whatever the worker says
    std::size_t next_item = 0;                         ///< position in assignment.inputs…
    std::size_t next_block = 0;                        ///< …and in its blocks
    std::uint64_t next_offset = 0;
    std::vector<dataflow::block_pin> pins;      ///< of the page that the worker reads now
    std::optional<std::uint64_t> wanted_chunk;  ///< a question that waits for its answer
    bool asked_store = false;
    clock::time_point waiting_since{};
    std::uint64_t outstanding_bytes = 0;  ///< of a last stage's output, not released
    digest128_stream digest;
    std::uint64_t output_bytes = 0;
    std::uint64_t output_records = 0;
    std::size_t log_lines = 0;
  };
  struct worker {
    dataflow::owner_id owner;
    std::uint64_t token = 0;
    worker_process process;
    dataflow::worker_control* control = nullptr;
    caf::actor host;
    worker_state state = worker_state::starting;
    std::string module_hash;
    bool network = false;  ///< it may make sockets; for life, as its module
    std::uint64_t tasks_done = 0;
    clock::time_point since{};  ///< of `state`
    std::unique_ptr<attempt> task;
    std::set<dataflow::slab_id> read_slabs;  ///< whose descriptors it has
    std::set<dataflow::slab_id> write_slabs;
    dataflow::slab_id write_slab_kept;
    std::string error_text;  ///< of stderr, the line that is not complete yet
    std::string last_error_line;
    std::size_t errors_read = 0;  ///< bytes of it since `errors_since`
    clock::time_point errors_since{};
    std::optional<clock::time_point> stopped_since;  ///< seen with a look at its process
    bool errors_paused = false;  ///< it has printed its share of this moment: it waits, not this thread
  };

  void loop();
  void run_events();
  void on_timer(clock::time_point now);
  clock::time_point next_look_{};
  int timeout_ms(clock::time_point now) const;
  void call_observers();
  void later(std::function<void()> call) { later_.push_back(std::move(call)); }

  // worker_pool_impl.cpp: processes
  worker* fork_one(bool network);
  void watch(int fd, std::uint64_t tag);
  worker* by_token(std::uint64_t token);
  void kill_worker(worker& w);
  void condemn_all();
  void bury(dataflow::owner_id owner);
  /// Reads what it has printed, up to `most` bytes in this moment.
  void read_errors(worker& w, std::size_t most);
  void pause_errors(worker& w, bool paused);
  void look_for_stopped(clock::time_point now);
  void become_idle(worker& w);

  // worker_pool_tasks.cpp: attempts
  void serve_queue();
  bool place(std::unique_ptr<attempt>& task);
  void assign(worker& w, std::unique_ptr<attempt> task);
  void fail_attempt(std::unique_ptr<attempt> task, dataflow::attempt_failure failure);
  void finish(worker& w, const dataflow::task_outcome& outcome);
  void condemn(worker& w, dataflow::failure_kind kind, std::string message);
  void close_task(worker& w, bool worker_lives);
  dataflow::attempt_failure post_mortem(const worker& w, int status) const;

  // worker_pool_answers.cpp: the worker's questions
  void on_question(worker& w);
  void answer(worker& w, const dataflow::daemon_answer& what, const std::vector<int>& fds = {});
  void on_need_chunk(worker& w);
  void on_chunk(dataflow::owner_id owner, std::uint64_t serial, const result<dataflow::chunk_grant>& grant);
  void on_publish(worker& w, const dataflow::publish_chunk& what);
  void on_need_inputs(worker& w);
  void on_released(dataflow::owner_id owner, std::uint64_t serial, std::uint64_t bytes);

  caf::actor_system& system_;
  basp_bridge& bridge_;
  dataflow::block_store& blocks_;
  const worker_pool_options options_;
  caf::actor actor_;  ///< what workers talk to

  mutable std::mutex mutex_;
  std::map<dataflow::owner_id, std::unique_ptr<worker>> workers_;
  std::deque<std::unique_ptr<attempt>> queue_;
  std::uint64_t last_id_ = 0;
  bool closing_ = false;
  std::vector<std::function<void()>> later_;

  std::mutex events_mutex_;  ///< never held with another
  std::vector<std::function<void()>> events_;
  bool stopping_ = false;
  dataflow::descriptor wake_;
  dataflow::descriptor epoll_;
  std::thread thread_;
};

}  // namespace troupe::actors
