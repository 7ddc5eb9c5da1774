#include <fcntl.h>
#include <unistd.h>

#include <sys/stat.h>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <troupe/base/limits.hpp>
#include <troupe/base/sha256.hpp>
#include <troupe/base/text.hpp>
#include <troupe/modules/child.hpp>
#include <troupe/modules/inspect.hpp>
#include <troupe/modules/load.hpp>

namespace troupe::modules {
namespace {

constexpr std::size_t description_bytes_max = 4 << 20;

result<std::string> describe_as_json(const std::string& path) {
  TROUPE_TRY(const auto module, loaded_module::load(path));
  TROUPE_TRY(const auto description, module.describe());
  return to_json(description);
}

}  // namespace

int inspect_main(const std::string& path) {
  // The module's static initialisers may print: that must not mix with the answer.
  const int answer = ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
  if (answer < 0 || ::dup2(STDERR_FILENO, STDOUT_FILENO) < 0) return 1;
  const auto described = describe_as_json(path);
  const auto line = (described ? *described : to_json(described.error())) + "\n";
  for (std::size_t written = 0; written < line.size();) {
    const auto count = ::write(answer, line.data() + written, line.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return 1;
    written += static_cast<std::size_t>(count);
  }
  return described ? 0 : 1;
}

result<module_description> inspect(const std::string& worker_program, const std::string& path,
                                   std::chrono::milliseconds time_max) {
  TROUPE_TRY_VOID(check_file(path));
  const auto ran = run_child({{worker_program, "--inspect", path}, true, description_bytes_max, time_max});
  if (!ran) return error{errc::unavailable, "cannot look into " + path + ": " + ran.error().message()};
  if (ran->timed_out)
    return error{errc::user_code, path + " did not finish loading within " + std::to_string(time_max.count()) +
                                      " ms (does a static initialiser wait?)"};
  if (!ran->output.empty()) return parse_json(ran->output);
  return error{errc::user_code, "the process that loaded " + path + " " + describe_status(ran->status) +
                                    " before it could answer (does a static initialiser fail?)"};
}

result<std::string> hash_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return error::from_errno("open module", path, errno);
  if (!S_ISREG(status.st_mode)) return error{errc::invalid_argument, path + " is not a file"};
  if (static_cast<std::uint64_t>(status.st_size) > limits::http_body_bytes_max)
    return error{errc::resource_exhausted, path + " has " + format_bytes(static_cast<std::uint64_t>(status.st_size)) +
                                               ", more than a module may have (" +
                                               format_bytes(limits::http_body_bytes_max) + "); strip it"};
  std::ifstream in(path, std::ios::binary);
  std::ostringstream content;
  content << in.rdbuf();
  if (!in) return error{errc::io_error, "read module " + path + ": failed"};
  return sha256_hex(content.str());
}

}  // namespace troupe::modules
