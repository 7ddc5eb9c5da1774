#include <shell/interrupts.hpp>

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

namespace troupe::shell::interrupts {
namespace {

std::atomic<bool> flag{false};
std::atomic<int> end{0};
int wake_fd = -1;

extern "C" void on_interrupt(int) {
  const int saved = errno;
  flag.store(true, std::memory_order_relaxed);
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd, &one, sizeof one);
  errno = saved;
}

extern "C" void on_end(int number) {
  end.store(number, std::memory_order_relaxed);
  on_interrupt(number);
}

constexpr int end_signals[] = {SIGTERM, SIGHUP};

}  // namespace

void install() {
  wake_fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &ignore, nullptr);
}

end_is_told::end_is_told() {
  struct sigaction action {};
  action.sa_handler = on_end;
  ::sigemptyset(&action.sa_mask);
  action.sa_flags = SA_RESTART;
  for (const int number : end_signals) {
    struct sigaction before {};
    ::sigaction(number, nullptr, &before);
    if (before.sa_handler != SIG_IGN) ::sigaction(number, &action, nullptr);
  }
}

end_is_told::~end_is_told() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  ::sigemptyset(&action.sa_mask);
  for (const int number : end_signals) {
    struct sigaction before {};
    ::sigaction(number, nullptr, &before);
    if (before.sa_handler == on_end) ::sigaction(number, &action, nullptr);
  }
}

int end_signal() noexcept { return end.load(std::memory_order_relaxed); }

bool pending() noexcept { return flag.load(std::memory_order_relaxed); }

void clear() noexcept {
  flag.store(false, std::memory_order_relaxed);
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(wake_fd, &count, sizeof count);
}

int descriptor() noexcept { return wake_fd; }

void sleep_ms(int duration_ms) noexcept {
  if (pending()) return;
  pollfd wait{wake_fd, POLLIN, 0};
  ::poll(&wait, 1, duration_ms);
}

}  // namespace troupe::shell::interrupts
