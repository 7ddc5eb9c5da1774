#pragma once
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <mutex>
#include <string>
#include <thread>
#include <troupe/telemetry/record_file.hpp>

namespace troupe::telemetry {

/// Writes record files on a thread of its own, so that nobody waits for a disk that stalls: what is more than
/// `waiting_bytes_max` behind is dropped, and said once in a while. Any thread.
class record_keeper {
 public:
  struct options {
    std::size_t waiting_bytes_max = 4 << 20;
    std::uint64_t file_bytes_max = 8 << 20;  ///< of one path, old half included
    std::size_t open_files_max = 16;
  };
  /// `complain` gets a sentence when something could not be kept, on the keeper's thread, at most once in 10 s.
  record_keeper(options limits, std::function<void(const std::string&)> complain);
  /// Writes what waits, and ends.
  ~record_keeper();
  record_keeper(const record_keeper&) = delete;
  record_keeper& operator=(const record_keeper&) = delete;

  void append(std::string path, bytes record);
  void remove(std::string path);

 private:
  struct order {
    std::string path;
    bytes record;
    bool remove = false;
  };
  struct opened {
    std::string path;
    record_file file;
  };
  void work();
  result<void> carry_out(const order& what);
  void tell(const std::string& trouble);

  const options limits_;
  const std::function<void(const std::string&)> complain_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<order> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::uint64_t dropped_ = 0;
  bool ending_ = false;
  std::list<opened> open_;  ///< of the thread alone; the one used last comes first
  std::chrono::steady_clock::time_point quiet_until_{};
  std::thread thread_;
};

}  // namespace troupe::telemetry
