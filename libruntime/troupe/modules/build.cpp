#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <troupe/modules/build.hpp>
#include <troupe/modules/child.hpp>

namespace troupe::modules {
namespace {

/// Optimised template code takes a compiler seconds; a machine that swaps, minutes.
constexpr auto compile_time_max = std::chrono::minutes(10);

bool exists(const std::string& path) { return ::access(path.c_str(), R_OK) == 0; }

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string choose_compiler(const build_request& request) {
  if (!request.compiler.empty()) return request.compiler;
  if (const auto named = environment("CXX"); !named.empty()) return named;
  if (::access(TROUPE_BUILT_WITH, X_OK) == 0) return TROUPE_BUILT_WITH;
  return "c++";
}

/// Boost's own headers are needed, and a missing one gives an error that names neither the package nor the reason.
constexpr const char* no_sdk =
    "the SDK's headers were not found: set TROUPE_INCLUDE to the folder that holds troupe/sdk.hpp (in the source tree: "
    "libruntime)";

}  // namespace

result<std::string> include_directory() {
  if (const auto named = environment("TROUPE_INCLUDE"); !named.empty()) {
    if (exists(named + "/troupe/sdk.hpp")) return named;
    return error{errc::not_found, "TROUPE_INCLUDE=" + named + " has no troupe/sdk.hpp"};
  }
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (!failed) {
    const auto installed = program.parent_path().parent_path() / "include";
    if (exists(installed / "troupe" / "sdk.hpp")) return installed.string();
  }
  if (exists(TROUPE_SOURCE_INCLUDE "/troupe/sdk.hpp")) return std::string(TROUPE_SOURCE_INCLUDE);
  return error{errc::not_found, no_sdk};
}

result<std::vector<std::string>> build_command(const build_request& request) {
  if (request.sources.empty()) return error{errc::invalid_argument, "nothing to build: name a C++ source file"};
  if (request.output.empty()) return error{errc::invalid_argument, "no name for the module to build"};
  for (const auto& source : request.sources)
    if (!exists(source)) return error::from_errno("read source", source, errno);
  std::string include = request.include_directory;
  if (include.empty()) {
    TROUPE_TRY(include, include_directory());
  } else if (!exists(include + "/troupe/sdk.hpp")) {
    return error{errc::not_found, include + " has no troupe/sdk.hpp"};
  }
  const auto compiler = choose_compiler(request);
  std::vector<std::string> command{compiler, "-std=c++20", "-O2",   "-g1",
                                   "-Wall",  "-shared",    "-fPIC", "-fvisibility=hidden"};
  // gcc marks template statics as unique in the process, which would merge them across modules; clang does not, and
  // does not know the flag.
  if (compiler.find("clang") == std::string::npos)
    command.insert(command.end(), {"-fno-gnu-unique", "-Wno-maybe-uninitialized"});
  command.insert(command.end(), {"-I", include});
  command.insert(command.end(), request.sources.begin(), request.sources.end());
  command.insert(command.end(), request.flags.begin(), request.flags.end());
  return command;
}

result<void> build(const build_request& request) {
  TROUPE_TRY(auto command, build_command(request));
  // The module appears whole or not at all: somebody may be loading the old one.
  const auto unfinished = request.output + ".building." + std::to_string(::getpid());
  command.insert(command.end(), {"-o", unfinished});
  const auto ran = run_child({command, false, 0, compile_time_max});
  const auto give_up = [&](error why) -> result<void> {
    ::unlink(unfinished.c_str());
    return why;
  };
  if (!ran) {
    if (ran.error().code() != errc::not_found) return give_up(ran.error());
    return give_up({errc::not_found,
                    "no C++ compiler: " + ran.error().message() + "; install g++ (apt-get install g++), or set CXX"});
  }
  if (ran->timed_out) return give_up({errc::deadline_exceeded, "the compiler did not end within 10 minutes"});
  if (ran->status != 0)
    return give_up({errc::invalid_argument, request.sources.front() + " does not compile: " + command.front() + " " +
                                                describe_status(ran->status)});
  if (::rename(unfinished.c_str(), request.output.c_str()) != 0)
    return give_up(error::from_errno("write module", request.output, errno));
  return ok();
}

}  // namespace troupe::modules
