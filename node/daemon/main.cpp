#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "node/daemon/configuration.hpp"
#include "node/daemon/daemon.hpp"

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
  const auto data = parsed.value.data;
  const bool to_file = !parsed.value.log_file.empty();
  troupe::node::ending end;
  {
    troupe::node::daemon node(std::move(parsed.value), log);
    if (const auto started = node.start(); !started) {
      log.error("node", started.error().message());
      if (to_file) std::fprintf(stderr, "troupe-node: %s\n", started.error().message().c_str());
      return 1;
    }
    end = node.run();
    if (end.again) {
      // Everything that this life held is void; the next one begins as every start does. Descriptors are close-on-exec,
      // threads end with exec.
      log.warning("node", "starting anew: " + end.reason);
      ::execl("/proc/self/exe", argv[0], "--data", data.c_str(), static_cast<char*>(nullptr));
      log.error("node", "could not start anew");
      return 1;
    }
  }
  log.info("node", "ended: " + end.reason);
  return 0;
}
