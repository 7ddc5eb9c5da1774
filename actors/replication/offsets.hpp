#pragma once
#include <actors/replication/leader_host.hpp>
#include <actors/replication/log_links.hpp>

namespace troupe::logs {

/// Where partitions begin and end, which only their leaders know: asks them. On the log thread.
class offsets : public std::enable_shared_from_this<offsets> {
 public:
  offsets(log_context_ptr c, std::shared_ptr<log_links> links, std::shared_ptr<leader_host> leaders)
      : context_(std::move(c)), links_(std::move(links)), leaders_(std::move(leaders)) {}

  struct partition_end {
    partition_index partition;
    record_offset begin, end;
    std::optional<metadata::open_prefix> open;
    std::string refusing;
    bool known = false;  ///< its leader said it, or nothing is open
  };
  struct found_ends {
    dataset_id dataset;
    std::vector<partition_end> partitions;
    std::vector<std::string> notes;  ///< who did not answer
  };
  /// With `all`, leaders that change are waited for, and `unavailable` comes when one is not known in time; without,
  /// what is not known is left at the end of the sealed segments and noted.
  boost::asio::awaitable<result<found_ends>> find(std::string dataset, transport::steady_time deadline, bool all);
  boost::asio::awaitable<result<dataset_status>> describe(std::string dataset, transport::steady_time deadline);
  void serve(shared_bytes call, log_links::answer then);

 private:
  boost::asio::awaitable<result<ends_answer>> ask(member_id whom, dataset_id dataset, transport::steady_time deadline);

  log_context_ptr context_;
  std::shared_ptr<log_links> links_;
  std::shared_ptr<leader_host> leaders_;
};

}  // namespace troupe::logs
