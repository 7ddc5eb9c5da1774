#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <troupe/base/checksum.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/telemetry/record_file.hpp>
#include <utility>

namespace troupe::telemetry {

namespace {

constexpr bytes_view file_magic("TRPREC\0\1", 8);  // the last byte is the version
constexpr bytes_view frame_magic = "\xA5REC";
constexpr std::size_t frame_head_bytes = 12;  ///< magic, length, checksum of length and record

error failed(const std::string& what, const std::string& path) {
  const int why = errno;
  const auto code = why == ENOSPC || why == EDQUOT ? errc::resource_exhausted : errc::io_error;
  return error{code, what + " " + path + ": " + std::generic_category().message(why)};
}

void put_u32(char* at, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) at[i] = static_cast<char>(value >> (8 * i));
}

std::uint32_t get_u32(const char* at) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(at[i])) << (8 * i);
  return value;
}

result<void> read_one(const std::string& path, const std::function<void(bytes_view)>& each) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return errno == ENOENT ? ok() : result<void>(failed("read", path));
  const bytes all{std::istreambuf_iterator<char>(in), {}};
  if (all.empty()) return ok();
  const bytes_view data = all;
  if (data.substr(0, file_magic.size()) != file_magic)
    return error{errc::unsupported, path + " is not a file of records of a version known here"};
  for (auto at = file_magic.size(); (at = data.find(frame_magic, at)) != bytes_view::npos;) {
    const auto left = data.size() - at;
    if (left < frame_head_bytes) break;
    const auto length = get_u32(data.data() + at + 4);
    const bool whole = length <= left - frame_head_bytes &&
                       crc32c(data.substr(at + frame_head_bytes, length), crc32c(data.substr(at + 4, 4))) ==
                           get_u32(data.data() + at + 8);
    if (!whole) {  // torn or damaged: the next one is looked for behind its mark
      ++at;
      continue;
    }
    each(data.substr(at + frame_head_bytes, length));
    at += frame_head_bytes + length;
  }
  return ok();
}

}  // namespace

result<record_file> record_file::open(std::string path, std::uint64_t bytes_max) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0) return failed("open", path);
  struct stat about {};
  record_file made(std::move(path), bytes_max, fd, 0);
  if (::fstat(fd, &about) != 0) return failed("look at", made.path_);
  made.bytes_ = static_cast<std::uint64_t>(about.st_size);
  if (made.bytes_ < file_magic.size()) {
    if (::ftruncate(fd, 0) != 0 ||
        ::write(fd, file_magic.data(), file_magic.size()) != static_cast<ssize_t>(file_magic.size()))
      return failed("write", made.path_);
    made.bytes_ = file_magic.size();
    return made;
  }
  char first[file_magic.size()];
  if (::pread(fd, first, sizeof first, 0) != static_cast<ssize_t>(sizeof first) ||
      bytes_view(first, sizeof first) != file_magic)
    return error{errc::unsupported, made.path_ + " is not a file of records of a version known here"};
  return made;
}

record_file::record_file(record_file&& other) noexcept
    : path_(std::move(other.path_)),
      bytes_max_(other.bytes_max_),
      fd_(std::exchange(other.fd_, -1)),
      bytes_(other.bytes_) {}

record_file& record_file::operator=(record_file&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) ::close(fd_);
  path_ = std::move(other.path_);
  bytes_max_ = other.bytes_max_;
  fd_ = std::exchange(other.fd_, -1);
  bytes_ = other.bytes_;
  return *this;
}

record_file::~record_file() {
  if (fd_ >= 0) ::close(fd_);
}

result<void> record_file::append(bytes_view record) {
  if (record.size() > limits::control_message_bytes_max)
    return error{errc::invalid_argument, "a record of " + std::to_string(record.size()) + " bytes is too long to keep"};
  bytes frame(frame_head_bytes, '\0');
  std::memcpy(frame.data(), frame_magic.data(), frame_magic.size());
  put_u32(frame.data() + 4, static_cast<std::uint32_t>(record.size()));
  put_u32(frame.data() + 8, crc32c(record, crc32c(bytes_view(frame).substr(4, 4))));
  frame += record;
  if (bytes_ > file_magic.size() && bytes_ + frame.size() > bytes_max_ / 2) {
    if (::rename(path_.c_str(), (path_ + ".old").c_str()) != 0) return failed("rename", path_);
    TROUPE_TRY(auto fresh, open(path_, bytes_max_));
    *this = std::move(fresh);
  }
  const auto written = ::write(fd_, frame.data(), frame.size());
  if (written > 0) bytes_ += static_cast<std::uint64_t>(written);
  if (written == static_cast<ssize_t>(frame.size())) return ok();
  if (written >= 0) errno = ENOSPC;
  return failed("write", path_);
}

result<void> record_file::read(const std::string& path, const std::function<void(bytes_view)>& each) {
  TROUPE_TRY_VOID(read_one(path + ".old", each));
  return read_one(path, each);
}

void record_file::remove(const std::string& path) {
  ::unlink(path.c_str());
  ::unlink((path + ".old").c_str());
}

}  // namespace troupe::telemetry
