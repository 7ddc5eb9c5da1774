#include <shell/cluster/process.hpp>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <shell/interrupts.hpp>

extern char** environ;

namespace troupe::shell {
namespace {

constexpr std::size_t output_bytes_max = 1 << 20;

/// posix_spawn's two tables, with our signals back to their defaults.
class spawn_plan {
 public:
  spawn_plan() {
    ::posix_spawnattr_init(&attributes_);
    ::posix_spawn_file_actions_init(&actions_);
    sigset_t all, none;
    ::sigfillset(&all);
    ::sigemptyset(&none);
    ::posix_spawnattr_setsigdefault(&attributes_, &all);
    ::posix_spawnattr_setsigmask(&attributes_, &none);
  }
  ~spawn_plan() {
    ::posix_spawnattr_destroy(&attributes_);
    ::posix_spawn_file_actions_destroy(&actions_);
  }
  spawn_plan(const spawn_plan&) = delete;
  spawn_plan& operator=(const spawn_plan&) = delete;

  posix_spawn_file_actions_t* actions() { return &actions_; }

  result<pid_t> run(const std::vector<std::string>& command, bool own_session) {
    int flags = POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK;
    if (own_session) flags |= POSIX_SPAWN_SETSID;
    ::posix_spawnattr_setflags(&attributes_, static_cast<short>(flags));
    ::posix_spawn_file_actions_addclosefrom_np(&actions_, 3);
    std::vector<std::string> copy = command;
    std::vector<char*> argv;
    for (auto& word : copy) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_t pid = 0;
    const int failed = ::posix_spawnp(&pid, argv[0], &actions_, &attributes_, argv.data(), environ);
    if (failed != 0) return error::from_errno("start", command[0], failed);
    return pid;
  }

 private:
  posix_spawnattr_t attributes_{};
  posix_spawn_file_actions_t actions_{};
};

struct descriptor {
  int fd = -1;
  ~descriptor() { close(); }
  void close() {
    if (fd >= 0) ::close(fd);
    fd = -1;
  }
};

/// Feeds and drains a child until it has closed its output. Returns false when an interruption came.
bool exchange(pid_t pid, descriptor& in, descriptor& out, const std::string& input, std::string& output) {
  std::size_t written = 0;
  bool interrupted = false;
  while (out.fd >= 0) {
    if (written == input.size()) in.close();
    pollfd waits[3] = {
        {out.fd, POLLIN, 0}, {in.fd, POLLOUT, 0}, {interrupted ? -1 : interrupts::descriptor(), POLLIN, 0}};
    if (::poll(waits, 3, -1) < 0 && errno != EINTR) break;
    if (interrupts::pending() && !interrupted) {
      interrupted = true;
      ::kill(pid, SIGTERM);
      in.close();
    }
    if (in.fd >= 0 && waits[1].revents != 0) {
      const auto n = ::write(in.fd, input.data() + written, input.size() - written);
      if (n < 0 && errno != EINTR && errno != EAGAIN) in.close();
      if (n > 0) written += static_cast<std::size_t>(n);
    }
    if (waits[0].revents == 0) continue;
    char piece[16384];
    const auto n = ::read(out.fd, piece, sizeof piece);
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN)) out.close();
    if (n > 0) output.append(piece, std::min(static_cast<std::size_t>(n), output_bytes_max - output.size()));
  }
  return !interrupted;
}

}  // namespace

outcome<process_result> run_process(const std::vector<std::string>& command, const std::string& input) {
  int to_child[2], from_child[2];
  if (::pipe2(to_child, O_CLOEXEC) != 0) return failure(error::from_errno("make a pipe for", command[0], errno));
  descriptor child_in{to_child[0]}, in{to_child[1]};
  if (::pipe2(from_child, O_CLOEXEC) != 0) return failure(error::from_errno("make a pipe for", command[0], errno));
  descriptor out{from_child[0]}, child_out{from_child[1]};
  spawn_plan plan;
  ::posix_spawn_file_actions_adddup2(plan.actions(), child_in.fd, STDIN_FILENO);
  ::posix_spawn_file_actions_adddup2(plan.actions(), child_out.fd, STDOUT_FILENO);
  TROUPE_TRY(const auto pid, plan.run(command, false));
  child_in.close();
  child_out.close();
  ::fcntl(in.fd, F_SETFL, O_NONBLOCK);
  process_result done_with;
  const bool whole = exchange(pid, in, out, input, done_with.output);
  int how = 0;
  while (::waitpid(pid, &how, 0) < 0 && errno == EINTR) {
  }
  if (!whole) return failure(status::interrupted, command[0] + " was interrupted");
  done_with.exit_status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
  return done_with;
}

result<pid_t> start_detached(const std::vector<std::string>& command, const std::filesystem::path& log) {
  spawn_plan plan;
  ::posix_spawn_file_actions_addopen(plan.actions(), STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(plan.actions(), STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
  ::posix_spawn_file_actions_adddup2(plan.actions(), STDOUT_FILENO, STDERR_FILENO);
  return plan.run(command, true);
}

std::optional<std::string> reap(pid_t pid) {
  int how = 0;
  if (::waitpid(pid, &how, WNOHANG) != pid) return {};
  if (WIFEXITED(how)) return "ended with status " + std::to_string(WEXITSTATUS(how));
  return "was killed by signal " + std::to_string(WTERMSIG(how)) + " (" + ::strsignal(WTERMSIG(how)) + ")";
}

}  // namespace troupe::shell
