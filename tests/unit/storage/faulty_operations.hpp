#pragma once
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <set>
#include <string>
#include <support/catch.hpp>
#include <troupe/storage/file.hpp>
#include <vector>

/// A disk that does what a test tells it to, on top of the real one.
class faulty_operations : public troupe::storage::file_operations {
 public:
  std::uint64_t bytes_left =
      std::numeric_limits<std::uint64_t>::max();  ///< then ENOSPC; a write that does not fit is short first
  std::size_t write_bytes_max = std::numeric_limits<std::size_t>::max();  ///< of one pwritev: short writes
  std::size_t read_bytes_max = std::numeric_limits<std::size_t>::max();
  int interrupt_every = 0;  ///< every n-th read and write says EINTR first
  bool fail_fdatasync = false;
  bool fail_fsync = false;
  bool fail_rename = false;
  bool fail_fallocate = false;                                                    ///< ENOSPC
  std::uint64_t fallocate_bytes_max = std::numeric_limits<std::uint64_t>::max();  ///< else the same
  int fdatasyncs = 0, fsyncs = 0, writes = 0;
  int reads = 0;
  std::set<int> open_files;

  int open(const char* path, int flags, mode_t mode) override {
    const int fd = file_operations::open(path, flags, mode);
    if (fd >= 0) open_files.insert(fd);
    return fd;
  }
  int close(int fd) override {
    open_files.erase(fd);
    return file_operations::close(fd);
  }
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t position) override {
    ++writes;
    if (interrupted()) return -1;
    const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(bytes_left, write_bytes_max));
    std::size_t want = 0;
    for (int i = 0; i < count; ++i) want += parts[i].iov_len;
    if (want <= room) {
      const auto done = file_operations::pwritev(fd, parts, count, position);
      if (done > 0) bytes_left -= static_cast<std::uint64_t>(done);
      return done;
    }
    if (bytes_left == 0) return errno = ENOSPC, -1;
    const iovec first{parts[0].iov_base, std::min(parts[0].iov_len, room)};
    const auto done = file_operations::pwritev(fd, &first, 1, position);
    if (done > 0) bytes_left -= static_cast<std::uint64_t>(done);
    return done;
  }
  ssize_t preadv(int fd, const iovec* parts, int count, off_t position) override {
    ++reads;
    if (interrupted()) return -1;
    iovec first = parts[0];
    const bool whole = count != 1 || first.iov_len <= read_bytes_max;
    if (!whole) first.iov_len = read_bytes_max;
    return file_operations::preadv(fd, whole ? parts : &first, whole ? count : 1, position);
  }
  int fdatasync(int fd) override {
    ++fdatasyncs;
    return fail_fdatasync ? (errno = EIO, -1) : file_operations::fdatasync(fd);
  }
  int fsync(int fd) override {
    ++fsyncs;
    return fail_fsync ? (errno = EIO, -1) : file_operations::fsync(fd);
  }
  int rename(const char* from, const char* to) override {
    return fail_rename ? (errno = EIO, -1) : file_operations::rename(from, to);
  }
  int fallocate(int fd, int mode, off_t position, off_t size) override {
    return fail_fallocate || static_cast<std::uint64_t>(size) > fallocate_bytes_max
               ? (errno = ENOSPC, -1)
               : file_operations::fallocate(fd, mode, position, size);
  }

 private:
  bool interrupted() {
    if (interrupt_every == 0 || ++calls_ % interrupt_every != 0) return false;
    errno = EINTR;
    return true;
  }
  int calls_ = 0;
};

/// A directory of its own, gone with the test.
class temporary_directory {
 public:
  temporary_directory() {
    auto pattern = (std::filesystem::temp_directory_path() / "troupe-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) FAIL("no temporary directory");
    path_ = pattern;
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : std::filesystem::directory_iterator(path_))
      out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }

 private:
  std::string path_;
};

/// Runs `f` in a child and gives what it wrote on standard error; fails unless it ended by SIGABRT.
template <class F>
std::string words_of_abort(F&& f) {
  int pipe_ends[2];
  REQUIRE(::pipe(pipe_ends) == 0);
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    ::signal(SIGABRT, SIG_DFL);  // Catch2's handler would report from here
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(pipe_ends[1], STDERR_FILENO);
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
    f();
    ::_exit(0);
  }
  ::close(pipe_ends[1]);
  std::string words;
  char buffer[512];
  for (ssize_t got = 0; (got = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    words.append(buffer, static_cast<std::size_t>(got));
  ::close(pipe_ends[0]);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
  return words;
}
