#pragma once
#include <actors/replication/log_context.hpp>
#include <deque>
#include <map>
#include <mutex>
#include <troupe/replication/effects.hpp>
#include <troupe/storage/open_segment.hpp>
#include <troupe/storage/promise_log.hpp>

namespace troupe::logs {

/// Carries out a replica's orders on the disk threads: those of one segment one after the other, those of different
/// segments side by side. Called on the log thread; answers come there, by the functions that are given.
class segment_disk : public std::enable_shared_from_this<segment_disk> {
 public:
  using disk_number = replication::disk_number;
  struct answers {
    std::function<void(disk_number, result<void>)> created;
    std::function<void(disk_number)> written;
    std::function<void(segment_id, error)> write_failed;
    std::function<void(disk_number)> synced;
    std::function<void(disk_number)> promised;
    std::function<void(disk_number, result<replication::inspection>)> inspected;
    std::function<void(disk_number, result<replication::seal_outcome>)> sealed;
    std::function<void(disk_number, result<replication::seal_outcome>)> footer_read;
    std::function<void(disk_number, result<shared_bytes>)> batches_read;
    std::function<void(disk_number, result<void>)> verified;
  };
  segment_disk(log_context_ptr c, storage::promise_log promises, answers then)
      : context_(std::move(c)), promises_(std::move(promises)), then_(std::move(then)) {}

  void carry_out(replication::effects::create_file order);
  void carry_out(replication::effects::write_batches order);
  void carry_out(replication::effects::sync_file order);
  void carry_out(replication::effects::keep_promise order);
  void carry_out(replication::effects::inspect_file order);
  void carry_out(replication::effects::seal_file order);
  void carry_out(replication::effects::read_footer order);
  void carry_out(replication::effects::read_batches order);
  void carry_out(replication::effects::verify_file order);
  void carry_out(replication::effects::release_file order);
  /// Hands over what was ordered since: a disk thread that is woken finds a write and its sync together.
  void flush();

  /// storage::adopt_closed, behind everything that was ordered for the segment: a write that comes late must not spoil
  /// what is sealed. `then` comes on the log thread.
  void adopt(segment_id id, const format::segment_summary& expected, std::function<void(result<void>)> then);

 private:
  /// What is under way for one segment. `file` belongs to whichever task runs; readers take a share of it.
  struct strand {
    std::mutex mutex;
    std::deque<std::function<void(strand&)>> tasks;
    bool running = false;
    std::uint64_t ordered = 0;                    ///< tasks so far; the log thread's
    std::shared_ptr<storage::open_segment> file;  ///< under the mutex
    [[nodiscard]] std::shared_ptr<storage::open_segment> open_file() {
      const std::lock_guard lock(mutex);
      return file;
    }
    void set_file(std::shared_ptr<storage::open_segment> f) {
      const std::lock_guard lock(mutex);
      file = std::move(f);
    }
  };
  using strand_ptr = std::shared_ptr<strand>;
  strand_ptr strand_of(segment_id id);
  void enqueue(segment_id id, std::function<void(strand&)> task);
  /// Behind what is ordered until now the strand goes, if nothing more is ordered.
  void drop_strand(segment_id id, const strand_ptr& s, std::uint64_t ordered);
  void post(const strand_ptr& s);
  static void work(const std::shared_ptr<segment_disk>& self, const strand_ptr& s);
  template <class F>
  void back(F f);
  void keep(replication::effects::keep_promise order);
  [[nodiscard]] storage::file_operations& operations() const;
  [[nodiscard]] std::string path_of(segment_id id) const;

  log_context_ptr context_;
  std::mutex promises_mutex_;
  storage::promise_log promises_;
  answers then_;
  std::map<segment_id, strand_ptr> strands_;
  std::vector<strand_ptr> ready_;  ///< have orders, and no disk thread yet
};

}  // namespace troupe::logs
