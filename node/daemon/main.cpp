#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <troupe/security/confine.hpp>

#include "node/daemon/configuration.hpp"
#include "node/daemon/daemon.hpp"

namespace {

constexpr auto again_pause_seconds = 2;

/// The next life begins as every start does: descriptors are close-on-exec, threads end with exec. Only that nobody is
/// there who would start it, so it goes on trying.
int start_anew(const char* program, const std::string& data, troupe::telemetry::logger& log) {
  ::execl("/proc/self/exe", program, "--data", data.c_str(), "--again", static_cast<char*>(nullptr));
  log.error("node", "could not start anew");
  return 1;
}

/// False when the process is to end instead.
bool wait_for_room() {
  sigset_t ends;
  ::sigemptyset(&ends);
  ::sigaddset(&ends, SIGTERM);
  ::sigaddset(&ends, SIGINT);
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  const timespec pause{again_pause_seconds, 0};
  const bool told_to_end = ::sigtimedwait(&ends, nullptr, &pause) > 0;
  ::sigprocmask(SIG_UNBLOCK, &ends, nullptr);
  return !told_to_end;
}

}  // namespace

int main(int argc, char** argv) {
  ::signal(SIGPIPE, SIG_IGN);
  auto parsed = troupe::node::parse(argc, argv);
  if (parsed.stop) return parsed.exit_status;
  troupe::telemetry::logger log;
  if (const auto level = troupe::telemetry::parse_level(parsed.value.log_level)) {
    log.set_level(*level);
  } else {
    std::fprintf(stderr, "troupe-node: %s\n", level.error().message().c_str());
    return 2;
  }
  if (!parsed.value.log_file.empty())
    if (const auto opened = log.to_file(parsed.value.log_file); !opened) {
      std::fprintf(stderr, "troupe-node: %s\n", opened.error().message().c_str());
      return 1;
    }
  // Before any secret is read.
  if (!parsed.value.debuggable)
    if (const auto hidden = troupe::security::keep_memory_private(); !hidden)
      log.warning("security", "core files of this node would hold its keys: " + hidden.error().message());
  if (::geteuid() == 0)
    log.warning("security",
                "this node runs as root, and its tasks are root without root's powers: they may read and write root's "
                "files. Run it as a user of its own");
  const auto data = parsed.value.data;
  const bool to_file = !parsed.value.log_file.empty();
  const bool again = parsed.value.again;
  troupe::node::ending end;
  {
    troupe::node::daemon node(std::move(parsed.value), log);
    if (const auto started = node.start(); !started) {
      log.error("node", started.error().message());
      if (again && started.error().code() == troupe::errc::resource_exhausted)
        return wait_for_room() ? start_anew(argv[0], data, log) : 0;
      if (to_file) std::fprintf(stderr, "troupe-node: %s\n", started.error().message().c_str());
      return 1;
    }
    end = node.run();
    if (end.again) {
      // Everything that this life held is void.
      log.warning("node", "starting anew: " + end.reason);
      return start_anew(argv[0], data, log);
    }
  }
  log.info("node", "ended: " + end.reason);
  return 0;
}
