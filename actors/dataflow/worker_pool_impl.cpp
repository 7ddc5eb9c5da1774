#include "actors/dataflow/worker_pool_impl.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <caf/send.hpp>
#include <troupe/base/invariant.hpp>
#include <troupe/base/process.hpp>
#include <troupe/base/random.hpp>

#include "actors/dataflow/worker_messages.hpp"

namespace troupe::actors {

using namespace dataflow;

namespace {

/// What an epoll event is about: the worker's number and which of its descriptors.
enum class source : std::uint64_t { wake, process, channel, errors };
constexpr std::uint64_t tag_of(owner_id owner, source s) { return owner.value << 2 | static_cast<std::uint64_t>(s); }

constexpr std::size_t error_line_bytes_max = 4096;
/// Of what a worker prints, so much is read in a moment. One that prints without end would take a core otherwise.
constexpr std::size_t errors_bytes_max = 64 * 1024;
constexpr std::size_t errors_left_max = 1024 * 1024;  ///< read of a worker that has ended: more than its socket holds
constexpr auto look_interval = std::chrono::seconds(1);  ///< at the workers' processes
constexpr auto stopped_time_max = std::chrono::seconds(2);
constexpr auto errors_moment = std::chrono::milliseconds(50);

/// The actor that workers know. It only hands on: the pool's thread decides.
caf::behavior pool_actor(caf::event_based_actor*, std::weak_ptr<worker_pool_impl> pool) {
  const auto hand_on = [pool](std::function<void(worker_pool_impl&)> event) {
    auto p = pool.lock();
    if (p) p->post([raw = p.get(), event = std::move(event)] { event(*raw); });
  };
  return {
      [hand_on](const message::worker_ready& m) { hand_on([m](worker_pool_impl& p) { p.on_ready(m.token, m.host); }); },
      [hand_on](const message::task_ended& m) {
        hand_on([m](worker_pool_impl& p) { p.on_task_ended(m.token, m.outcome); });
      },
      [hand_on](const message::task_logged& m) { hand_on([m](worker_pool_impl& p) { p.on_logged(m.token, m.line); }); },
  };
}

}  // namespace

worker_pool_impl::worker_pool_impl(caf::actor_system& system, basp_bridge& bridge, block_store& blocks,
                                   worker_pool_options options)
    : system_(system), bridge_(bridge), blocks_(blocks), options_(std::move(options)) {}

worker_pool_impl::~worker_pool_impl() {
  TROUPE_INVARIANT(!thread_.joinable(), std::string("the pool's thread still runs"));
}

result<void> worker_pool_impl::start() {
  if (::access(options_.worker_program.c_str(), X_OK) != 0)
    return error::from_errno("worker program", options_.worker_program.string(), errno);
  // Every busy worker holds one slab at least, and needs a second before the first is spilled.
  if (const auto slabs = blocks_.implementation().producing_slabs_max(); 2ULL * options_.workers_max > slabs)
    return error{errc::invalid_argument,
                 std::to_string(options_.workers_max) +
                     " workers need a block store of at least twice as many slabs for producing, and it has " +
                     std::to_string(slabs) + ": raise the block store's budget or lower its slab size"};
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  if (!wake_ || !epoll_) return error::from_errno("epoll", "worker pool", errno);
  watch(wake_.get(), tag_of(owner_id{}, source::wake));
  actor_ = system_.spawn(pool_actor, weak_from_this());
  thread_ = std::thread([this] { loop(); });
  return ok();
}

void worker_pool_impl::stop() {
  {
    std::lock_guard lock(events_mutex_);
    if (stopping_) return;
    stopping_ = true;
  }
  [[maybe_unused]] const auto woken = ::eventfd_write(wake_.get(), 1);
  if (thread_.joinable()) thread_.join();
  caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
  actor_ = nullptr;
}

void worker_pool_impl::post(std::function<void()> event) {
  std::lock_guard lock(events_mutex_);
  if (stopping_) return;
  events_.push_back(std::move(event));
  if (events_.size() == 1) [[maybe_unused]]
    const auto woken = ::eventfd_write(wake_.get(), 1);
}

void worker_pool_impl::watch(int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  const int status = ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
  TROUPE_INVARIANT(status == 0, "epoll_ctl: errno " + std::to_string(errno));
}

void worker_pool_impl::call_observers() {
  while (!later_.empty()) {
    auto calls = std::move(later_);
    later_.clear();
    for (auto& call : calls) call();
  }
}

void worker_pool_impl::run_events() {
  std::vector<std::function<void()>> events;
  {
    std::lock_guard lock(events_mutex_);
    events.swap(events_);
  }
  for (auto& event : events) {
    {
      std::lock_guard lock(mutex_);
      event();
    }
    call_observers();
  }
}

void worker_pool_impl::loop() {
  epoll_event events[64];
  for (;;) {
    {
      std::lock_guard lock(events_mutex_);
      if (stopping_) break;
    }
    int timeout = 0;
    {
      std::lock_guard lock(mutex_);
      timeout = timeout_ms(clock::now());
    }
    const int n = ::epoll_wait(epoll_.get(), events, 64, timeout);
    bool woken = false;
    // Questions and cries first, deaths last: what a worker said before it died counts.
    for (const bool deaths : {false, true})
      for (int i = 0; i < n; ++i) {
        const owner_id owner{events[i].data.u64 >> 2};
        const auto what = static_cast<source>(events[i].data.u64 & 3);
        if ((what == source::process) != deaths) continue;
        {
          std::lock_guard lock(mutex_);
          auto found = workers_.find(owner);
          if (what == source::wake) {
            eventfd_t count = 0;
            ::eventfd_read(wake_.get(), &count);
            woken = true;
          } else if (found != workers_.end()) {
            if (what == source::process)
              bury(owner);
            else if (what == source::errors)
              read_errors(*found->second, errors_bytes_max);
            else
              on_question(*found->second);
          }
        }
        call_observers();
      }
    if (woken) run_events();
    {
      std::lock_guard lock(mutex_);
      on_timer(clock::now());
    }
    call_observers();
  }
  {
    std::lock_guard lock(mutex_);
    closing_ = true;
  }
  run_events();  // runs asked for in the last moment hear that they are cancelled
  {
    std::lock_guard lock(mutex_);
    on_kill_all();
    while (!workers_.empty()) bury(workers_.begin()->first);
  }
  call_observers();
}

// Processes

worker_pool_impl::worker* worker_pool_impl::fork_one(bool network) {
  auto process = fork_worker(options_.worker_program.string(), network);
  if (!process) return nullptr;
  auto w = std::make_unique<worker>();
  w->owner = owner_id{++last_id_};
  w->network = network;
  fill_random(&w->token, sizeof w->token);
  w->process = std::move(*process);
  w->since = clock::now();
  const descriptor page(::memfd_create("troupe-control", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  void* mapped = MAP_FAILED;
  // Sealed: a worker that cut it shorter would end the daemon by SIGBUS.
  if (page && ::ftruncate(page.get(), static_cast<off_t>(worker_control_bytes)) == 0 &&
      ::fcntl(page.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
    mapped = ::mmap(nullptr, worker_control_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, page.get(), 0);
  const int fds[] = {page.get()};
  if (mapped == MAP_FAILED ||
      !send_packet(w->process.channel.get(), codec::encode(daemon_answer{worker_hello{w->token}}), fds, false)) {
    // It reads end of file and ends; reap it here, nobody else knows of it.
    ::kill(static_cast<pid_t>(w->process.pid), SIGKILL);
    ::waitpid(static_cast<pid_t>(w->process.pid), nullptr, 0);
    if (mapped != MAP_FAILED) ::munmap(mapped, worker_control_bytes);
    return nullptr;
  }
  w->control = static_cast<worker_control*>(mapped);
  w->control->current_offset = no_offset;
  watch(w->process.pidfd.get(), tag_of(w->owner, source::process));
  watch(w->process.channel.get(), tag_of(w->owner, source::channel));
  watch(w->process.errors.get(), tag_of(w->owner, source::errors));
  bridge_.accept(w->process.caf.release(), actor_);
  auto* raw = w.get();
  workers_[raw->owner] = std::move(w);
  return raw;
}

worker_pool_impl::worker* worker_pool_impl::by_token(std::uint64_t token) {
  for (auto& [owner, w] : workers_)
    if (w->token == token) return w.get();
  return nullptr;
}

void worker_pool_impl::kill_worker(worker& w) {
  w.state = worker_state::ending;
  ::kill(static_cast<pid_t>(w.process.pid),
         SIGKILL);  // not reaped before bury(): the pid is still its own; that one ends what it began
}

void worker_pool_impl::bury(owner_id owner) {
  auto found = workers_.find(owner);
  auto& w = *found->second;
  int status = 0;
  // Processes that user code began are of its group, which they cannot leave; until it is reaped the number is its own.
  ::kill(-static_cast<pid_t>(w.process.pid), SIGKILL);
  while (::waitpid(static_cast<pid_t>(w.process.pid), &status, 0) < 0 && errno == EINTR) {
  }
  // What it printed last says why. More than that comes of a process that it left behind.
  read_errors(w, w.errors_read + errors_left_max);
  if (!w.error_text.empty()) {
    w.last_error_line = w.error_text;
    if (w.task) later([o = w.task->observer, line = w.error_text] { o->log(line); });
  }
  const auto failure = w.task ? post_mortem(w, status) : attempt_failure{};
  blocks_.implementation().cancel_wait(owner);
  blocks_.implementation().end_task(owner, false);
  if (w.task) fail_attempt(std::move(w.task), failure);
  ::munmap(w.control, worker_control_bytes);
  workers_.erase(found);  // closes its descriptors, which takes them out of the epoll set
  serve_queue();
}

void worker_pool_impl::read_errors(worker& w, std::size_t most) {
  char buffer[4096];
  const auto now = clock::now();
  if (now >= w.errors_since + errors_moment) {
    w.errors_since = now;
    w.errors_read = 0;
  }
  for (;;) {
    if (w.errors_read >= most) return pause_errors(w, true);
    const auto n = ::read(w.process.errors.get(), buffer, sizeof buffer);
    if (n == 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, w.process.errors.get(), nullptr);
    if (n <= 0) return;
    w.errors_read += static_cast<std::size_t>(n);
    w.error_text.append(buffer, static_cast<std::size_t>(n));
    std::size_t begin = 0;
    for (;;) {
      auto end = w.error_text.find('\n', begin);
      if (end == std::string::npos && w.error_text.size() - begin > error_line_bytes_max)
        end = begin + error_line_bytes_max;
      if (end == std::string::npos) break;
      w.last_error_line = w.error_text.substr(begin, end - begin);
      on_logged(w.token, w.last_error_line);
      begin = std::min(end + 1, w.error_text.size());
    }
    w.error_text.erase(0, begin);
  }
}

/// A worker whose output is not read waits as soon as the socket is full; its task's time limit goes on.
void worker_pool_impl::pause_errors(worker& w, bool paused) {
  if (w.errors_paused == paused) return;
  w.errors_paused = paused;
  epoll_event event{};
  if (!paused) event.events = EPOLLIN;
  event.data.u64 = tag_of(w.owner, source::errors);
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, w.process.errors.get(), &event);  // gone from the set after its end of file
}

void worker_pool_impl::become_idle(worker& w) {
  w.state = worker_state::idle;
  w.since = clock::now();
  serve_queue();
}

void worker_pool_impl::on_ready(std::uint64_t token, caf::actor host) {
  auto* w = by_token(token);
  if (w == nullptr || w->state != worker_state::starting) return;
  w->host = std::move(host);
  if (w->task)
    assign(*w, std::move(w->task));
  else
    become_idle(*w);
}

void worker_pool_impl::on_kill_all() {
  for (auto& task : queue_)
    fail_attempt(std::move(task), {failure_kind::cancelled, "the node stopped its workers", {}, 0, {}, {}});
  queue_.clear();
  condemn_all();
}

void worker_pool_impl::condemn_all() {
  for (auto& [owner, w] : workers_) {
    if (w->task && !w->task->verdict)
      w->task->verdict = attempt_failure{failure_kind::cancelled, "the node stopped its workers", {}, 0, {}, {}};
    kill_worker(*w);
  }
}

void worker_pool_impl::kill_workers() {
  std::lock_guard lock(mutex_);
  condemn_all();
}

// Time

int worker_pool_impl::timeout_ms(clock::time_point now) const {
  auto next = workers_.empty() ? now + std::chrono::hours(1) : std::max(next_look_, now);
  for (const auto& [owner, w] : workers_) {
    if (w->errors_paused) next = std::min(next, w->errors_since + errors_moment);
    if (w->state == worker_state::starting) next = std::min(next, w->since + options_.start_time_max);
    if (!w->task || w->state == worker_state::ending) continue;
    const auto& task = *w->task;
    if (task.kill_at) next = std::min(next, *task.kill_at);
    if (w->state == worker_state::busy && task.assignment.time_limit_ms > 0)
      next = std::min(next, task.started + std::chrono::milliseconds(task.assignment.time_limit_ms));
    if (task.wanted_chunk) next = std::min(next, task.waiting_since + options_.chunk_wait_max);
  }
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(next - now).count();
  return static_cast<int>(std::clamp<std::int64_t>(left + 1, 0, 3'600'000));
}

/// A worker that somebody stopped holds a slot and would do so for ever: it is as good as dead.
void worker_pool_impl::look_for_stopped(clock::time_point now) {
  if (now < next_look_) return;
  next_look_ = now + look_interval;
  for (auto& [owner, w] : workers_) {
    if (w->state == worker_state::ending) continue;
    if (!is_stopped(static_cast<pid_t>(w->process.pid))) {
      w->stopped_since.reset();
    } else if (!w->stopped_since) {
      w->stopped_since = now;
    } else if (now >= *w->stopped_since + stopped_time_max) {
      condemn(*w, failure_kind::worker_died,
              "its process was stopped (SIGSTOP) for " + std::to_string(stopped_time_max.count()) +
                  " s, and killed for that");
    }
  }
}

void worker_pool_impl::on_timer(clock::time_point now) {
  look_for_stopped(now);
  for (auto& [owner, w] : workers_) {
    if (w->errors_paused && now >= w->errors_since + errors_moment) pause_errors(*w, false);
    if (w->state == worker_state::ending) continue;
    if (w->state == worker_state::starting && now >= w->since + options_.start_time_max) {
      condemn(*w, failure_kind::engine,
              "a worker did not come up within " + std::to_string(options_.start_time_max.count()) + " ms");
      continue;
    }
    if (!w->task) continue;
    auto& task = *w->task;
    if (task.kill_at && now >= *task.kill_at) {
      kill_worker(*w);
    } else if (w->state == worker_state::busy && task.assignment.time_limit_ms > 0 &&
               now >= task.started + std::chrono::milliseconds(task.assignment.time_limit_ms)) {
      condemn(*w, failure_kind::time_limit,
              "ran longer than its limit of " + std::to_string(task.assignment.time_limit_ms) + " ms");
    } else if (task.wanted_chunk && now >= task.waiting_since + options_.chunk_wait_max) {
      condemn(*w, failure_kind::engine,
              std::string("waited ") + std::to_string(options_.chunk_wait_max.count() / 1000) + " s for " +
                  (task.asked_store ? "memory of the block store" : "its output to be written"));
    }
  }
}

}  // namespace troupe::actors
