#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <troupe/modules/child.hpp>

extern char** environ;

namespace troupe::modules {
namespace {

class descriptor {
 public:
  explicit descriptor(int fd = -1) : fd_(fd) {}
  ~descriptor() { reset(); }
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  void reset(int fd = -1) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = fd;
  }
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

/// Reads until the end, the limit or the deadline.
result<bool> read_all(int fd, std::string& out, std::size_t bytes_max, std::chrono::steady_clock::time_point deadline,
                      const std::string& program) {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return false;
    pollfd wait{fd, POLLIN, 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (ready < 0 && errno != EINTR) return error::from_errno("poll", program, errno);
    if (ready <= 0) continue;
    char buffer[16384];
    const auto got = ::read(fd, buffer, sizeof buffer);
    if (got == 0) return true;
    if (got < 0) {
      if (errno == EINTR) continue;
      return error::from_errno("read from", program, errno);
    }
    out.append(buffer, static_cast<std::size_t>(got));
    if (out.size() > bytes_max)
      return error{errc::resource_exhausted, program + " printed more than " + std::to_string(bytes_max) + " bytes"};
  }
}

}  // namespace

std::string describe_status(int status) {
  if (WIFSIGNALED(status))
    return "was killed by signal " + std::to_string(WTERMSIG(status)) + " (" + ::strsignal(WTERMSIG(status)) + ")";
  return "ended with status " + std::to_string(WEXITSTATUS(status));
}

result<child_result> run_child(const child_request& request) {
  const auto& program = request.command.front();
  const auto deadline = std::chrono::steady_clock::now() + request.time_max;
  // Standard output of the child; without capture it still gets a pipe, whose closing tells of its end without polling
  // for it.
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return error::from_errno("pipe for", program, errno);
  descriptor from(ends[0]), to(ends[1]);

  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  // The descriptor that tells of the end needs a number without close-on-exec in the child; 3 is free there unless
  // somebody inherits it on purpose.
  ::posix_spawn_file_actions_adddup2(&actions, to.get(), request.capture_output ? STDOUT_FILENO : 3);
  ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  std::vector<char*> arguments;
  for (const auto& word : request.command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  // What this thread blocks or ignores is no matter of the child.
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none, usual;
  ::sigemptyset(&none);
  ::sigfillset(&usual);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setsigdefault(&attributes, &usual);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, program.c_str(), &actions, &attributes, arguments.data(), environ);
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  if (failed != 0) return error::from_errno("run", program, failed);
  to.reset();

  child_result out;
  const auto ended = read_all(from.get(), out.output, request.output_bytes_max, deadline, program);
  // Closing its output is not ending: it gets what is left of its time, then it is killed.
  bool kill_now = !ended || !*ended;
  for (;;) {
    kill_now = kill_now || std::chrono::steady_clock::now() >= deadline;
    if (kill_now) ::kill(pid, SIGKILL);
    const auto reaped = ::waitpid(pid, &out.status, kill_now ? 0 : WNOHANG);
    if (reaped == pid) break;
    if (reaped < 0 && errno != EINTR) return error::from_errno("wait for", program, errno);
    if (reaped == 0) ::poll(nullptr, 0, 1);
  }
  out.timed_out = kill_now && ended.has_value();
  if (!ended) return ended.error();
  return out;
}

}  // namespace troupe::modules
