#pragma once
#include <actors/supervision/node_ports.hpp>

namespace troupe::data {
class data_plane;
}
namespace troupe::dataflow {
class block_store;
}
namespace troupe::storage {
class segment_store;
}

namespace troupe::actors {

/// The ports of a real node. Owned by the daemon; what it is given outlives it.
class daemon_ports final : public node_ports {
 public:
  daemon_ports(worker_pool& pool, data::data_plane& data, dataflow::block_store& blocks,
               storage::segment_store& segments)
      : pool_(pool), data_(data), blocks_(blocks), segments_(segments) {}

  void fetch_module(const std::string& hash, std::vector<member_id> holders, reply<std::string> then) override;
  void fetch_map_output(member_id from, const dataflow::attempt_key& attempt, std::uint32_t partition,
                        reply<std::vector<dataflow::block_ref>> then) override;
  void fetch_segment_range(job_id job, dataset_id dataset, const metadata::segment& segment, std::uint64_t from,
                           std::uint64_t to, reply<fetched_blocks> then) override;
  [[nodiscard]] std::optional<std::string> local_segment(segment_id segment) const override;
  std::shared_ptr<data::replicated_writer> open_output(data::output_spec spec) override;
  void report_damage(dataset_id dataset, segment_id segment, member_id holder, log_index made,
                     const std::string& why) override;
  [[nodiscard]] std::uint64_t prefetch_bytes_max() const override;
  void discard(const std::vector<dataflow::block_ref>& blocks) override;
  void release_job(job_id job) override;
  void release_attempt(const dataflow::attempt_key& attempt) override;
  void run(dataflow::task_assignment assignment, std::shared_ptr<attempt_observer> observer) override;
  void cancel(const dataflow::attempt_key& attempt) override;
  [[nodiscard]] std::optional<attempt_progress> progress(const dataflow::attempt_key& attempt) const override;
  [[nodiscard]] std::vector<worker_info> workers() const override;

 private:
  worker_pool& pool_;
  data::data_plane& data_;
  dataflow::block_store& blocks_;
  storage::segment_store& segments_;
};

}  // namespace troupe::actors
