#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "actors/dataflow/worker_host.hpp"
#include "troupe/base/version.hpp"
#include "troupe/modules/inspect.hpp"
#include "troupe/security/confine.hpp"

namespace {

/// What runs here was written by others: no sockets but those it was given, unless the node's owner allows them.
/// Where the kernel has no such filters the worker runs without, and its node's log says so.
void confine() {
  const char* network = std::getenv("TROUPE_WORKER_NETWORK");
  const bool allowed = network != nullptr && std::strcmp(network, "allowed") == 0;
  if (const auto confined = troupe::security::confine_process(allowed); !confined)
    std::fprintf(stderr, "troupe-worker is not confined: %s\n", confined.error().message().c_str());
}

/// When memory is short, a worker goes before its daemon and what else runs here. Said by the worker itself: the
/// daemon, which is not dumpable, and its children until they run another program, may not write that file.
void go_first() {
  if (const int file = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC); file >= 0) {
    [[maybe_unused]] const auto written = ::write(file, "1000", 4);
    ::close(file);
  }
}

/// Before there are threads. A node that runs as root has workers that are no more than the owner of root's files.
void drop_powers() {
  if (const auto dropped = troupe::security::drop_powers(); !dropped)
    std::fprintf(stderr, "troupe-worker keeps its powers: %s\n", dropped.error().message().c_str());
}

}  // namespace

/// troupe-worker: runs user code for a troupe-node, which starts it with two sockets as fd 3 and 4. `--inspect FILE.so`
/// loads a module and prints what is in it as JSON.
int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], "--inspect") == 0) {
    drop_powers();
    confine();
    return troupe::modules::inspect_main(argv[2]);
  }
  if (argc == 2 && std::strcmp(argv[1], "--version") == 0) {
    std::printf("troupe-worker %s\n", troupe::version_text);
    return 0;
  }
  if (argc != 1) {
    std::fprintf(stderr, "usage: troupe-worker --inspect FILE.so\n");
    return 2;
  }
  go_first();
  drop_powers();
  return troupe::actors::run_worker(confine);
}
