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

outcome<import_source> import_source::open(const std::vector<std::string>& files, import_reading how) {
  import_source out;
  out.how_ = how;
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
    out.files_.back().header_due = how.header && out.files_.size() > 1;
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
    char magic[compression_magic_bytes];
    const auto looked = ::pread(fd, magic, sizeof magic, begin);
    if (looked > 0 && find_compression({magic, static_cast<std::size_t>(looked)})) out.bytes_total_.reset();
    if (how.header && files.size() > 1) out.bytes_total_.reset();
    if (!out.bytes_total_) continue;
    *out.bytes_total_ += size;
    const bool last = out.files_.size() == files.size();
    if (size == 0 || last || !how.lines) continue;
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
      how_(other.how_),
      current_(other.current_),
      last_(other.last_),
      bytes_read_(other.bytes_read_),
      lines_read_(other.lines_read_),
      bytes_total_(other.bytes_total_) {}

/// What lies in the file, compressed or not.
result<std::size_t> import_source::read_stored(file& f, std::span<char> out) {
  for (;;) {
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
    if (f.left) *f.left -= static_cast<std::uint64_t>(n);
    return static_cast<std::size_t>(n);
  }
}

/// What the file says, as it was before somebody compressed it.
result<std::size_t> import_source::read_file(file& f, std::span<char> out) {
  if (!f.looked_at) {
    char begin[compression_magic_bytes];
    while (f.first.size() < sizeof begin) {
      TROUPE_TRY(const auto n, read_stored(f, std::span(begin).first(sizeof begin - f.first.size())));
      if (n == 0) break;
      f.first.append(begin, n);
    }
    f.looked_at = true;
    if (const auto how = find_compression(f.first)) {
      f.packed.emplace(*how);
      f.packed->begin_with(std::exchange(f.first, {}));
    }
  }
  if (f.packed) {
    auto read = f.packed->read(out, [&](std::span<char> into) { return read_stored(f, into); });
    if (!read && read.error().code() == errc::corrupted)
      return read.error().with_context(f.name).with_context("nothing was imported");
    return read;
  }
  if (!f.first.empty()) {
    const auto n = f.first.copy(out.data(), out.size());
    f.first.erase(0, n);
    return n;
  }
  return read_stored(f, out);
}

/// Moves what follows the header to the front; how much that is.
std::size_t import_source::skip_header(file& f, std::span<char> read) {
  for (std::size_t i = 0; i < read.size(); ++i) {
    if (read[i] == '"') f.header_quoted = !f.header_quoted;
    if (read[i] != '\n') continue;
    ++f.header_lines;
    if (f.header_quoted) continue;
    f.header_due = false;
    std::copy(read.begin() + static_cast<std::ptrdiff_t>(i) + 1, read.end(), read.begin());
    return read.size() - i - 1;
  }
  return 0;
}

result<std::size_t> import_source::read_some(std::span<char> out) {
  while (current_ < files_.size()) {
    auto& f = files_[current_];
    if (f.first_line == 0) f.first_line = lines_read_ + 1;
    TROUPE_TRY(auto n, read_file(f, out));
    if (n > 0) {
      if (f.header_due) n = skip_header(f, out.first(n));
      if (n == 0) continue;
      last_ = out[n - 1];
      bytes_read_ += n;
      if (how_.counts_lines)
        lines_read_ +=
            static_cast<std::uint64_t>(std::count(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(n), '\n'));
      return n;
    }
    ++current_;
    if (how_.lines && last_ != '\n' && current_ < files_.size()) {
      last_ = '\n';
      out[0] = '\n';
      ++bytes_read_;
      ++lines_read_;
      return std::size_t{1};
    }
  }
  return std::size_t{0};
}

std::string import_source::place_of_line(std::uint64_t line) const {
  const file* in = nullptr;
  for (const auto& f : files_)
    if (f.first_line != 0 && f.first_line <= line) in = &f;
  if (in == nullptr) return "line " + std::to_string(line);
  return in->name + ", line " + std::to_string(line - in->first_line + 1 + in->header_lines);
}

}  // namespace troupe::shell
