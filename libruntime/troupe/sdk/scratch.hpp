#pragma once
#include <memory>
#include <troupe/base/bytes.hpp>
#include <troupe/sdk/chunk_writer.hpp>
#include <utility>

/// What does not fit into a task's memory. A scratch file is a row of frames, each of whole records:
///
///     size of the frame's bytes, 8 bytes | bytes
namespace troupe::sdk {

inline constexpr std::size_t scratch_frame_bytes = std::size_t{256} << 10;

/// Closes its file, whose room on the disk is free then.
class scratch_file {
 public:
  explicit scratch_file(host_port& port) : port_(&port), file_(port.scratch_open()) {}
  scratch_file(scratch_file&& other) noexcept
      : port_(std::exchange(other.port_, nullptr)), file_(other.file_), size_(other.size_) {}
  scratch_file& operator=(scratch_file&& other) noexcept {
    std::swap(port_, other.port_);
    std::swap(file_, other.file_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~scratch_file() {
    if (port_ != nullptr) port_->scratch_close(file_);
  }
  void append(const char* data, std::uint64_t size) {
    port_->scratch_append(file_, data, size);
    size_ += size;
  }
  void read(std::uint64_t offset, char* data, std::uint64_t size) const {
    port_->scratch_read(file_, offset, data, size);
  }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

 private:
  host_port* port_;
  std::uint64_t file_ = 0;
  std::uint64_t size_ = 0;
};

/// Writes records to the end of a file. Call `flush` at the end.
class scratch_writer final : public record_out {
 public:
  explicit scratch_writer(scratch_file& file, std::uint64_t frame_bytes = scratch_frame_bytes)
      : record_out([](record_out& self, std::uint64_t bytes) { static_cast<scratch_writer&>(self).renew(bytes); }),
        file_(&file),
        frame_bytes_(frame_bytes) {}
  void flush() {
    if (at_ == nullptr || at_ == frame_.get() + head) return;
    const auto bytes = static_cast<std::uint64_t>(at_ - frame_.get()) - head;
    store_le(frame_.get(), bytes);
    file_->append(frame_.get(), head + bytes);
    at_ = frame_.get() + head;
  }

 private:
  static constexpr std::uint64_t head = 8;
  void renew(std::uint64_t bytes) {
    flush();
    if (capacity_ < head + bytes) {
      capacity_ = std::max<std::uint64_t>(frame_bytes_, head + bytes);
      frame_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    at_ = frame_.get() + head;
    end_ = frame_.get() + capacity_;
  }
  scratch_file* file_;
  std::uint64_t frame_bytes_;
  std::unique_ptr<char[]> frame_;
  std::uint64_t capacity_ = 0;
};

/// Reads the frames of a range of a file, one after another.
class scratch_reader {
 public:
  scratch_reader(const scratch_file& file, std::uint64_t begin, std::uint64_t end) noexcept
      : file_(&file), at_(begin), end_(end) {}
  explicit scratch_reader(const scratch_file& file) noexcept : scratch_reader(file, 0, file.size()) {}
  /// False at the end. The frame is valid until the next call.
  bool next(bytes_view& frame) {
    if (at_ == end_) return false;
    char head[8];
    file_->read(at_, head, sizeof head);
    const auto size = load_le<std::uint64_t>(head);
    if (size > end_ - at_ - sizeof head) throw std::runtime_error("a scratch file does not decode");
    if (capacity_ < size) {
      capacity_ = size + size / 4;
      frame_ = std::make_unique_for_overwrite<char[]>(capacity_);
    }
    file_->read(at_ + sizeof head, frame_.get(), size);
    at_ += sizeof head + size;
    frame = {frame_.get(), static_cast<std::size_t>(size)};
    return true;
  }

 private:
  const scratch_file* file_;
  std::uint64_t at_;
  std::uint64_t end_;
  std::unique_ptr<char[]> frame_;
  std::uint64_t capacity_ = 0;
};

}  // namespace troupe::sdk
