#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <shell/commands/export_target.hpp>
#include <shell/interrupts.hpp>
#include <troupe/base/random.hpp>
#include <utility>

namespace troupe::shell {
namespace fs = std::filesystem;

outcome<export_target> export_target::open(const std::string& path) {
  export_target out;
  out.path_ = path;
  if (path == "-") {
    out.fd_ = STDOUT_FILENO;
    return out;
  }
  struct stat about {};
  const bool there = ::stat(path.c_str(), &about) == 0;
  if (there && S_ISDIR(about.st_mode)) return failure(status::failed, path + " is a directory: name a file in it");
  out.owned_ = true;
  if (there && !S_ISREG(about.st_mode)) {
    out.fd_ = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    // A symbolic link stays one: what it points to is replaced.
    std::error_code failed;
    if (there) out.path_ = fs::canonical(path, failed).string();
    if (failed) out.path_ = path;
    out.temporary_ = out.path_ + "." + random_hex(6) + ".part";
    out.fd_ =
        ::open(out.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, there ? about.st_mode & 0777 : 0666);
  }
  if (out.fd_ < 0) {
    const auto e = error::from_errno("create", path, errno);
    out.temporary_.clear();
    return failure(e);
  }
  return out;
}

export_target::~export_target() {
  if (fd_ >= 0 && owned_) ::close(fd_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

export_target::export_target(export_target&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      fd_(std::exchange(other.fd_, -1)),
      owned_(other.owned_),
      bytes_(other.bytes_) {}

result<void> export_target::write(std::string_view piece) {
  if (interrupts::pending()) return error{errc::cancelled, "interrupted"};
  while (!piece.empty()) {
    const auto n = ::write(fd_, piece.data(), piece.size());
    if (n < 0 && errno == EINTR) {
      if (interrupts::pending()) return error{errc::cancelled, "interrupted"};
      continue;
    }
    if (n < 0) return error::from_errno("write", path_ == "-" ? "standard output" : path_, errno);
    bytes_ += static_cast<std::uint64_t>(n);
    piece.remove_prefix(static_cast<std::size_t>(n));
  }
  return ok();
}

result<void> export_target::finish() {
  if (temporary_.empty()) return ok();
  if (::fsync(fd_) != 0) return error::from_errno("write", path_, errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return error::from_errno("rename to", path_, errno);
  temporary_.clear();
  return ok();
}

}  // namespace troupe::shell
