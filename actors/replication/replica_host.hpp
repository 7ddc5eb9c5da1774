#pragma once
#include <actors/replication/segment_disk.hpp>
#include <boost/asio/steady_timer.hpp>
#include <set>
#include <troupe/replication/replica.hpp>

namespace troupe::logs {

/// Owns this member's replica: feeds it messages and the disk's answers, carries out what it decides, and tells it what
/// metadata says about its segments. On the log thread.
class replica_host {
 public:
  using send_function = std::function<void(const replication::message&)>;
  replica_host(log_context_ptr c, storage::promise_log promises, send_function send);

  void receive(const replication::message& m);
  /// Segments of this partition (or of all) may have been sealed, or be gone.
  void settle(const partition_key& where);
  void settle_all();
  /// Everything that was committed before this member began is applied here now: what is not known by now is gone.
  void caught_up();
  /// Makes a file that lies here the copy that metadata lists, if it is that: `corrupted` and as it was if not.
  void adopt(segment_id id, const format::segment_summary& expected, std::function<void(result<void>)> then) {
    disk_->adopt(id, expected, std::move(then));
  }
  void stop() { timer_.cancel(); }
  [[nodiscard]] replication::replica::queue_sizes queues() const { return replica_.queues(); }
  [[nodiscard]] bool busy_with(segment_id segment) const { return replica_.busy_with(segment); }

 private:
  void carry_out();
  void arm(replication::time_point at);
  bool settle_one(segment_id id, bool& seen);

  log_context_ptr context_;
  send_function send_;
  replication::replica replica_;
  std::shared_ptr<segment_disk> disk_;
  boost::asio::steady_timer timer_;
  bool carrying_ = false;
  /// What the replica was asked about, and whether metadata was seen to know it: a leader may be ahead of this member.
  std::map<partition_key, std::map<segment_id, bool>> tracked_;
  std::map<segment_id, bool> promised_before_;
};

}  // namespace troupe::logs
