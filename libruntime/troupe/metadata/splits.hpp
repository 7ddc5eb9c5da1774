#pragma once
#include <troupe/base/limits.hpp>
#include <troupe/metadata/state.hpp>

namespace troupe::metadata {

inline constexpr std::uint64_t split_bytes_large =
    64ULL << 20;  ///< of large inputs: a key is combined once in so many bytes; 150 ms of work are little to lose
inline constexpr std::uint64_t splits_wanted =
    16;  ///< splits grow from limits::split_bytes while there are so many: no node waits long for the last

/// A job's stages as graph and as numbers.
[[nodiscard]] std::vector<stage_shape> stages_of(const job_description& what);
[[nodiscard]] std::vector<stage_layout> layout_of(const job& j);
/// How many splits each input has.
[[nodiscard]] std::vector<std::uint32_t> splits_of_inputs(const job_plan& plan);
/// Tasks of a stage below `description.stages`.
[[nodiscard]] std::uint32_t tasks_of(const job& j, std::size_t stage);
/// What committed tasks of a stage did.
[[nodiscard]] stage_summary summary_of(const stage_progress& stage);

/// What one map task reads: the batches of one segment that begin in [from, to) of its batches region.
struct split {
  std::uint32_t input = 0;  ///< position among the job's inputs
  dataset_id dataset;
  partition_index partition;
  segment_id segment;
  std::uint64_t from = 0;  ///< bytes from the start of the batches region
  std::uint64_t to = 0;
  record_offset first_offset;  ///< of the segment's first record within its partition, for messages that name a record
  friend bool operator==(const split&, const split&) = default;
};

/// Which tasks of the last stage write an output, one behind the other.
struct output_span {
  std::uint32_t first_task = 0;
  std::uint32_t tasks = 0;
};
/// Of each of the job's outputs, the first of them first.
[[nodiscard]] std::vector<output_span> output_spans(const job& j);

/// Map tasks that a segment of so many bytes of batches makes. A rest of up to a quarter of a split belongs to the task
/// before it: segments are a little longer than they should be, and a task of a few bytes costs as much as any other.
[[nodiscard]] constexpr std::uint64_t splits_of(std::uint64_t file_bytes, std::uint64_t split_bytes) noexcept {
  const auto whole = file_bytes / split_bytes, rest = file_bytes % split_bytes;
  if (whole == 0) return rest == 0 ? 0 : 1;
  return whole + (rest > split_bytes / 4 ? 1 : 0);
}

/// The splits of a job, in the order of its map tasks: inputs, in them partitions, in them segments, in them ranges. A
/// plain value: it stays right while the job runs, since its inputs' segments stay as they are. Holders change: ask
/// `state::find_segment`.
///
/// Two segments of 40 and 10 MiB at 16 MiB a split: tasks 0, 1, 2 are [0,16) [16,32) [32,40) of the first, task 3 is
/// [0,10) of the second.
class split_table {
 public:
  split_table() = default;
  /// `not_found` when an input is gone, which a running job's cannot be.
  static result<split_table> make(const state& s, const job& j);

  [[nodiscard]] std::uint32_t size() const noexcept { return size_; }
  /// `task` must be below size() (an invariant).
  [[nodiscard]] split at(task_index task) const;

 private:
  struct entry {
    std::uint32_t first_task = 0;
    std::uint64_t file_bytes = 0;
    split whole;
  };
  std::uint64_t split_bytes_ = limits::split_bytes;
  std::uint32_t size_ = 0;
  std::vector<entry> entries_;  ///< of segments that are not empty, by first_task
};

}  // namespace troupe::metadata
