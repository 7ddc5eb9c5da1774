#include "troupe/dataflow/sigbus_guard.hpp"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace troupe::dataflow {

namespace {

std::atomic<worker_control*> page{nullptr};
std::atomic<std::uintptr_t> guarded_begin{0};
std::atomic<std::uintptr_t> guarded_end{0};

void on_sigbus(int, siginfo_t* info, void*) {
  const auto at = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (at >= guarded_begin.load() && at < guarded_end.load()) {
    if (auto* control = page.load(); control != nullptr) share<std::uint32_t>(control->input_fault, 1);
    ::_exit(worker_exit_input_lost);
  }
  // SA_RESETHAND: the same instruction faults again and the signal does what it does.
}

}  // namespace

void install_sigbus_guard(worker_control& control) {
  page = &control;
  struct sigaction action {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | static_cast<int>(SA_RESETHAND);
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

void guard_mapping(const void* data, std::size_t size) noexcept {
  guarded_end = 0;  // in between, nothing is guarded
  guarded_begin = reinterpret_cast<std::uintptr_t>(data);
  guarded_end = reinterpret_cast<std::uintptr_t>(data) + size;
}

}  // namespace troupe::dataflow
