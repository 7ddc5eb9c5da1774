#include <shell/cluster/paths.hpp>

#include <fcntl.h>
#include <pwd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <troupe/base/random.hpp>

namespace troupe::shell::paths {
namespace fs = std::filesystem;
namespace {

fs::path home() {
  if (const char* set = std::getenv("HOME"); set != nullptr && *set != 0) return set;
  const auto* entry = ::getpwuid(::getuid());
  return entry != nullptr ? fs::path(entry->pw_dir) : fs::path("/");
}

/// A relative path in such a variable is to be passed over, says the specification.
fs::path base(const char* variable, const char* below_home) {
  if (const char* set = std::getenv(variable); set != nullptr && *set == '/') return set;
  return home() / below_home;
}

}  // namespace

fs::path clusters_file() { return base("XDG_CONFIG_HOME", ".config") / "troupe" / "clusters.toml"; }
fs::path cluster_data(const std::string& cluster) { return base("XDG_DATA_HOME", ".local/share") / "troupe" / cluster; }
fs::path history_file() { return base("XDG_STATE_HOME", ".local/state") / "troupe" / "history"; }

result<fs::path> program_beside(const std::string& name) {
  std::error_code failed;
  const auto self = fs::read_symlink("/proc/self/exe", failed);
  if (failed) return error{errc::io_error, "cannot find the shell's own executable: " + failed.message()};
  const auto program = self.parent_path() / name;
  if (::access(program.c_str(), X_OK) != 0)
    return error{errc::not_found, name + " is not beside the shell (" + program.string() +
                                      "); install both, or build the target " + name};
  return program;
}

result<void> write_private_file(const fs::path& given, const std::string& content) {
  std::error_code failed;
  auto path = fs::absolute(given);
  // What a link points to is replaced, not the link; and nothing that is no file (/dev/null) becomes one.
  if (const auto target = fs::canonical(path, failed); !failed) path = target;
  if (const auto status = fs::status(path, failed); fs::exists(status) && !fs::is_regular_file(status))
    return error{errc::invalid_argument, given.string() + " is not a file"};
  fs::create_directories(path.parent_path(), failed);
  if (failed) return error{errc::io_error, "make directory " + path.parent_path().string() + ": " + failed.message()};
  const auto temporary = path.string() + "." + random_hex(6);
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return error::from_errno("create", temporary, errno);
  std::size_t written = 0;
  bool good = true;
  while (good && written < content.size()) {
    const auto n = ::write(fd, content.data() + written, content.size() - written);
    if (n < 0 && errno == EINTR) continue;
    good = n > 0;
    if (good) written += static_cast<std::size_t>(n);
  }
  good = good && ::fsync(fd) == 0;
  const int why = errno;
  ::close(fd);
  if (good && ::rename(temporary.c_str(), path.c_str()) == 0) return ok();
  const auto e = error::from_errno("write", path.string(), good ? errno : why);
  ::unlink(temporary.c_str());
  return e;
}

result<std::string> read_file(const fs::path& path, std::size_t bytes_max) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return error{errc::not_found, "there is no file " + path.string()};
    return error::from_errno("open", path.string(), errno);
  }
  std::string out;
  char piece[16384];
  for (;;) {
    const auto n = ::read(fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const auto e = error::from_errno("read", path.string(), errno);
      ::close(fd);
      return e;
    }
    if (n == 0) break;
    out.append(piece, static_cast<std::size_t>(n));
    if (out.size() > bytes_max) {
      ::close(fd);
      return error{errc::resource_exhausted, path.string() + " is larger than " + std::to_string(bytes_max) + " bytes"};
    }
  }
  ::close(fd);
  return out;
}

}  // namespace troupe::shell::paths
