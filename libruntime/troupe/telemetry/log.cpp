#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <troupe/base/text.hpp>
#include <troupe/telemetry/log.hpp>

namespace troupe::telemetry {

namespace {

constexpr std::size_t text_bytes_max = 8192;

/// Control characters are written out; UTF-8 passes.
void append_printable(std::string& out, std::string_view text) {
  constexpr char digits[] = "0123456789abcdef";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (code >= 0x20 && code != 0x7f) {
      out += c;
      continue;
    }
    out += "\\x";
    out += digits[code >> 4];
    out += digits[code & 15];
  }
}

int open_log(const std::string& path) { return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640); }

}  // namespace

std::string_view to_string(level l) noexcept {
  switch (l) {
    case level::debug:
      return "debug";
    case level::info:
      return "info";
    case level::warning:
      return "warning";
    case level::error:
      return "error";
  }
  return "unknown";
}

result<level> parse_level(std::string_view text) {
  for (const auto l : {level::debug, level::info, level::warning, level::error})
    if (to_string(l) == text) return l;
  return troupe::error{errc::invalid_argument, "not a log level: \"" + std::string(text.substr(0, 64)) +
                                                   "\" (write debug, info, warning or error)"};
}

logger::~logger() {
  if (fd_ >= 0) ::close(fd_);
}

result<void> logger::to_file(const std::string& path, std::uint64_t bytes_max) {
  const int fd = open_log(path);
  if (fd < 0) return troupe::error::from_errno("open", path, errno);
  struct stat info {};
  if (::fstat(fd, &info) != 0) {
    const int why = errno;
    ::close(fd);
    return troupe::error::from_errno("stat", path, why);
  }
  const std::lock_guard lock(mutex_);
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
  path_ = path;
  bytes_ = static_cast<std::uint64_t>(info.st_size);
  bytes_max_ = bytes_max;
  function_ = nullptr;
  return ok();
}

void logger::to_function(std::function<void(std::string_view)> f) {
  const std::lock_guard lock(mutex_);
  function_ = std::move(f);
}

void logger::set_level(level least) {
  const std::lock_guard lock(mutex_);
  least_ = least;
}

void logger::write(level l, std::string_view room, std::string_view text) {
  using namespace std::chrono;
  const auto now = duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
  const std::lock_guard lock(mutex_);
  if (l < least_) return;
  std::string line = format_time(now);
  line += ' ';
  line += to_string(l);
  line += ' ';
  line += room;
  line += ": ";
  append_printable(line, text.substr(0, text_bytes_max));
  if (text.size() > text_bytes_max) line += "…";
  if (function_) {
    function_(line);
    return;
  }
  line += '\n';
  write_file(line);
}

void logger::write_file(std::string_view line) {
  if (fd_ >= 0 && bytes_ + line.size() > bytes_max_ && bytes_ > 0) {
    // Renaming first: when the new file can't be opened, the old one goes on under its new name.
    if (::rename(path_.c_str(), (path_ + ".1").c_str()) == 0) {
      if (const int fresh = open_log(path_); fresh >= 0) {
        ::close(fd_);
        fd_ = fresh;
      }
    }
    bytes_ = 0;
  }
  const int fd = fd_ >= 0 ? fd_ : STDERR_FILENO;
  while (!line.empty()) {
    const auto written = ::write(fd, line.data(), line.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return;  // a full disk or a closed terminal: there is nowhere to say so
    }
    bytes_ += static_cast<std::uint64_t>(written);
    line.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::optional<std::uint64_t> rate_limit::pass(time_point now) {
  ++waiting_;
  return flush(now);
}

std::optional<std::uint64_t> rate_limit::flush(time_point now) {
  if (waiting_ == 0 || (reported_at_ && now < *reported_at_ + interval_)) return std::nullopt;
  reported_at_ = now;
  return std::exchange(waiting_, 0);
}

std::optional<rate_limit::time_point> rate_limit::due() const {
  if (waiting_ == 0) return std::nullopt;
  return reported_at_ ? *reported_at_ + interval_ : time_point::min();
}

}  // namespace troupe::telemetry
