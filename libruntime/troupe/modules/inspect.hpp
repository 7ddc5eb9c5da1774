#pragma once
#include <chrono>
#include <string>
#include <troupe/base/result.hpp>
#include <troupe/modules/description.hpp>

/// Reading what is in a module without running its code in this process: a child does it, and may crash.
namespace troupe::modules {

/// The whole of `troupe-worker --inspect FILE`: loads it, prints one line of JSON on standard output (what the module
/// itself prints goes to standard error) and returns the exit status: 0, or 1 when the JSON is an error.
int inspect_main(const std::string& path);

/// Runs `worker_program --inspect path` and parses its answer. Blocks up to `time_max`, so not on a thread that others
/// need. Errors: those of loaded_module::load; user_code when the module killed the child or did not come back;
/// unavailable when the program cannot be run.
result<module_description> inspect(const std::string& worker_program, const std::string& path,
                                   std::chrono::milliseconds time_max = std::chrono::seconds(10));

/// A module's name in the cluster: SHA-256 of the file's content, 64 hexadecimal digits. Above http_body_bytes_max it
/// is refused.
result<std::string> hash_file(const std::string& path);

}  // namespace troupe::modules
