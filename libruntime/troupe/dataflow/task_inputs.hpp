#pragma once
#include <deque>
#include <map>
#include <optional>
#include <troupe/base/result.hpp>
#include <troupe/dataflow/worker_channel.hpp>
#include <troupe/dataflow/worker_control.hpp>
#include <troupe/format/segment.hpp>
#include <troupe/sdk/abi.hpp>

namespace troupe::dataflow {

/// A mapped range of a file; unmapped at the end.
class mapping {
 public:
  mapping() = default;
  /// Maps `size` bytes of the file from its beginning, read-only or shared for writing.
  static result<mapping> of(int fd, std::uint64_t size, bool writable);
  mapping(mapping&& other) noexcept;
  mapping& operator=(mapping&& other) noexcept;
  ~mapping();
  [[nodiscard]] char* data() const noexcept { return data_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

 private:
  char* data_ = nullptr;
  std::uint64_t size_ = 0;
};

/// The input of one task, block by block, in the worker: asks the daemon for pages of items, maps them, checks every
/// batch's crc and every block's digest before user code sees it. Owned by the task runtime, used on the task's thread.
class task_inputs {
 public:
  using ask_function = std::function<result<std::optional<packet>>()>;  ///< the next page; none: stop

  /// `slabs`: mappings kept from task to task.
  task_inputs(std::map<std::uint64_t, mapping>& slabs, worker_control& control, ask_function ask);
  ~task_inputs();

  enum class outcome : std::uint8_t { block, end, stop, failed };
  outcome next(troupe_block& out);
  /// Why next() gave `failed`: input_lost or engine.
  [[nodiscard]] const attempt_failure& failure() const noexcept { return failure_; }

 private:
  outcome next_of_segment(troupe_block& out);
  outcome open_segment(const segment_item& item, descriptor file);
  outcome give_block(const block_item& item, descriptor file, troupe_block& out);
  outcome lost(std::uint32_t item, std::string message, std::optional<block_id> block = {});

  struct pending_item {
    std::variant<segment_item, block_item> item;
    descriptor file;
  };
  std::map<std::uint64_t, mapping>& slabs_;
  worker_control& control_;
  ask_function ask_;
  std::deque<pending_item> page_;
  bool at_end_ = false;
  mapping current_;  ///< segment file, spill file or slab of one block
  segment_item segment_;
  std::optional<format::batch_cursor> cursor_;
  attempt_failure failure_;
};

}  // namespace troupe::dataflow
