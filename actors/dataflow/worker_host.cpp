#include "actors/dataflow/worker_host.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <caf/event_based_actor.hpp>
#include <caf/io/middleman.hpp>
#include <caf/send.hpp>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <troupe/dataflow/sigbus_guard.hpp>
#include <troupe/dataflow/task_runtime.hpp>
#include <troupe/modules/load.hpp>

#include "actors/cluster/basp_bridge.hpp"
#include "actors/dataflow/worker_messages.hpp"

namespace troupe::actors {

using namespace dataflow;

namespace {

constexpr int caf_fd = 3;
constexpr int channel_fd = 4;
constexpr std::size_t log_lines_max = 1'001;  ///< per task; the daemon keeps one less and says so
constexpr std::uint64_t own_memory_bytes =
    64ULL << 20;  ///< stacks, CAF's buffers and mappings of this process beside the module's own memory

struct worker_config : basp_config {
  worker_config() : basp_config(1) { add_message_types<caf::id_block::troupe_worker>(); }
};

/// Private writable memory of this process, as RLIMIT_DATA counts it.
std::uint64_t data_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t size = 0, resident = 0, shared = 0, text = 0, library = 0, data = 0;
  statm >> size >> resident >> shared >> text >> library >> data;
  return data * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

/// What the actors of a worker share. Lives to the end of the process.
struct worker_state_of_process {
  std::uint64_t token = 0;
  worker_control* control = nullptr;
  caf::actor pool;
  std::uint64_t data_bytes_at_start = 0;
  std::size_t log_lines = 0;  ///< of this task; task thread only
  std::optional<modules::loaded_module> module;
  std::string module_hash;
  std::unique_ptr<task_runtime> runtime;
};

task_outcome failed(std::string why) {
  task_outcome outcome;
  outcome.failure = attempt_failure{failure_kind::engine, std::move(why), {}, 0, {}, {}};
  return outcome;
}

void limit_memory(const worker_state_of_process& process, std::uint64_t bytes) {
  rlimit limit{};
  ::getrlimit(RLIMIT_DATA, &limit);
  limit.rlim_cur = std::min<rlim_t>(process.data_bytes_at_start + own_memory_bytes + bytes, limit.rlim_max);
  ::setrlimit(RLIMIT_DATA, &limit);
}

task_outcome run_order(worker_state_of_process& process, const task_order& order) {
  process.log_lines = 0;
  limit_memory(process, order.memory_bytes);
  if (!process.module) {
    // Its static initialisers are user code already; what goes wrong in them is this task's.
    auto loaded = modules::loaded_module::load(order.module_path);
    if (!loaded) return failed(loaded.error().message());
    process.module.emplace(std::move(*loaded));
    process.module_hash = order.module_hash;
  }
  if (process.module_hash != order.module_hash) return failed("this worker serves another module");
  auto job = process.module->find_job(order.job_name);
  if (!job) return failed(job.error().message());
  return process.runtime->run(**job, order);
}

/// Runs one attempt on a thread of its own, says how it ended, and is gone.
class task_actor : public caf::event_based_actor {
 public:
  task_actor(caf::actor_config& config, worker_state_of_process& process, task_order order)
      : caf::event_based_actor(config), process_(process), order_(std::move(order)) {}
  const char* name() const override { return order_.key.stage.value == 0 ? "mapper" : "reducer"; }
  caf::behavior make_behavior() override {
    const auto outcome = run_order(process_, order_);
    caf::anon_send(process_.pool, message::task_ended{process_.token, codec::encode(outcome)});
    return {};  // nothing to wait for: the actor ends
  }

 private:
  worker_state_of_process& process_;
  const task_order order_;
};

class host_actor : public caf::event_based_actor {
 public:
  host_actor(caf::actor_config& config, worker_state_of_process& process)
      : caf::event_based_actor(config), process_(process) {}
  const char* name() const override { return "host"; }
  caf::behavior make_behavior() override {
    // Without a daemon there is nobody to work for; whatever runs here, stop.
    set_down_handler([](const caf::down_msg&) { ::_exit(0); });
    monitor(process_.pool);
    return {[this](const message::run_task& m) {
      auto order = codec::decode<task_order>(m.order, "order");
      if (order)
        spawn<task_actor, caf::detached>(process_, std::move(*order));
      else
        caf::anon_send(process_.pool,
                       message::task_ended{process_.token, codec::encode(failed(order.error().message()))});
    }};
  }

 private:
  worker_state_of_process& process_;
};

int refuse(const char* why) {
  std::fprintf(stderr, "troupe-worker: %s\n", why);
  return 2;
}

}  // namespace

int run_worker(const std::function<void()>& confine) {
  struct stat status {};
  if (::fstat(caf_fd, &status) != 0 || !S_ISSOCK(status.st_mode) || ::fstat(channel_fd, &status) != 0 ||
      !S_ISSOCK(status.st_mode))
    return refuse(
        "is started by troupe-node, not by hand; `troupe-worker --inspect FILE.so` shows what is in a module");
  // What user code forks gets neither.
  ::fcntl(caf_fd, F_SETFD, FD_CLOEXEC);
  ::fcntl(channel_fd, F_SETFD, FD_CLOEXEC);
  ::signal(SIGPIPE, SIG_IGN);
  static worker_state_of_process process;
  auto hello = receive_packet(channel_fd, true);
  if (!hello) return refuse(hello.error().message().c_str());
  auto decoded = codec::decode<daemon_answer>(hello->data, "hello");
  const auto* greeting = decoded ? std::get_if<worker_hello>(&*decoded) : nullptr;
  if (greeting == nullptr || hello->fds.size() != 1) return refuse("the daemon's greeting makes no sense");
  void* page = ::mmap(nullptr, worker_control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, hello->fds.front().get(), 0);
  if (page == MAP_FAILED) return refuse("the control page cannot be mapped");
  process.token = greeting->token;
  process.control = static_cast<worker_control*>(page);
  install_sigbus_guard(*process.control);
  install_memory_guard(*process.control);

  worker_config config;
  caf::actor_system system(config);  // looks for the network cards' addresses with a socket
  confine();
  basp_bridge bridge(system);
  auto pool = bridge.connect(caf_fd, std::chrono::seconds(10));
  if (!pool) {
    refuse(pool.error().message().c_str());
    ::_exit(2);
  }
  process.pool = *pool;
  process.runtime = std::make_unique<task_runtime>(channel_fd, *process.control, [](std::string_view line) {
    if (++process.log_lines > log_lines_max) return;
    caf::anon_send(process.pool, message::task_logged{process.token, std::string(line)});
  });
  process.data_bytes_at_start = data_bytes();
  auto host = system.spawn<host_actor>(process);
  caf::anon_send(process.pool, message::worker_ready{process.token, host});
  // The process ends by _exit or by a signal, never by returning: no destructor of CAF's has to wait for user code.
  for (;;) ::pause();
}

}  // namespace troupe::actors
