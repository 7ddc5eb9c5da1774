#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <troupe/storage/file.hpp>
#include <utility>

namespace troupe::storage {

int file_operations::open(const char* path, int flags, mode_t mode) { return ::open(path, flags, mode); }
int file_operations::close(int fd) { return ::close(fd); }
ssize_t file_operations::pwritev(int fd, const iovec* parts, int count, off_t position) {
  return ::pwritev(fd, parts, count, position);
}
ssize_t file_operations::preadv(int fd, const iovec* parts, int count, off_t position) {
  return ::preadv(fd, parts, count, position);
}
int file_operations::fdatasync(int fd) { return ::fdatasync(fd); }
int file_operations::fsync(int fd) { return ::fsync(fd); }
int file_operations::ftruncate(int fd, off_t size) { return ::ftruncate(fd, size); }
int file_operations::fallocate(int fd, int mode, off_t position, off_t size) {
  return ::fallocate(fd, mode, position, size);
}
int file_operations::rename(const char* from, const char* to) { return ::rename(from, to); }
int file_operations::unlink(const char* path) { return ::unlink(path); }

file_operations& file_operations::system() {
  static file_operations real;
  return real;
}

void disk_failed(std::string_view operation, std::string_view path, int error_number) noexcept {
  std::fprintf(stderr,
               "troupe: %.*s %.*s failed: %s. What is on the disk is unknown now, so this process ends and starts "
               "again from what is "
               "there; look at the kernel's log and at the disk.\n",
               static_cast<int>(operation.size()), operation.data(), static_cast<int>(path.size()), path.data(),
               std::strerror(error_number));
  std::fflush(stderr);
  std::abort();
}

file::file(file&& other) noexcept
    : operations_(other.operations_), fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

file& file::operator=(file&& other) noexcept {
  if (this != &other) {
    close();
    operations_ = other.operations_;
    fd_ = std::exchange(other.fd_, -1);
    path_ = std::move(other.path_);
  }
  return *this;
}

file::~file() { close(); }

void file::close() noexcept {
  if (fd_ >= 0) operations_->close(std::exchange(fd_, -1));
}

result<file> file::open(file_operations& operations, std::string path, int flags) {
  for (;;) {
    const int fd = operations.open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd >= 0) return file(operations, fd, std::move(path));
    if (errno != EINTR) return error::from_errno("open", path, errno);
  }
}

result<std::uint64_t> file::size() const {
  struct stat info {};
  if (::fstat(fd_, &info) != 0) return error::from_errno("stat", path_, errno);
  return static_cast<std::uint64_t>(info.st_size);
}

result<std::uint64_t> file::free_bytes() const {
  struct statvfs info {};
  if (::fstatvfs(fd_, &info) != 0) return error::from_errno("statvfs", path_, errno);
  return static_cast<std::uint64_t>(info.f_bavail) * info.f_frsize;
}

result<void> file::write(std::span<const bytes_view> parts, std::uint64_t position) {
  std::size_t part = 0, done_in_part = 0;
  for (;;) {
    iovec vectors[16];
    int count = 0;
    for (std::size_t i = part; i < parts.size() && count < 16; ++i) {
      const auto rest = i == part ? parts[i].substr(done_in_part) : parts[i];
      if (!rest.empty()) vectors[count++] = {const_cast<char*>(rest.data()), rest.size()};
    }
    if (count == 0) return ok();
    const auto written = operations_->pwritev(fd_, vectors, count, static_cast<off_t>(position));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return error::from_errno("write", path_, written == 0 ? ENOSPC : errno);
    position += static_cast<std::uint64_t>(written);
    for (auto left = static_cast<std::size_t>(written); part < parts.size();) {
      const auto step = std::min(left, parts[part].size() - done_in_part);
      left -= step;
      done_in_part += step;
      if (done_in_part < parts[part].size()) break;
      done_in_part = 0;
      ++part;
    }
  }
}

result<std::size_t> file::read_up_to(char* out, std::size_t size, std::uint64_t position) const {
  std::size_t done = 0;
  while (done != size) {
    const iovec vector{out + done, size - done};
    const auto got = operations_->preadv(fd_, &vector, 1, static_cast<off_t>(position + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error::from_errno("read", path_, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

result<void> file::read(char* out, std::size_t size, std::uint64_t position) const {
  TROUPE_TRY(const auto got, read_up_to(out, size, position));
  if (got == size) return ok();
  return error{errc::corrupted, path_ + " ends at byte " + std::to_string(position + got) + ", " +
                                    std::to_string(size - got) + " more were expected"};
}

result<bytes> file::read(std::size_t size, std::uint64_t position) const {
  bytes out(size, '\0');
  TROUPE_TRY_VOID(read(out.data(), size, position));
  return out;
}

std::uint64_t file::next_data(std::uint64_t position, std::uint64_t size) const noexcept {
  if (position >= size) return size;
  const auto at = ::lseek(fd_, static_cast<off_t>(position), SEEK_DATA);
  if (at < 0) return errno == ENXIO ? size : position;
  return std::clamp(static_cast<std::uint64_t>(at), position, size);
}

void file::sync() {
  if (operations_->fdatasync(fd_) != 0) disk_failed("fdatasync", path_, errno);
}

result<void> file::truncate(std::uint64_t size) {
  while (operations_->ftruncate(fd_, static_cast<off_t>(size)) != 0)
    if (errno != EINTR) return error::from_errno("truncate", path_, errno);
  return ok();
}

result<void> file::reserve(std::uint64_t position, std::uint64_t size, bool keep_size) {
  const int mode = keep_size ? FALLOC_FL_KEEP_SIZE : 0;
  while (operations_->fallocate(fd_, mode, static_cast<off_t>(position), static_cast<off_t>(size)) != 0) {
    if (errno == EOPNOTSUPP || errno == ENOSYS) return ok();  // then the first write finds out
    if (errno != EINTR) return error::from_errno("reserve room for", path_, errno);
  }
  return ok();
}

bool file::set_direct(bool direct) noexcept {
  const int flags = ::fcntl(fd_, F_GETFL);
  return flags >= 0 && ::fcntl(fd_, F_SETFL, direct ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

result<void> sync_directory(file_operations& operations, const std::string& path) {
  TROUPE_TRY(const file directory, file::open(operations, path, O_RDONLY | O_DIRECTORY));
  if (operations.fsync(directory.descriptor()) != 0) disk_failed("fsync", path, errno);
  return ok();
}

result<file> replace_file_open(file_operations& operations, const std::string& directory, std::string_view name,
                               std::span<const bytes_view> parts) {
  const auto path = directory + "/" + std::string(name);
  const auto path_new = path + ".new";
  // Opened first: behind the rename there must be nothing left that can fail and not end the process.
  TROUPE_TRY(const file folder, file::open(operations, directory, O_RDONLY | O_DIRECTORY));
  const auto write = [&]() -> result<file> {
    TROUPE_TRY(file f, file::open(operations, path_new, O_RDWR | O_CREAT | O_TRUNC));
    TROUPE_TRY_VOID(f.write(parts, 0));
    f.sync();
    if (operations.rename(path_new.c_str(), path.c_str()) != 0) return error::from_errno("rename to", path, errno);
    f.path_ = path;
    return f;
  };
  auto written = write();
  if (!written)
    operations.unlink(path_new.c_str());
  else if (operations.fsync(folder.descriptor()) != 0)
    disk_failed("fsync", directory, errno);
  return written;
}

result<void> replace_file(file_operations& operations, const std::string& directory, std::string_view name,
                          std::span<const bytes_view> parts) {
  TROUPE_TRY_VOID(replace_file_open(operations, directory, name, parts));
  return ok();
}

result<bytes> read_file(file_operations& operations, const std::string& path, std::size_t bytes_max) {
  TROUPE_TRY(const file f, file::open(operations, path, O_RDONLY));
  TROUPE_TRY(const std::uint64_t size, f.size());
  if (size > bytes_max)
    return error{errc::resource_exhausted,
                 path + " has " + std::to_string(size) + " bytes, at most " + std::to_string(bytes_max) + " are read"};
  return f.read(static_cast<std::size_t>(size), 0);
}

result<void> make_directory(file_operations& operations, const std::string& path) {
  if (::mkdir(path.c_str(), 0700) != 0) {
    if (errno != EEXIST) return error::from_errno("make directory", path, errno);
    struct stat info {};
    if (::stat(path.c_str(), &info) != 0) return error::from_errno("stat", path, errno);
    if (!S_ISDIR(info.st_mode))
      return error{errc::failed_precondition, path + " is there and is not a directory; move it away"};
    return ok();
  }
  const auto slash = path.find_last_of('/');
  return sync_directory(operations, slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash));
}

}  // namespace troupe::storage
