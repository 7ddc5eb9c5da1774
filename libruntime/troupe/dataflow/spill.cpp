#include "troupe/dataflow/spill.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace troupe::dataflow {

result<std::unique_ptr<spill_file>> spill_file::write(const std::filesystem::path& path,
                                                      const std::vector<bytes_view>& pieces) {
  const int writer = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (writer < 0) return error::from_errno("create spill file", path.string(), errno);
  // Readers get a descriptor of their own that cannot write: it goes to workers.
  std::unique_ptr<spill_file> file(new spill_file(path, ::open(path.c_str(), O_RDONLY | O_CLOEXEC)));
  int failed = file->fd_ < 0 ? errno : 0;
  for (auto piece : pieces) {
    while (!piece.empty() && failed == 0) {
      const auto n = ::write(writer, piece.data(), piece.size());
      if (n > 0) {
        piece.remove_prefix(static_cast<std::size_t>(n));
        file->size_ += static_cast<std::uint64_t>(n);
      } else if (n == 0 || errno != EINTR) {
        failed = n == 0 ? EIO : errno;
      }
    }
  }
  ::close(writer);
  if (failed == ENOSPC || failed == EDQUOT)
    return error{errc::resource_exhausted,
                 "spill to " + path.string() + ": the disk is full; free some room or give the node more memory"};
  if (failed != 0) return error::from_errno("spill to", path.string(), failed);
  return file;
}

spill_file::~spill_file() {
  if (fd_ >= 0) ::close(fd_);
  ::unlink(path_.c_str());
}

result<std::size_t> spill_file::read(std::uint64_t offset, char* out, std::size_t size) const {
  std::size_t done = 0;
  while (done < size) {
    const auto n = ::pread(fd_, out + done, size - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return error::from_errno("read", path_.string(), errno);
    if (n == 0) return error{errc::data_loss, "read " + path_.string() + ": the file ends early"};
    done += static_cast<std::size_t>(n);
  }
  return done;
}

result<void> purge_spill_directory(const std::filesystem::path& directory) {
  std::error_code ec;
  std::filesystem::create_directories(directory, ec);
  if (ec) return error{errc::io_error, "create " + directory.string() + ": " + ec.message()};
  std::filesystem::directory_iterator entries(directory, ec);
  if (ec) return error{errc::io_error, "list " + directory.string() + ": " + ec.message()};
  for (const auto& entry : entries) {
    if (entry.path().extension() != ".spill") continue;
    std::filesystem::remove(entry.path(), ec);
    if (ec) return error{errc::io_error, "remove " + entry.path().string() + ": " + ec.message()};
  }
  return ok();
}

}  // namespace troupe::dataflow
