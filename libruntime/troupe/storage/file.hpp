#pragma once
#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <troupe/base/bytes.hpp>
#include <troupe/base/result.hpp>

namespace troupe::storage {

/// The operating system's file calls, one virtual function each, so that a test can fill the disk, tear a write or fail
/// an fsync. Every function has the system call's own contract (-1 and errno). Thread-safe as the calls are; the base
/// class is the real thing.
class file_operations {
 public:
  virtual ~file_operations() = default;
  virtual int open(const char* path, int flags, mode_t mode);
  virtual int close(int fd);
  virtual ssize_t pwritev(int fd, const iovec* parts, int count, off_t position);
  virtual ssize_t preadv(int fd, const iovec* parts, int count, off_t position);
  virtual int fdatasync(int fd);
  virtual int fsync(int fd);  ///< used for directories
  virtual int ftruncate(int fd, off_t size);
  virtual int fallocate(int fd, int mode, off_t position, off_t size);
  virtual int rename(const char* from, const char* to);
  virtual int unlink(const char* path);

  static file_operations& system();
};

/// Prints a sentence on standard error and aborts. After a failed fsync nobody knows what is on the disk (Linux drops
/// the dirty pages), so it is never tried again: the process starts anew and reads what is there.
[[noreturn]] void disk_failed(std::string_view operation, std::string_view path, int error_number) noexcept;

/// An open file; closed with it. Reads and writes are whole: they go on after short counts and EINTR. Not thread-safe
/// except for reads.
class file {
 public:
  file() = default;
  file(file&& other) noexcept;
  file& operator=(file&& other) noexcept;
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  ~file();

  /// `flags` as of open(2); O_CLOEXEC is added. Errors: not_found, already_exists, permission_denied,
  /// resource_exhausted (ENOSPC), io_error.
  static result<file> open(file_operations& operations, std::string path, int flags);

  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int descriptor() const noexcept { return fd_; }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] result<std::uint64_t> size() const;
  /// Bytes that can still be written to the file system that it lies on.
  [[nodiscard]] result<std::uint64_t> free_bytes() const;

  /// Writes all of the parts, one behind the other, at `position`. `resource_exhausted` when the disk is full: what was
  /// written until then stays.
  result<void> write(std::span<const bytes_view> parts, std::uint64_t position);
  result<void> write(bytes_view data, std::uint64_t position) { return write({&data, 1}, position); }

  /// Fills `size` bytes; `corrupted` when the file ends before.
  result<void> read(char* out, std::size_t size, std::uint64_t position) const;
  result<bytes> read(std::size_t size, std::uint64_t position) const;
  /// As many as there are, at most `size`.
  result<std::size_t> read_up_to(char* out, std::size_t size, std::uint64_t position) const;

  /// Where the next byte may lie that was ever written, from `position` on, or `size`: what is before it reads as zeros
  /// (holes, and room that was only reserved) and need not be read. `position` where the file system can't tell.
  [[nodiscard]] std::uint64_t next_data(std::uint64_t position, std::uint64_t size) const noexcept;

  /// fdatasync; aborts the process when it fails.
  void sync();
  result<void> truncate(std::uint64_t size);
  /// Reserves room; keeps the size when `keep_size`. `resource_exhausted` when there is none; a file system that cannot
  /// is not an error.
  result<void> reserve(std::uint64_t position, std::uint64_t size, bool keep_size);
  /// Whether what is read and written goes past the page cache from now on (O_DIRECT): addresses, positions and lengths
  /// are then aligned to 4 KiB. False where the file system can't, and then nothing has changed.
  bool set_direct(bool direct) noexcept;
  void close() noexcept;

 private:
  friend result<file> replace_file_open(file_operations&, const std::string&, std::string_view,
                                        std::span<const bytes_view>);
  file(file_operations& operations, int fd, std::string path)
      : operations_(&operations), fd_(fd), path_(std::move(path)) {}

  file_operations* operations_ = nullptr;
  int fd_ = -1;
  std::string path_;
};

/// Makes created, renamed and removed names of a directory durable. Aborts the process when the fsync fails.
result<void> sync_directory(file_operations& operations, const std::string& path);

/// Replaces `directory/name` as one step: writes name.new, syncs it, renames it over the old one and syncs the
/// directory. A crash leaves the old content or the new one. On an error (a full disk) the old content stays and
/// name.new is removed.
result<void> replace_file(file_operations& operations, const std::string& directory, std::string_view name,
                          std::span<const bytes_view> parts);

/// The same, and the new file comes back open for reading and writing.
result<file> replace_file_open(file_operations& operations, const std::string& directory, std::string_view name,
                               std::span<const bytes_view> parts);

/// A whole file. `not_found` when there is none; `resource_exhausted` above `bytes_max`.
result<bytes> read_file(file_operations& operations, const std::string& path, std::size_t bytes_max);

/// Makes a directory (mode 0700) if it is not there, and its name durable in its parent.
result<void> make_directory(file_operations& operations, const std::string& path);

}  // namespace troupe::storage
