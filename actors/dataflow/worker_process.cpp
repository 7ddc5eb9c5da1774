#include "actors/dataflow/worker_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <vector>

namespace troupe::actors {

using dataflow::descriptor;

namespace {

/// What the child needs, prepared before the fork: after it, only async-signal-safe calls are allowed, for another
/// thread may hold any lock.
struct child_plan {
  const char* program;
  char* const* arguments;
  char* const* environment;
  int caf;
  int channel;
  int errors;
  int null;
  pid_t parent;
};

[[noreturn]] void become_worker(const child_plan& plan) {
  // The signal goes when the forking thread ends; the daemon may have ended before the call.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(126);
  ::setpgid(0, 0);  // Ctrl-C in the daemon's terminal is the daemon's to handle
  for (int signal = 1; signal < 32; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  // Above everything first, so that no dup2 hits a descriptor that is still wanted.
  const int null = ::fcntl(plan.null, F_DUPFD, 16);
  const int errors = ::fcntl(plan.errors, F_DUPFD, 16);
  const int caf = ::fcntl(plan.caf, F_DUPFD, 16);
  const int channel = ::fcntl(plan.channel, F_DUPFD, 16);
  if (::dup2(null, 0) < 0 || ::dup2(errors, 1) < 0 || ::dup2(errors, 2) < 0 || ::dup2(caf, 3) < 0 ||
      ::dup2(channel, 4) < 0)
    ::_exit(126);
  ::close_range(5, ~0U, 0);
  ::setpriority(PRIO_PROCESS, 0, 19);
  const rlimit no_core{0, 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::execve(plan.program, plan.arguments, plan.environment);
  static constexpr char text[] = "the worker program cannot be executed\n";
  [[maybe_unused]] const auto written = ::write(2, text, sizeof text - 1);
  ::_exit(127);
}

}  // namespace

result<worker_process> fork_worker(const std::string& program, bool network) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return error::from_errno("socketpair", "for a worker", errno);
  descriptor caf_ours(pair[0]);
  descriptor caf_theirs(pair[1]);
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
    return error::from_errno("socketpair", "for a worker", errno);
  descriptor channel_ours(pair[0]);
  descriptor channel_theirs(pair[1]);
  if (::pipe2(pair, O_CLOEXEC) != 0) return error::from_errno("pipe", "for a worker", errno);
  descriptor errors_ours(pair[0]);
  descriptor errors_theirs(pair[1]);
  ::fcntl(errors_ours.get(), F_SETFL, O_NONBLOCK);
  descriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return error::from_errno("open", "/dev/null", errno);

  std::string name = program;
  char* arguments[] = {name.data(), nullptr};
  // No credentials, no settings of the daemon's: only what finds libraries, says the time, and steers sanitizers in our
  // own tests.
  std::vector<std::string> kept{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8"};
  if (network) kept.emplace_back("TROUPE_WORKER_NETWORK=allowed");
  for (const char* variable :
       {"LD_LIBRARY_PATH", "TZ", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"})
    if (const char* value = std::getenv(variable); value != nullptr)
      kept.push_back(std::string(variable) + "=" + value);
  std::vector<char*> environment;
  for (auto& entry : kept) environment.push_back(entry.data());
  environment.push_back(nullptr);

  const child_plan plan{name.c_str(),         arguments,           environment.data(), caf_theirs.get(),
                        channel_theirs.get(), errors_theirs.get(), null.get(),         ::getpid()};
  // No handler of ours may run in the child before it has reset them.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  const int failed = errno;
  if (pid == 0) become_worker(plan);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) return error::from_errno("fork", program, failed);
  descriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) {
    const auto why = error::from_errno("pidfd_open", program, errno);
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return why;
  }
  return worker_process{static_cast<std::uint32_t>(pid), std::move(pidfd), std::move(caf_ours), std::move(channel_ours),
                        std::move(errors_ours)};
}

std::string describe_end(int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    const char* name = ::sigdescr_np(signal);
    return "killed by signal " + std::to_string(signal) + " (" + (name != nullptr ? name : "unknown") + ")";
  }
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace troupe::actors
