#pragma once
#include <cstdint>
#include <memory>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>

namespace troupe::dataflow {

using slab_id = number<struct slab_tag>;  ///< never used again within a daemon's life; 0 is none

/// A piece of shared memory (memfd) with its mapping in the daemon. Two descriptors: one to write, given to the worker
/// that owns the slab, and one opened read-only for everybody else.
///
///   ┌ 0 ──────────────┬───────────┬──────┬─────────────── size ┐
///   │ published block │ published │ open │ never handed out    │
///   └─────────────────┴───────────┴──────┴─────────────────────┘
///                                        ▲ top: moves up by chunks, back when the topmost chunk is trimmed, and to 0
///                                        when nothing is left in it
///
/// Room of released blocks in the middle is not used again before the slab is empty: no reader can meet bytes that
/// change under it.
class slab {
 public:
  static result<std::unique_ptr<slab>> make(slab_id id, std::uint64_t size);
  ~slab();
  slab(const slab&) = delete;
  slab& operator=(const slab&) = delete;

  [[nodiscard]] slab_id id() const noexcept { return id_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] char* data() const noexcept { return data_; }
  [[nodiscard]] int write_fd() const noexcept { return write_fd_; }
  [[nodiscard]] int read_fd() const noexcept { return read_fd_; }
  /// First touch of shared memory costs as much as writing it ten times: done once, in the background where possible.
  void warm() noexcept;

 private:
  slab(slab_id id, std::uint64_t size) : id_(id), size_(size) {}
  slab_id id_;
  std::uint64_t size_;
  char* data_ = nullptr;
  int write_fd_ = -1;
  int read_fd_ = -1;
};

}  // namespace troupe::dataflow
