#pragma once
#include <shell/failure.hpp>
#include <string>
#include <string_view>

namespace troupe::shell {

/// Where an export goes: standard output, a device or pipe as it is, or a file that appears whole or not at all (a
/// temporary beside it, fsync, rename).
class export_target {
 public:
  static outcome<export_target> open(const std::string& path);
  ~export_target();  ///< removes what was not finished
  export_target(export_target&& other) noexcept;
  export_target& operator=(export_target&&) = delete;
  export_target(const export_target&) = delete;

  result<void> write(std::string_view piece);
  result<void> finish();
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  export_target() = default;
  std::string path_;
  std::string temporary_;  ///< empty when there is nothing to rename
  int fd_ = -1;
  bool owned_ = false;
  std::uint64_t bytes_ = 0;
};

}  // namespace troupe::shell
