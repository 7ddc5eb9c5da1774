#pragma once

namespace troupe::actors {

/// The life of a worker process after `main` has looked at its arguments: fd 3 is the daemon's CAF, fd 4 the packet
/// socket. Returns only when it could not start; else the process ends with its daemon. The exit status.
int run_worker();

}  // namespace troupe::actors
