#pragma once
#include <actors/replication/log_links.hpp>
#include <actors/replication/replica_host.hpp>
#include <map>

namespace troupe::logs {

/// Reads partitions for whoever asks this node: sealed segments from any holder, the open one from any replica, below
/// the high-water mark. `read` on any thread, the rest on the log thread.
class log_reader : public std::enable_shared_from_this<log_reader> {
 public:
  log_reader(log_context_ptr c, std::shared_ptr<log_links> links, std::function<void(const replication::message&)> send)
      : context_(std::move(c)), links_(std::move(links)), send_(std::move(send)) {}

  void read(read_request what, log_plane::reply<read_outcome> then);
  /// A replica's answer to a question of this reader.
  void answered(const replication::message& m);
  /// Batches of a sealed segment that lies here, for another member's reader, or for this one.
  void serve_batches(shared_bytes call, log_links::answer then);
  /// Metadata has changed: readers that wait at the end look again.
  void metadata_changed();
  void stop();

 private:
  struct place;
  boost::asio::awaitable<result<read_outcome>> run(read_request what);
  boost::asio::awaitable<result<shared_bytes>> read_sealed(const place& at, record_offset from, std::size_t bytes_max,
                                                           transport::steady_time deadline);
  boost::asio::awaitable<result<replication::read_response>> ask_replica(const place& at, const replica_ref& whom,
                                                                         record_offset from, std::size_t bytes_max,
                                                                         std::chrono::milliseconds wait);
  boost::asio::awaitable<void> wait_for_change(transport::steady_time until);
  result<place> find(const read_request& what) const;

  log_context_ptr context_;
  std::shared_ptr<log_links> links_;
  std::function<void(const replication::message&)> send_;
  std::uint64_t last_question_ = 0;
  std::map<std::uint64_t, std::function<void(result<replication::read_response>)>> questions_;
  transport::notifier changed_;
};

}  // namespace troupe::logs
