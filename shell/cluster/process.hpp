#pragma once
#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <shell/failure.hpp>
#include <string>
#include <vector>

namespace troupe::shell {

/// What a program left behind.
struct process_result {
  int exit_status = 0;  ///< 128 + signal when it was killed
  std::string output;   ///< of its stdout, at most 1 MiB
};

/// Runs a program to its end. `input` goes to its stdin; stderr is the shell's own. Ctrl-C ends it with SIGTERM and is
/// a failure.
outcome<process_result> run_process(const std::vector<std::string>& command, const std::string& input);

/// Starts a daemon in a session of its own, with stdin from /dev/null and both outputs appended to `log`; no descriptor
/// of ours goes along.
result<pid_t> start_detached(const std::vector<std::string>& command, const std::filesystem::path& log);

/// How a child of ours ended, if it has: «ended with status 1», «was killed by signal 9 (Killed)». Nothing while it
/// runs, or when it is no child of ours.
std::optional<std::string> reap(pid_t pid);

}  // namespace troupe::shell
