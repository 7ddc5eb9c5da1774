#include <unistd.h>

#include <actors/data/data_plane.hpp>
#include <actors/supervision/daemon_ports.hpp>
#include <troupe/storage/segment_store.hpp>

namespace troupe::actors {

void daemon_ports::fetch_module(const std::string& hash, std::vector<member_id> holders, reply<std::string> then) {
  data_.fetch_module(hash, std::move(holders), [then = std::move(then)](result<std::filesystem::path> path) {
    if (path)
      then(path->string());
    else
      then(path.error());
  });
}

void daemon_ports::fetch_map_output(member_id from, const dataflow::attempt_key& attempt, std::uint32_t partition,
                                    reply<std::vector<dataflow::block_ref>> then) {
  data_.fetch_map_output(from, attempt, partition_index{partition}, std::move(then));
}

void daemon_ports::fetch_segment_range(job_id job, dataset_id dataset, const metadata::segment& segment,
                                       std::uint64_t from, std::uint64_t to, reply<fetched_blocks> then) {
  data_.fetch_segment_range(job, dataset, segment, from, to, [then = std::move(then)](result<data::fetched_range> got) {
    if (got)
      then(fetched_blocks{std::move(got->blocks), got->first});
    else
      then(got.error());
  });
}

std::optional<std::string> daemon_ports::local_segment(segment_id segment) const {
  auto path = segments_.path(segment);
  // One look at the directory entry, which is in memory for any file in use: not worth a thread's round trip.
  if (::access(path.c_str(), R_OK) != 0) return std::nullopt;
  return path;
}

std::shared_ptr<data::replicated_writer> daemon_ports::open_output(data::output_spec spec) {
  return data_.open_output(std::move(spec));
}

void daemon_ports::report_damage(dataset_id dataset, segment_id segment, member_id holder, log_index made,
                                 const std::string& why) {
  data_.report_damage(dataset, segment, holder, made, why);
}

/// Half of the quarter that the block store keeps for receiving: the other half is for attempts that run.
std::uint64_t daemon_ports::prefetch_bytes_max() const {
  const auto used = blocks_.usage();
  const auto reserve = used.budget_bytes / 4;
  return used.waiting > 0 || used.receiving_bytes >= reserve ? 0 : reserve / 2;
}

void daemon_ports::discard(const std::vector<dataflow::block_ref>& blocks) { blocks_.discard(blocks); }
void daemon_ports::release_job(job_id job) { blocks_.release(job); }
void daemon_ports::release_attempt(const dataflow::attempt_key& attempt) { blocks_.release_attempt(attempt); }

void daemon_ports::run(dataflow::task_assignment assignment, std::shared_ptr<attempt_observer> observer) {
  pool_.run(std::move(assignment), std::move(observer));
}
void daemon_ports::cancel(const dataflow::attempt_key& attempt) { pool_.cancel(attempt); }
std::optional<attempt_progress> daemon_ports::progress(const dataflow::attempt_key& attempt) const {
  return pool_.progress(attempt);
}
std::vector<worker_info> daemon_ports::workers() const { return pool_.tree(); }

}  // namespace troupe::actors
