#pragma once
#include <chrono>
#include <string>
#include <troupe/base/result.hpp>
#include <vector>

/// A child process with a time limit, for the two programs that this room runs.
namespace troupe::modules {

struct child_result {
  std::string output;      ///< what came on standard output, when it was asked for
  int status = 0;          ///< as waitpid gives it
  bool timed_out = false;  ///< it was killed
};

struct child_request {
  std::vector<std::string> command;  ///< the program is looked up in PATH
  bool capture_output = false;       ///< else standard output is shared with this process
  std::size_t output_bytes_max = 0;  ///< when captured: what is above is an error
  std::chrono::milliseconds time_max{};
};

/// Runs it to its end and reaps it, whatever happens. not_found: no such program.
result<child_result> run_child(const child_request& request);

/// «was killed by signal 11 (Segmentation fault)», «ended with status 1».
std::string describe_status(int status);

}  // namespace troupe::modules
