#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <support/catch.hpp>
#include <thread>
#include <troupe/security/confine.hpp>

using namespace troupe;

namespace {

/// Runs `f` in a child that has confined itself; its exit status, or 100 when confining is not possible here.
template <class F>
int in_confined_child(bool network, F f) {
  const auto child = ::fork();
  if (child == 0) ::_exit(security::confine_process(network) ? f() : 100);
  int how = 0;
  ::waitpid(child, &how, 0);
  return WIFEXITED(how) ? WEXITSTATUS(how) : 200 + WTERMSIG(how);
}

bool refused(long returned) { return returned == -1 && errno == EPERM; }

}  // namespace

TEST_CASE("a confined process makes no sockets, in no thread, and what it has goes on working") {
  const int status = in_confined_child(false, [] {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
    char one = 0;
    if (::send(pair[0], "x", 1, 0) != 1 || ::recv(pair[1], &one, 1, 0) != 1) return 2;
    for (const int family : {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK})
      if (!refused(::socket(family, SOCK_STREAM, 0))) return 3;
    int in_thread = 4;
    std::thread([&] { in_thread = refused(::socket(AF_INET, SOCK_STREAM, 0)) ? 0 : 4; }).join();
    return in_thread;
  });
  CHECK(status == 0);
}

TEST_CASE("a confined process looks into no other, with the network or without") {
  for (const bool network : {false, true}) {
    const int status = in_confined_child(network, [network] {
      if (!refused(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr))) return 1;
      char one = 0;
      const iovec here{&one, 1};
      if (!refused(::process_vm_readv(::getppid(), &here, 1, &here, 1, 0))) return 2;
      if (!refused(::syscall(425, 1, nullptr))) return 3;  // io_uring_setup
      const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
      return (fd >= 0) == network ? 0 : 4;
    });
    CHECK(status == 0);
  }
}

TEST_CASE("a confined process sends no signals through a descriptor's owner, and leaves no namespace or limit") {
  const int status = in_confined_child(false, [] {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0) return 1;
    if (!refused(::fcntl(pair[0], F_SETOWN, ::getppid())) || !refused(::fcntl(pair[0], F_SETSIG, SIGKILL))) return 2;
    f_owner_ex owner{F_OWNER_PID, ::getppid()};
    if (!refused(::fcntl(pair[0], F_SETOWN_EX, &owner))) return 3;
    int pid = ::getppid();
    if (!refused(::ioctl(pair[0], FIOSETOWN, &pid)) || !refused(::ioctl(pair[0], SIOCSPGRP, &pid))) return 4;
    if (::fcntl(pair[0], F_GETFD) < 0) return 5;
    if (!refused(::socketpair(AF_UNIX, SOCK_DGRAM, 0, pair))) return 6;
    if (!refused(::syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)) || !refused(::syscall(430, "tmpfs", 0)))
      return 7;
    if (!refused(::setpriority(PRIO_PROCESS, static_cast<id_t>(::getppid()), 19))) return 8;
    if (::setpriority(PRIO_PROCESS, 0, 19) != 0) return 9;
    if (::mmap(nullptr, 4096, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED || errno != EPERM) return 10;
    if (::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED) return 11;
    if (!refused(::setsid()) || !refused(::setpgid(0, 0))) return 13;
    const auto child = ::fork();  // programs may still be begun
    if (child == 0) ::_exit(0);
    int how = 1;
    return child > 0 && ::waitpid(child, &how, 0) == child && how == 0 ? 0 : 12;
  });
  CHECK(status == 0);
}

TEST_CASE("a confined process sends no signal to another and changes no limit of one, but may end itself") {
  const int status = in_confined_child(false, [] {
    if (!refused(::kill(::getppid(), 0)) || !refused(::kill(0, 0)) || !refused(::kill(-1, 0))) return 1;
    if (!refused(::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0)) || !refused(::syscall(SYS_tkill, ::getppid(), 0)))
      return 2;
    rlimit limit{};
    if (!refused(::prlimit(::getppid(), RLIMIT_NOFILE, nullptr, &limit))) return 3;
    if (::prlimit(0, RLIMIT_NOFILE, nullptr, &limit) != 0 || ::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 4;
    return ::kill(::getpid(), 0) == 0 ? 0 : 5;
  });
  CHECK(status == 0);
  CHECK(in_confined_child(false, []() -> int { std::abort(); }) == 200 + SIGABRT);
}

TEST_CASE("a process that keeps its memory private dumps no core, and others of its user cannot look into it") {
  // A child of another user (root would see everything), which its own child looks at.
  const auto child = ::fork();
  if (child == 0) {
    if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(1);
    if (!security::keep_memory_private()) ::_exit(2);
    if (::prctl(PR_GET_DUMPABLE) != 0) ::_exit(3);
    const auto memory = "/proc/" + std::to_string(::getpid()) + "/mem";
    const auto other = ::fork();
    if (other == 0) {
      // As after exec, which every other program has behind it.
      ::prctl(PR_SET_DUMPABLE, 1);
      ::_exit(::open(memory.c_str(), O_RDONLY | O_CLOEXEC) < 0 && errno == EACCES ? 0 : 1);
    }
    int how = 0;
    ::waitpid(other, &how, 0);
    if (how != 0) ::_exit(4);
    const rlimit any{RLIM_INFINITY, RLIM_INFINITY};
    ::setrlimit(RLIMIT_CORE, &any);
    ::signal(SIGABRT, SIG_DFL);
    ::abort();
  }
  int how = 0;
  ::waitpid(child, &how, 0);
  REQUIRE(WIFSIGNALED(how));
  CHECK(WTERMSIG(how) == SIGABRT);
  CHECK_FALSE(WCOREDUMP(how));
}

TEST_CASE("a process that dropped its powers has none, and gets none back by running a program") {
  const auto child = ::fork();
  if (child == 0) {
    if (!security::drop_powers() || !security::confine_process(false)) ::_exit(1);
    if (::geteuid() == 0 && (::setuid(65534) == 0 || errno != EPERM)) ::_exit(2);
    ::execl("/bin/sh", "sh", "-c", "grep -q '^CapEff:[[:space:]]*0*$' /proc/self/status || exit 3",
            static_cast<char*>(nullptr));
    ::_exit(4);
  }
  int how = 0;
  ::waitpid(child, &how, 0);
  REQUIRE(WIFEXITED(how));
  CHECK(WEXITSTATUS(how) == 0);
}
