#pragma once
#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <troupe/dataflow/block_store.hpp>
#include <troupe/dataflow/spill.hpp>
#include <unordered_map>
#include <unordered_set>

namespace troupe::dataflow {

using owner_id = number<struct slab_owner_tag>;  ///< a worker process, as the pool counts them; 0 is none
using chunk_id = number<struct chunk_tag>;

/// Room in a slab that one worker may write until it publishes or abandons it.
struct chunk_grant {
  chunk_id chunk;
  slab_id slab;
  int write_fd = -1;  ///< of the slab; valid while the chunk is open
  std::uint64_t slab_size = 0;
  std::uint64_t offset = 0;
  std::uint64_t capacity = 0;
  bool dedicated = false;  ///< the slab is this chunk's alone
};

/// A function of what is asked for and of nothing else, because a module's flush points follow from it.
constexpr std::uint64_t chunk_capacity(std::uint64_t bytes_min) {
  for (const std::uint64_t size : {64ULL << 10, 256ULL << 10, 1ULL << 20})
    if (bytes_min <= size) return size;
  return (bytes_min + 4095) / 4096 * 4096;
}

/// A chunk may hold one large record and what stands around it.
inline constexpr std::uint64_t chunk_capacity_max = (64ULL << 20) + (1ULL << 20);

/// The inside of the block store: bookkeeping under one mutex, one disk thread. Lives until the last pin is gone.
class block_store_impl : public std::enable_shared_from_this<block_store_impl> {
 public:
  explicit block_store_impl(block_store_options options);
  ~block_store_impl();
  void start();
  void stop();

  // Producing, for the worker pool. An owner has at most one request waiting.

  /// From now on `owner` may publish for this attempt. failed_precondition: the job was released.
  result<void> begin_attempt(const attempt_key& attempt);
  void open_chunk(owner_id owner, std::uint64_t bytes_min, std::function<void(result<chunk_grant>)> callback);
  void cancel_wait(owner_id owner);
  /// Turns an open chunk into a block. `bytes` were reported by user code's process: checked against the chunk.
  result<block_ref> publish(owner_id owner, const attempt_key& attempt, chunk_id chunk, partition_index partition,
                            std::uint64_t bytes, std::uint64_t records, const digest128& digest);
  /// The same for a last stage: the bytes belong to the pin alone and are freed with it.
  result<block_pin> publish_output(owner_id owner, chunk_id chunk, std::uint64_t bytes, std::uint64_t records,
                                   const digest128& digest);
  /// Frees the owner's open chunks and takes its slabs away, but for the one in use if the process lives on.
  void end_task(owner_id owner, bool keeps_slab);
  /// Makes what the attempt published visible.
  void finish_attempt(const attempt_key& attempt);

  // As in block_store

  result<std::vector<block_ref>> get(const attempt_key& attempt, partition_index partition) const;
  bool holds(const attempt_key& attempt) const;
  result<block_pin> pin(block_id block);
  void receive(std::uint64_t size, std::function<void(result<receive_buffer>)> callback);
  result<block_ref> commit_received(chunk_id chunk, job_id job, std::uint64_t records, const digest128& digest);
  void abandon_received(chunk_id chunk);
  void release(job_id job);
  void release_attempt(const attempt_key& attempt);
  void discard(const std::vector<block_ref>& blocks);
  block_store_usage usage() const;
  void settle();
  [[nodiscard]] std::uint64_t producing_slabs_max() const noexcept { return tokens_max_ - reserve_; }

 private:
  enum class use : std::uint8_t { producing, receiving };
  struct slab_state {
    std::unique_ptr<slab> memory;
    use purpose = use::producing;
    std::uint64_t tokens = 1;  ///< in units of slab_bytes
    bool dedicated = false;    ///< made for one large chunk
    bool current = false;      ///< new chunks come from here
    bool spilling = false;
    bool spill_failed = false;
    std::uint64_t top = 0;
    std::uint32_t open_chunks = 0;
    std::uint32_t pins = 0;
    std::uint64_t used_at = 0;  ///< a counter, not a clock: larger is warmer
    std::set<block_id> blocks;
  };
  struct block_state {
    block_ref ref;
    job_id job;
    slab_id slab;  ///< 0 once spilled
    std::uint64_t offset = 0;
    std::shared_ptr<spill_file> file;
  };
  struct chunk_state {
    slab_id slab;
    owner_id owner;
    std::uint64_t offset = 0;
    std::uint64_t capacity = 0;
  };
  struct attempt_state {
    bool finished = false;
    std::map<partition_index, std::vector<block_id>> blocks;
  };
  struct job_state {
    std::set<attempt_key> attempts;
    std::set<block_id> received;
  };
  struct owner_state {
    slab_id current;
    std::set<chunk_id> open;
    std::uint64_t open_bytes = 0;
  };
  struct waiter {
    owner_id owner;  ///< 0: receiving
    std::uint64_t size = 0;
    std::function<void(result<chunk_grant>)> callback;
  };
  /// Holds the mutex; what is to be done without it is done after.
  class section;

  result<chunk_grant> try_grant(use purpose, owner_id owner, std::uint64_t capacity, bool& wait);
  slab_state* acquire_slab(use purpose, std::uint64_t size, error& why, bool& wait);
  bool may_take(use purpose, std::uint64_t tokens) const;
  void ask(section& in, use purpose, owner_id owner, std::uint64_t capacity,
           std::function<void(result<chunk_grant>)> callback);
  void serve_waiters(section& in);
  slab_state& trim(const chunk_state& chunk, std::uint64_t bytes);
  void erase_chunk(section& in, chunk_id id, bool keep_bytes);
  void erase_block(section& in, block_id id);
  void erase_attempt(section& in, const attempt_key& attempt);
  void recycle_if_empty(section& in, slab_id id);
  void unpin(slab_id id);
  void bury(std::unique_ptr<spill_file> file);
  block_pin pin_slab(slab_state& in, const block_ref& ref, std::uint64_t offset);
  receive_buffer make_receive_buffer(const chunk_grant& grant, std::uint64_t size);
  bool wants_spill() const;
  slab_id coldest() const;
  void spill_one(std::unique_lock<std::mutex>& lock, slab_id id);
  void disk_loop();

  const block_store_options options_;
  const std::uint64_t tokens_max_;
  const std::uint64_t reserve_;

  mutable std::mutex mutex_;
  std::condition_variable disk_wakes_;
  std::condition_variable disk_sleeps_;
  bool stopping_ = false;
  bool disk_busy_ = false;
  std::uint64_t last_id_ = 0;
  std::uint64_t clock_ = 0;
  std::uint64_t producing_ = 0;  ///< tokens
  std::uint64_t receiving_ = 0;
  std::uint64_t spilled_bytes_ = 0;
  std::uint32_t to_warm_ = 0;
  slab_id receive_current_;
  std::map<slab_id, slab_state> slabs_;
  std::vector<std::unique_ptr<slab>> warm_;
  std::unordered_map<block_id, block_state> blocks_;
  std::unordered_map<chunk_id, chunk_state> chunks_;
  std::map<owner_id, owner_state> owners_;
  std::unordered_map<attempt_key, attempt_state> attempts_;
  std::map<job_id, job_state> jobs_;
  std::unordered_set<job_id> released_;
  std::deque<job_id> released_order_;
  std::deque<waiter> waiting_producers_;
  std::deque<waiter> waiting_receivers_;
  std::mutex graveyard_mutex_;
  std::vector<std::unique_ptr<spill_file>> graveyard_;  ///< closed and unlinked by the disk thread
  error spill_error_;
  std::thread disk_;
};

}  // namespace troupe::dataflow
