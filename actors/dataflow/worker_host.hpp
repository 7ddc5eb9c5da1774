#pragma once
#include <functional>

namespace troupe::actors {

/// The life of a worker process after `main` has looked at its arguments: fd 3 is the daemon's CAF, fd 4 the packet
/// socket. Returns only when it could not start; else the process ends with its daemon. The exit status.
/// `confine` is called before anything of a module is there.
int run_worker(const std::function<void()>& confine);

}  // namespace troupe::actors
