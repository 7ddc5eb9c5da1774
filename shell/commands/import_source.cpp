#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <shell/commands/import_source.hpp>
#include <shell/interrupts.hpp>
#include <utility>

namespace troupe::shell {

outcome<import_source> import_source::open(const std::vector<std::string>& files, bool lines) {
  import_source out;
  out.lines_ = lines;
  out.bytes_total_ = 0;
  for (const auto& name : files) {
    const bool standard_input = name == "-";
    if (standard_input && std::count(files.begin(), files.end(), "-") > 1)
      return usage_failure("import: - (standard input) can stand only once");
    // Without O_NONBLOCK a FIFO would hold this process, deaf to Ctrl-C, until somebody opens its other end.
    const int fd = standard_input ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                  : ::open(name.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return failure(error::from_errno("open", name, errno).with_context("nothing was imported"));
    out.files_.push_back({standard_input ? "standard input" : name, fd, {}});
    struct stat about {};
    if (::fstat(fd, &about) != 0)
      return failure(error::from_errno("look at", name, errno).with_context("nothing was imported"));
    if (S_ISDIR(about.st_mode))
      return failure(status::failed, name + " is a directory: name the files in it; nothing was imported");
    const auto begin = standard_input && S_ISREG(about.st_mode) ? ::lseek(fd, 0, SEEK_CUR) : 0;
    char edge = '\n';
    const bool sized = S_ISREG(about.st_mode) && begin >= 0 && begin <= about.st_size &&
                       !(about.st_size == 0 && ::pread(fd, &edge, 1, 0) > 0);  // files of /proc say 0 and have more
    if (!sized) {
      out.bytes_total_.reset();
      continue;
    }
    const auto size = static_cast<std::uint64_t>(about.st_size - begin);
    out.files_.back().left = size;
    if (!out.bytes_total_) continue;
    *out.bytes_total_ += size;
    const bool last = out.files_.size() == files.size();
    if (size == 0 || last || !lines) continue;
    if (::pread(fd, &edge, 1, about.st_size - 1) != 1)
      return failure(error::from_errno("read", name, errno).with_context("nothing was imported"));
    if (edge != '\n') ++*out.bytes_total_;
  }
  return out;
}

import_source::~import_source() {
  for (const auto& f : files_) ::close(f.fd);
}

import_source::import_source(import_source&& other) noexcept
    : files_(std::exchange(other.files_, {})),
      lines_(other.lines_),
      current_(other.current_),
      last_(other.last_),
      bytes_read_(other.bytes_read_),
      bytes_total_(other.bytes_total_) {}

result<std::size_t> import_source::read_some(std::span<char> out) {
  while (current_ < files_.size()) {
    auto& f = files_[current_];
    // A pipe or a terminal may stay silent for ever: Ctrl-C must be heard meanwhile.
    pollfd waits[2] = {{f.fd, POLLIN, 0}, {interrupts::descriptor(), POLLIN, 0}};
    if (::poll(waits, 2, -1) < 0 && errno != EINTR) return error::from_errno("wait for", f.name, errno);
    if (interrupts::pending()) return error{errc::cancelled, "interrupted"};
    if (waits[0].revents == 0) continue;
    const auto wanted = f.left ? static_cast<std::size_t>(std::min<std::uint64_t>(*f.left, out.size())) : out.size();
    const auto n = wanted == 0 ? 0 : ::read(f.fd, out.data(), wanted);
    if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (n < 0) return error::from_errno("read", f.name, errno).with_context("nothing was imported");
    if (n == 0 && f.left.value_or(0) != 0)
      return error{errc::failed_precondition, f.name + " became shorter while it was read; nothing was imported"};
    if (n > 0) {
      if (f.left) *f.left -= static_cast<std::uint64_t>(n);
      last_ = out[static_cast<std::size_t>(n) - 1];
      bytes_read_ += static_cast<std::uint64_t>(n);
      return static_cast<std::size_t>(n);
    }
    ++current_;
    if (lines_ && last_ != '\n' && current_ < files_.size()) {
      last_ = '\n';
      out[0] = '\n';
      ++bytes_read_;
      return std::size_t{1};
    }
  }
  return std::size_t{0};
}

}  // namespace troupe::shell
