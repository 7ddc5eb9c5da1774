#include <shell/commands/record_batches.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <shell/interrupts.hpp>
#include <utility>

namespace troupe::shell {
namespace {

constexpr int linger_ms = 20;

}  // namespace

outcome<record_batches> record_batches::open(const std::string& file) {
  const bool standard_input = file == "-";
  const int fd =
      standard_input ? ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return failure(error::from_errno("open", file, errno).with_context("nothing was appended"));
  record_batches out(standard_input ? "standard input" : file, fd);
  struct stat about {};
  if (::fstat(fd, &about) != 0)
    return failure(error::from_errno("look at", file, errno).with_context("nothing was appended"));
  if (S_ISDIR(about.st_mode)) return failure(status::failed, file + " is a directory; nothing was appended");
  if (S_ISREG(about.st_mode)) out.bytes_total_ = static_cast<std::uint64_t>(about.st_size);
  return out;
}

record_batches::~record_batches() {
  if (fd_ >= 0) ::close(fd_);
}

record_batches::record_batches(record_batches&& other) noexcept
    : name_(std::move(other.name_)),
      fd_(std::exchange(other.fd_, -1)),
      bytes_total_(other.bytes_total_),
      buffer_(std::move(other.buffer_)),
      complete_(other.complete_),
      lines_(other.lines_),
      at_end_(other.at_end_) {}

bool record_batches::is_terminal() const { return ::isatty(fd_) == 1; }

record_batch record_batches::cut(std::size_t bytes) {
  record_batch out;
  out.first_line = lines_ + 1;
  out.lines = buffer_.substr(0, bytes);
  buffer_.erase(0, bytes);
  complete_ -= std::min(complete_, bytes);
  if (!out.lines.empty() && out.lines.back() != '\n') out.lines.push_back('\n');
  out.records = static_cast<std::uint64_t>(std::count(out.lines.begin(), out.lines.end(), '\n'));
  lines_ += out.records;
  return out;
}

/// False when nothing came for as long as whole lines may wait.
result<bool> record_batches::read_more() {
  pollfd waits[2] = {{fd_, POLLIN, 0}, {interrupts::descriptor(), POLLIN, 0}};
  const int ready = ::poll(waits, 2, complete_ > 0 ? linger_ms : -1);
  if (interrupts::pending()) return error{errc::cancelled, "interrupted"};
  if (ready < 0 && errno != EINTR) return error::from_errno("wait for", name_, errno);
  if (ready == 0) return false;
  if (waits[0].revents == 0) return true;
  const auto had = buffer_.size();
  buffer_.resize(had + batch_bytes);
  const auto n = ::read(fd_, buffer_.data() + had, batch_bytes);
  const int why = errno;
  buffer_.resize(had + static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  if (n < 0 && why != EINTR && why != EAGAIN) return error::from_errno("read", name_, why);
  if (n == 0) at_end_ = true;
  if (n > 0)
    if (const auto newline = std::string_view(buffer_).substr(had).rfind('\n'); newline != std::string_view::npos)
      complete_ = had + newline + 1;
  return true;
}

result<record_batch> record_batches::next() {
  for (;;) {
    if (complete_ > 0 && buffer_.size() >= batch_bytes) {
      // As much as is whole, but no more than a batch unless its first line is longer.
      const auto within = complete_ <= batch_bytes ? complete_ : buffer_.rfind('\n', batch_bytes - 1) + 1;
      return cut(within != 0 ? within : buffer_.find('\n') + 1);
    }
    if (at_end_) return cut(buffer_.size());
    if (buffer_.size() - complete_ > line_bytes_max)
      return error{errc::invalid_argument, "line " + std::to_string(lines_ + 1) + " of " + name_ +
                                               " is longer than 1 MiB, more than one append takes"};
    TROUPE_TRY(const bool more, read_more());
    if (!more) return cut(complete_);
  }
}

}  // namespace troupe::shell
