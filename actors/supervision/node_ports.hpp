#pragma once
#include <actors/data/replicated_writer.hpp>
#include <actors/dataflow/worker_pool.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <troupe/base/result.hpp>
#include <troupe/dataflow/attempt.hpp>
#include <troupe/metadata/model.hpp>
#include <vector>

namespace troupe::actors {

/// What a node supervisor needs of its node: data plane, block store, worker pool. `daemon_ports` is the real one;
/// tests have their own. Every function is thread-safe and returns at once; callbacks may come on any thread, also from
/// within the call, and must only hand over.
class node_ports {
 public:
  virtual ~node_ports() = default;

  template <class T>
  using reply = std::function<void(result<T>)>;

  /// Payloads of a range of a segment, in order.
  struct fetched_blocks {
    std::vector<dataflow::block_ref> blocks;
    record_offset first;  ///< of the first record, within the segment
  };

  /// Path of the module's file here.
  virtual void fetch_module(const std::string& hash, std::vector<member_id> holders, reply<std::string> then) = 0;
  /// All blocks of a map attempt for one partition, in order; the block store's own when `from` is this node.
  virtual void fetch_map_output(member_id from, const dataflow::attempt_key& attempt, std::uint32_t partition,
                                reply<std::vector<dataflow::block_ref>> then) = 0;
  virtual void fetch_segment_range(job_id job, dataset_id dataset, const metadata::segment& segment, std::uint64_t from,
                                   std::uint64_t to, reply<fetched_blocks> then) = 0;
  /// Path of the segment's file here, if there is one.
  [[nodiscard]] virtual std::optional<std::string> local_segment(segment_id segment) const = 0;
  virtual std::shared_ptr<data::replicated_writer> open_output(data::output_spec spec) = 0;
  virtual void report_damage(dataset_id dataset, segment_id segment, member_id holder, log_index made,
                             const std::string& why) = 0;

  /// Bytes of map outputs that may be held here for reduces that have not begun; 0 while memory for receiving is short.
  /// Never more than the receive reserve can spare for something that only saves time.
  [[nodiscard]] virtual std::uint64_t prefetch_bytes_max() const = 0;

  /// Received blocks that nobody needs any more.
  virtual void discard(const std::vector<dataflow::block_ref>& blocks) = 0;
  /// Everything of a job that has ended.
  virtual void release_job(job_id job) = 0;
  /// What one attempt published.
  virtual void release_attempt(const dataflow::attempt_key& attempt) = 0;

  virtual void run(dataflow::task_assignment assignment, std::shared_ptr<attempt_observer> observer) = 0;
  virtual void cancel(const dataflow::attempt_key& attempt) = 0;
  [[nodiscard]] virtual std::optional<attempt_progress> progress(const dataflow::attempt_key& attempt) const = 0;
  [[nodiscard]] virtual std::vector<worker_info> workers() const = 0;
};

}  // namespace troupe::actors
