#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <troupe/consensus/effects.hpp>
#include <troupe/storage/metadata_log.hpp>

namespace troupe::actors {

/// What a member's disk holds of consensus. `corrupted` when the log cannot be what this member once promised.
result<consensus::restored> load_raft(const storage::metadata_log& log);

/// Begins the log of a new cluster: its first entry says that `self` is the only voter. Durable when it returns.
result<void> begin_raft(storage::metadata_log& log, const member_id& self);

/// The thread that waits for the disk, so that heartbeats do not. Owns the log. Everything that waits when the disk is
/// free again is written as one group with one fdatasync.
///
/// A full disk is waited for: nothing of what waits is acknowledged until it is written, consensus sees a disk that
/// stalls, and a leader gives way. A failed fsync ends the process (storage::disk_failed).
class raft_disk {
 public:
  struct events {
    /// Everything up to that number is durable.
    std::function<void(consensus::persist_number)> done;
    /// There is no room: once when that is found. `has_room` once it goes on.
    std::function<void(const error&)> full;
    std::function<void()> has_room;
    /// Nothing can be written any more. The process has to end.
    std::function<void(const error&)> failed;
  };
  /// Events come on the disk thread.
  raft_disk(storage::metadata_log log, events then);
  /// Writes what is queued (unless the disk is full), then ends the thread.
  ~raft_disk();
  raft_disk(const raft_disk&) = delete;
  raft_disk& operator=(const raft_disk&) = delete;

  /// Any thread; in the order of the calls.
  void write(consensus::effects::persist what);

 private:
  void loop();
  result<void> write_group(std::deque<consensus::effects::persist>& group);
  result<void> until_there_is_room(const std::function<result<void>()>& step);

  storage::metadata_log log_;
  events then_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<consensus::effects::persist> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace troupe::actors
