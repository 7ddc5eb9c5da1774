#pragma once
#include <sys/types.h>

namespace troupe {

/// Whether a process of this number has ended or is about to: nothing of it runs any more, but it may still hold files
/// and locks until the kernel has freed its memory. A paused one is not ending.
[[nodiscard]] bool is_ending(pid_t pid);

/// Whether a process is stopped (SIGSTOP, SIGTSTP): it is there and does nothing.
[[nodiscard]] bool is_stopped(pid_t pid);

}  // namespace troupe
