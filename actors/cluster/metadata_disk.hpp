#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <troupe/storage/metadata_log.hpp>

namespace troupe::actors {

/// The thread that waits for the disk, so that heartbeats do not. Owns the log. Work runs in the order of `run`; its
/// owner keeps the queue short (one group of entries and one snapshot at a time).
class metadata_disk {
 public:
  explicit metadata_disk(storage::metadata_log log);
  /// Does what is queued, then ends the thread.
  ~metadata_disk();
  metadata_disk(const metadata_disk&) = delete;
  metadata_disk& operator=(const metadata_disk&) = delete;

  /// Any thread. `work` runs on the disk thread.
  void run(std::function<void(storage::metadata_log&)> work);

 private:
  void loop();
  storage::metadata_log log_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void(storage::metadata_log&)>> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace troupe::actors
