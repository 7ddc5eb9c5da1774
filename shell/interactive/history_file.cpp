#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <shell/cluster/paths.hpp>
#include <shell/interactive/history_file.hpp>

namespace troupe::shell::history_file {
namespace {

constexpr std::size_t lines_max = 10'000;
constexpr std::size_t bytes_max = 64 << 20;

}  // namespace

result<std::vector<std::string>> load() {
  const auto path = paths::history_file();
  auto text = paths::read_file(path, bytes_max);
  std::vector<std::string> lines;
  if (!text && text.error().code() == errc::not_found) return lines;
  if (!text) return text.error();
  for (std::size_t begin = 0; begin < text->size();) {
    const auto end = std::min(text->find('\n', begin), text->size());
    if (end > begin) lines.push_back(text->substr(begin, end - begin));
    begin = end + 1;
  }
  if (lines.size() <= lines_max) return lines;
  const bool rewrite = lines.size() > 2 * lines_max;
  lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(lines_max));
  if (rewrite) {
    std::string kept;
    for (const auto& line : lines) kept += line + "\n";
    TROUPE_TRY_VOID(paths::write_private_file(path, kept));
  }
  return lines;
}

result<void> append(const std::string& line) {
  const auto path = paths::history_file();
  std::error_code failed;
  std::filesystem::create_directories(path.parent_path(), failed);
  if (failed) return error{errc::io_error, "make directory " + path.parent_path().string() + ": " + failed.message()};
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return error::from_errno("open", path.string(), errno);
  std::string out = line;
  std::replace(out.begin(), out.end(), '\n', ' ');
  out += '\n';
  const auto n = ::write(fd, out.data(), out.size());
  const int why = errno;
  ::close(fd);
  if (n != static_cast<ssize_t>(out.size())) return error::from_errno("write", path.string(), n < 0 ? why : ENOSPC);
  return ok();
}

}  // namespace troupe::shell::history_file
