#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <actors/data/module_store.hpp>
#include <algorithm>
#include <cerrno>
#include <system_error>
#include <troupe/base/limits.hpp>
#include <troupe/base/sha256.hpp>
#include <troupe/base/text.hpp>

namespace troupe::data {

namespace {

constexpr std::string_view module_suffix = ".so";
constexpr std::string_view unfinished_suffix = ".new";

/// A descriptor that closes itself.
class file {
 public:
  explicit file(int descriptor) : descriptor_(descriptor) {}
  ~file() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  file(const file&) = delete;
  file& operator=(const file&) = delete;
  [[nodiscard]] int get() const noexcept { return descriptor_; }
  [[nodiscard]] bool is_open() const noexcept { return descriptor_ >= 0; }

 private:
  int descriptor_;
};

error from_errno(std::string_view operation, const std::filesystem::path& subject) {
  const int number = errno;
  if (number == ENOSPC || number == EDQUOT)
    return error{errc::resource_exhausted,
                 "no space left to store a module at " + subject.string() + "; free some and load it again"};
  return error::from_errno(operation, subject.string(), number);
}

result<void> write_synced(const std::filesystem::path& path, bytes_view content) {
  const file out(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  if (!out.is_open()) return from_errno("create", path);
  while (!content.empty()) {
    const auto written = ::write(out.get(), content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return from_errno("write", path);
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fsync(out.get()) != 0) return from_errno("fsync", path);
  return ok();
}

result<void> sync_directory(const std::filesystem::path& path) {
  const file directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory.is_open()) return from_errno("open", path);
  if (::fsync(directory.get()) != 0) return from_errno("fsync", path);
  return ok();
}

bool is_hash(std::string_view text) {
  return text.size() == 64 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

}  // namespace

module_store::module_store(module_store&& other) noexcept : directory_(std::move(other.directory_)) {}

result<module_store> module_store::open(std::filesystem::path directory) {
  std::error_code failure;
  std::filesystem::create_directories(directory, failure);
  if (failure) return error{errc::io_error, "create folder " + directory.string() + ": " + failure.message()};
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure))
    if (entry.path().extension() == unfinished_suffix) std::filesystem::remove(entry.path(), failure);
  if (failure) return error{errc::io_error, "read folder " + directory.string() + ": " + failure.message()};
  return module_store(std::move(directory));
}

result<std::filesystem::path> module_store::path(const std::string& hash) const {
  if (!is_hash(hash))
    return error{errc::invalid_argument,
                 "a module's hash is 64 lower-case hexadecimal digits, not «" + hash.substr(0, 80) + "»"};
  return directory_ / (hash + std::string(module_suffix));
}

result<std::string> module_store::put(bytes_view content) {
  auto hash = sha256_hex(content);
  const auto target = directory_ / (hash + std::string(module_suffix));
  const auto unfinished = directory_ / (hash + std::string(unfinished_suffix));
  if (has(hash) && read(hash)) return hash;  // a damaged file is replaced
  std::scoped_lock lock(mutex_);
  std::error_code ignored;
  if (auto written = write_synced(unfinished, content); !written) {
    std::filesystem::remove(unfinished, ignored);
    return written.error();
  }
  if (::rename(unfinished.c_str(), target.c_str()) != 0) return from_errno("rename", unfinished);
  TROUPE_TRY_VOID(sync_directory(directory_));
  return hash;
}

result<void> module_store::put_verified(const std::string& hash, bytes_view content) {
  TROUPE_TRY(auto target, path(hash));
  if (const auto found = sha256_hex(content); found != hash)
    return error{errc::corrupted,
                 "the bytes received for module " + hash.substr(0, 12) + " have the hash " + found.substr(0, 12)};
  TROUPE_TRY_VOID(put(content));
  return ok();
}

bool module_store::has(const std::string& hash) const {
  std::error_code ignored;
  const auto target = path(hash);
  return target && std::filesystem::is_regular_file(*target, ignored);
}

result<bytes> module_store::read(const std::string& hash) const {
  TROUPE_TRY(auto target, path(hash));
  const file in(::open(target.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.is_open()) {
    if (errno == ENOENT) return error{errc::not_found, "module " + hash.substr(0, 12) + " is not on this node"};
    return from_errno("open", target);
  }
  struct stat status {};
  if (::fstat(in.get(), &status) != 0) return from_errno("stat", target);
  if (static_cast<std::uint64_t>(status.st_size) > limits::http_body_bytes_max)
    return error{errc::corrupted, target.string() + " is larger than any module: " +
                                      format_bytes(static_cast<std::uint64_t>(status.st_size))};
  bytes content(static_cast<std::size_t>(status.st_size), '\0');
  for (std::size_t at = 0; at < content.size();) {
    const auto got = ::pread(in.get(), content.data() + at, content.size() - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return from_errno("read", target);
    if (got == 0) return error{errc::corrupted, target.string() + " became shorter while it was read"};
    at += static_cast<std::size_t>(got);
  }
  if (sha256_hex(content) != hash) {
    std::error_code ignored;
    std::scoped_lock lock(mutex_);
    std::filesystem::remove(target, ignored);
    return error{errc::corrupted,
                 target.string() + " is damaged (its hash is another); removed, a peer's copy will be fetched"};
  }
  return content;
}

std::vector<std::string> module_store::list() const {
  std::vector<std::string> hashes;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory_, ignored)) {
    auto stem = entry.path().stem().string();
    if (entry.path().extension() == module_suffix && is_hash(stem)) hashes.push_back(std::move(stem));
  }
  std::sort(hashes.begin(), hashes.end());
  return hashes;
}

result<void> module_store::remove(const std::string& hash) {
  TROUPE_TRY(auto target, path(hash));
  std::scoped_lock lock(mutex_);
  if (::unlink(target.c_str()) != 0 && errno != ENOENT) return from_errno("remove", target);
  return ok();
}

}  // namespace troupe::data
