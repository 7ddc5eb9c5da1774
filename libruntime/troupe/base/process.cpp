#include <signal.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <troupe/base/process.hpp>

namespace troupe {

bool is_ending(pid_t pid) {
  const auto folder = "/proc/" + std::to_string(pid);
  // Without memory, or gone altogether: a command line is read from the process's memory.
  std::ifstream command(folder + "/cmdline", std::ios::binary);
  if (!command || command.peek() == std::ifstream::traits_type::eof()) return true;
  // SIGKILL is on its way to it.
  std::ifstream status(folder + "/status");
  constexpr std::uint64_t killed = std::uint64_t{1} << (SIGKILL - 1);
  for (std::string line; std::getline(status, line);)
    for (const char* name : {"SigPnd:", "ShdPnd:"})
      if (line.starts_with(name) && (std::strtoull(line.c_str() + 7, nullptr, 16) & killed) != 0) return true;
  return false;
}

bool is_stopped(pid_t pid) {
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(stat, text);
  const auto name_end = text.rfind(')');  // the name may hold anything
  return name_end != std::string::npos && text.size() > name_end + 2 && text[name_end + 2] == 'T';
}

}  // namespace troupe
