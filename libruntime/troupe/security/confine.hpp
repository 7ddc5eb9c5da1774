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

/// Gives up root's powers (capabilities) for good, and what was inherited of them; what a user owns stays reachable,
/// and root's files to root. Of the calling thread and those that it begins. Nothing happens to a process without
/// powers.
result<void> drop_powers();

/// Nobody reads this process's memory: it leaves no core file (nor does a program that takes them get one), and other
/// processes of the same user may neither trace it nor open its /proc/PID/mem or environ. Root may, with its powers.
/// Ends with exec.
result<void> keep_memory_private();

}  // namespace troupe::security
