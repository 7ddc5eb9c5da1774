#pragma once
#include <actors/messages.hpp>
#include <deque>
#include <map>
#include <string>
#include <troupe/telemetry/record_keeper.hpp>

namespace troupe::actors {

/// What the modules of the jobs that this node supervises have logged, in memory and, with a keeper, in a file for each
/// job, from which a later life of the node goes on. Owned by the node supervisor. Lines
/// of a job are numbered from 1; the oldest go when a job has more than `limits::job_log_lines_max`, or all together
/// more than `bytes_max`: then the job that was written to longest ago loses its lines.
class job_logs {
 public:
  job_logs() = default;
  /// Reads what is in `directory`. `keeper` must outlive this.
  job_logs(telemetry::record_keeper& keeper, std::string directory);

  static constexpr std::size_t bytes_max = 16 << 20;
  static constexpr std::size_t jobs_max = 256;

  void add(job_id job, std::vector<message::log_line> lines, std::uint64_t dropped, std::int64_t now_unix_ms);
  [[nodiscard]] message::job_log_page page(const message::job_log_query& query) const;

 private:
  struct log {
    std::deque<message::log_line> lines;
    std::uint64_t first = 1;
    std::size_t bytes = 0;
    std::uint64_t touched = 0;
  };
  void pop(log& l);
  void insert(log& l, message::log_line line);
  void shrink(job_id newest);
  [[nodiscard]] std::string path_of(job_id job) const;
  telemetry::record_keeper* keeper_ = nullptr;
  std::string directory_;
  std::map<job_id, log> logs_;
  std::size_t bytes_ = 0;
  std::uint64_t clock_ = 0;
};

}  // namespace troupe::actors
