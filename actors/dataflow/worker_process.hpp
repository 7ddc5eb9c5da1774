#pragma once
#include <cstdint>
#include <string>
#include <troupe/base/result.hpp>
#include <troupe/dataflow/descriptor.hpp>

namespace troupe::actors {

/// A worker that was forked: its pid and the daemon's ends of what joins them. Not waited for yet.
struct worker_process {
  std::uint32_t pid = 0;
  dataflow::descriptor pidfd;    ///< readable once it has ended
  dataflow::descriptor caf;      ///< stream socket to its fd 3
  dataflow::descriptor channel;  ///< packet socket to its fd 4
  dataflow::descriptor errors;   ///< what it writes to stdout and stderr; never blocks
};

/// Forks and executes `program`. It dies with the calling thread (PDEATHSIG), so that must be a permanent one. It
/// inherits fd 3 and 4 and an environment of a few names, which say whether it may make sockets; it has nice 19, no
/// core file, and a process group of its own.
result<worker_process> fork_worker(const std::string& program, bool network);

/// «killed by signal 11 (Segmentation fault)», «ended with status 3». `status` as waitpid gives it.
std::string describe_end(int status);

}  // namespace troupe::actors
