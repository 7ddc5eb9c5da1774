#pragma once
#include <troupe/base/result.hpp>

namespace troupe::security {

/// For a process that will run what others wrote. From here on, for all its threads and children: no new privileges
/// (set-user-ID programs are as any other), no looking into other processes (ptrace, process_vm_readv, pidfd_getfd), no
/// signal to or limit of another process, none of the kernel's rarer doors (io_uring, which would get around this; bpf,
/// perf, keys, namespaces, mounts), and with `network` false no new sockets of any kind: what is open stays. A refused
/// call fails with EPERM.
///
/// Counts for all threads of the process, those that are there included. `unsupported` where the kernel or the
/// processor has no such filters.
result<void> confine_process(bool network);

}  // namespace troupe::security
