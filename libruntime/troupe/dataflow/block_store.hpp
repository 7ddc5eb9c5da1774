#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <troupe/base/result.hpp>
#include <troupe/dataflow/attempt.hpp>
#include <troupe/dataflow/slab.hpp>
#include <vector>

namespace troupe::dataflow {

struct block_store_options {
  std::filesystem::path spill_directory;      ///< emptied at start: nothing in it outlives a daemon
  std::uint64_t budget_bytes = 512ULL << 20;  ///< of all slabs together; rounded down to whole slabs, at least 8
  std::uint64_t slab_bytes = 16ULL << 20;     ///< power of two, at least 2 MiB
  std::uint32_t warm_slabs = 0;               ///< made and touched in the background at start
  std::size_t waiting_max = 4096;             ///< requests for memory that wait at once, of each kind
};

struct block_store_usage {
  std::uint64_t budget_bytes = 0;
  std::uint64_t producing_bytes = 0;  ///< slabs that workers wrote
  std::uint64_t receiving_bytes = 0;  ///< slabs for blocks of other nodes
  std::uint64_t warm_bytes = 0;       ///< free, touched
  std::uint64_t spilled_bytes = 0;    ///< in files now
  std::uint64_t blocks = 0;
  std::uint64_t waiting = 0;  ///< requests that wait for memory
};

class block_store_impl;
class spill_file;

/// Keeps a block's bytes where they are while it lives; copyable, any thread. A block that lies in memory is read in
/// place, a spilled one from its file.
class block_pin {
 public:
  block_pin() = default;
  [[nodiscard]] explicit operator bool() const noexcept { return hold_ != nullptr; }
  [[nodiscard]] const block_ref& ref() const noexcept { return ref_; }
  /// The bytes, valid while a copy of this pin lives; empty view with data() == nullptr for a spilled block.
  [[nodiscard]] bytes_view memory() const noexcept { return memory_; }
  /// Copies up to `size` bytes from `offset` of the block; blocks on the disk for a spilled one. The number of bytes,
  /// short only at the block's end.
  [[nodiscard]] result<std::size_t> read(std::uint64_t offset, char* out, std::size_t size) const;

  /// For handing to a worker. The descriptor is valid while the pin lives.
  struct location {
    int fd = -1;   ///< read-only: of the slab or of the spill file
    slab_id slab;  ///< none (0) for a spill file
    std::uint64_t file_size = 0;
    std::uint64_t offset = 0;
    bool transient = false;  ///< the slab serves one block only: do not keep a mapping of it
  };
  [[nodiscard]] const location& where() const noexcept { return location_; }

 private:
  friend class block_store;
  friend class block_store_impl;
  block_ref ref_;
  bytes_view memory_;
  location location_;
  std::shared_ptr<const void> hold_;
  const spill_file* file_ = nullptr;  ///< kept by hold_
};

/// Memory of the receiving reserve, to be filled by whoever reads a block from a peer. Without commit() it is freed.
/// One thread.
class receive_buffer {
 public:
  receive_buffer() = default;
  receive_buffer(receive_buffer&&) noexcept = default;
  receive_buffer& operator=(receive_buffer&&) noexcept = default;
  [[nodiscard]] char* data() noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// Makes it a block of `job`, which release(job) or discard() frees. Fails with failed_precondition when the job was
  /// released meanwhile.
  [[nodiscard]] result<block_ref> commit(job_id job, std::uint64_t records, const digest128& digest) &&;

 private:
  friend class block_store;
  friend class block_store_impl;
  char* data_ = nullptr;
  std::size_t size_ = 0;
  std::uint64_t chunk_ = 0;
  block_store_impl* store_ = nullptr;  ///< kept by hold_
  std::shared_ptr<void> hold_;
};

/// All shuffle blocks of one node: shared memory under a budget, the coldest in spill files. Owned by the daemon; every
/// function is thread-safe and none blocks on a disk. Callbacks run on the caller's thread or on the store's disk
/// thread, without a lock held; they must not block.
///
/// Memory is handed out in slabs. Producing (workers' slabs) and receiving may each use everything but a quarter that
/// is kept for the other, so neither starves the other; spilling writes straight out of the slab into a file and needs
/// no memory. Who finds no slab waits, and the coldest slab that nobody is reading is spilled.
class block_store {
 public:
  static result<std::unique_ptr<block_store>> open(block_store_options options);
  ~block_store();
  block_store(const block_store&) = delete;
  block_store& operator=(const block_store&) = delete;

  // What finished attempts published

  /// Blocks of one partition of a finished attempt's output, in order of publishing. not_found: no such attempt here,
  /// or not finished.
  [[nodiscard]] result<std::vector<block_ref>> get(const attempt_key& attempt, partition_index partition) const;
  /// True when the attempt finished here and was not released.
  [[nodiscard]] bool holds(const attempt_key& attempt) const;
  /// Pins a block for reading. not_found when it was released.
  [[nodiscard]] result<block_pin> pin(block_id block) const;

  // Blocks of other nodes

  /// Asks for room for one block of up to 64 MiB; the callback comes at once, or when there is room.
  /// resource_exhausted: too many wait, too large for the budget, or the disk for spilling is full. The caller sets its
  /// own deadline: a buffer that comes too late is dropped and so freed.
  void receive(std::uint64_t size, std::function<void(result<receive_buffer>)> callback);

  // Letting go

  /// Everything of a job: its attempts, its received blocks, its spill files. Late publishers and receivers of that job
  /// are refused.
  void release(job_id job);
  /// A losing or failed attempt.
  void release_attempt(const attempt_key& attempt);
  /// Received blocks that were read and are not needed again.
  void discard(const std::vector<block_ref>& blocks);

  [[nodiscard]] block_store_usage usage() const;
  /// Waits until the disk thread has nothing to do. For tests.
  void settle();

  /// For the worker pool (block_store_impl.hpp).
  [[nodiscard]] block_store_impl& implementation() noexcept { return *impl_; }

 private:
  explicit block_store(std::shared_ptr<block_store_impl> impl);
  std::shared_ptr<block_store_impl> impl_;
};

}  // namespace troupe::dataflow
