#pragma once
#include <string>
#include <troupe/base/result.hpp>
#include <vector>

/// `module build FILE.cpp`: the compiler, with what a module needs.
namespace troupe::modules {

struct build_request {
  std::vector<std::string> sources;  ///< at least one
  std::string output;                ///< FILE.so; appears only when the compiler succeeded
  std::string compiler;              ///< empty: $CXX, else the compiler that this troupe was built with, else c++
  std::string include_directory;     ///< where <troupe/sdk.hpp> is; empty: include_directory()
  std::vector<std::string> flags;    ///< the user's own, last, so that they win
};

/// What is run, word for word. -std=c++20 -O2 -shared -fPIC -fno-gnu-unique (gcc) -fvisibility=hidden, no -march: a
/// digest must be the same on every machine, and floating-point code compiled for another processor (fused
/// multiply-add) would differ.
result<std::vector<std::string>> build_command(const build_request& request);

/// Runs it. The compiler's words go to this process's standard error, as they are. Errors: invalid_argument (no such
/// source; the compiler refused: its words are above), not_found (no compiler, or no SDK: says what to install).
result<void> build(const build_request& request);

/// Where the SDK's headers are: $TROUPE_INCLUDE, else ../include beside the running program's folder when installed,
/// else the source tree it was built from.
result<std::string> include_directory();

}  // namespace troupe::modules
