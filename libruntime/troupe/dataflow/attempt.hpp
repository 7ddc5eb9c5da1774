#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <troupe/base/checksum.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/base/schema.hpp>
#include <variant>
#include <vector>

/// One run of one task: what it is asked to do and what came of it. Plain values, used by supervisors, the data plane
/// and the worker pool.
namespace troupe::dataflow {

/// Names an attempt in the whole cluster.
struct attempt_key {
  job_id job;
  stage_index stage;
  task_index task;
  attempt_number attempt;
  friend auto operator<=>(const attempt_key&, const attempt_key&) = default;
};
BOOST_DESCRIBE_STRUCT(attempt_key, (), (job, stage, task, attempt))

/// «job 7 stage 0 task 3 attempt 1».
std::string to_string(const attempt_key& key);

/// Names a block in one node's block store, for the life of that node. 0 is none.
using block_id = number<struct block_tag>;

/// A published block: where it lies (slab or spill file) is the block store's business and may change. Only a hint to
/// others: ask the store.
struct block_ref {
  block_id id;
  std::uint64_t size = 0;  ///< bytes
  std::uint64_t records = 0;
  digest128 digest;  ///< over its bytes; whoever consumes them verifies it
  friend bool operator==(const block_ref&, const block_ref&) = default;
};
BOOST_DESCRIBE_STRUCT(block_ref, (), (id, size, records, digest))

/// Input from a file of this node: the batches that begin in [from, to) of the segment's batches region.
struct segment_range {
  std::string path;
  segment_id segment;
  std::uint64_t from = 0;  ///< bytes, relative to the first batch
  std::uint64_t to = 0;
  std::uint64_t segment_first_offset = 0;  ///< of the segment's first record within its partition
  std::uint32_t input = 0;                 ///< which of the job's inputs
  data_format format = data_format::lines;
  std::uint32_t edge = 0;  ///< which of the edges that the task's branch reads
  friend bool operator==(const segment_range&, const segment_range&) = default;
};
BOOST_DESCRIBE_STRUCT(segment_range, (), (path, segment, from, to, segment_first_offset, input, format, edge))

/// Input from the block store, in this order: payloads (no batch headers) of a dataset fetched from elsewhere, or what
/// the stage before published.
struct block_range {
  std::vector<block_ref> blocks;
  std::uint32_t format = 0;  ///< as sdk/abi.hpp: data_format of a dataset, or TROUPE_SHUFFLE
  std::uint64_t first_offset =
      0;  ///< of the first record of the first block within its partition; counts on over the blocks; 0 for a shuffle
  std::uint32_t input = 0;
  std::uint32_t edge = 0;  ///< as in segment_range
  friend bool operator==(const block_range&, const block_range&) = default;
};
BOOST_DESCRIBE_STRUCT(block_range, (), (blocks, format, first_offset, input, edge))

using task_input = std::variant<segment_range, block_range>;

struct task_assignment {
  attempt_key key;
  std::string module_path;  ///< of the shared object on this node
  std::string module_hash;  ///< SHA-256, hexadecimal; a worker serves one hash for life
  std::string job_name;     ///< of the job inside the module
  std::map<std::string, std::string> parameters;
  std::uint32_t partitions = 1;   ///< of this stage's output
  std::uint32_t branch = 0;       ///< of the stage, that the task belongs to
  std::uint32_t branch_task = 0;  ///< its number within the branch
  std::uint64_t seed = 0;         ///< of this task
  std::int64_t now_unix_ms = 0;   ///< when the job was accepted
  std::vector<task_input> inputs;
  std::uint64_t memory_bytes = 0;  ///< of the module's own tables and buffers; RLIMIT_DATA is this and the worker's own
                                   ///< needs. 0: the pool's default
  std::uint64_t time_limit_ms = 0;  ///< 0: none
  bool last_stage = false;          ///< output goes to the observer chunk by chunk instead of into the block store
};

/// Why an attempt failed, which decides whether the task is to blame. Numbers on the wire: append only.
enum class failure_kind : std::uint8_t {
  user_code,     ///< the module reported a failure (an exception): blamed
  worker_died,   ///< signal or exit inside the module: blamed
  memory_limit,  ///< ran into its memory limit: blamed
  time_limit,    ///< ran longer than its limit: blamed
  input_lost,    ///< input unreadable or damaged: not blamed, the input must be restored
  engine,        ///< our own trouble (no room, module does not load, worker would not start): not blamed
  cancelled,     ///< somebody asked for it
};
BOOST_DESCRIBE_ENUM(failure_kind, user_code, worker_died, memory_limit, time_limit, input_lost, engine, cancelled)

struct attempt_failure {
  failure_kind kind = failure_kind::engine;
  std::string message;                  ///< one sentence: «killed by signal 11 (Segmentation fault) at record 812»
  std::optional<std::uint64_t> offset;  ///< of the record it was at, within its partition
  std::uint32_t input = 0;              ///< which of the job's inputs `offset` is of
  std::optional<std::uint32_t> lost_input;  ///< input_lost: index into task_assignment::inputs
  std::optional<block_id> lost_block;       ///< input_lost: the damaged block, where it was one
};
BOOST_DESCRIBE_STRUCT(attempt_failure, (), (kind, message, offset, input, lost_input, lost_block))

struct attempt_result {
  digest128
      digest;  ///< over (partition, size, records, digest) of everything it published, in order: equal for equal output
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::uint64_t output_bytes = 0;
  std::uint64_t output_records = 0;
  std::map<std::string, std::int64_t> counters;
  std::uint64_t spilled_bytes = 0;  ///< written to scratch files
};
BOOST_DESCRIBE_STRUCT(attempt_result, (),
                      (digest, input_bytes, input_records, output_bytes, output_records, counters, spilled_bytes))

}  // namespace troupe::dataflow

template <>
struct std::hash<troupe::dataflow::attempt_key> {
  std::size_t operator()(const troupe::dataflow::attempt_key& k) const noexcept {
    std::uint64_t h = k.job.value * 0x9e3779b97f4a7c15ULL;
    h = (h ^ k.stage.value) * 0x9e3779b97f4a7c15ULL;
    h = (h ^ k.task.value) * 0x9e3779b97f4a7c15ULL;
    return static_cast<std::size_t>((h ^ k.attempt.value) * 0x9e3779b97f4a7c15ULL);
  }
};
