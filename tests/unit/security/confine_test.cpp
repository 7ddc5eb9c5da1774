#include <signal.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
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
