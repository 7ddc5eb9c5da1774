#pragma once
#include <actors/supervision/attempt_run.hpp>
#include <map>
#include <set>

namespace troupe::actors {

/// Fetches what reduces of this node will read, while maps still run and without a slot; attempts take it from here.
/// Owned by node_attempts and called on its thread. It only ever saves time: what is not here is fetched by the attempt
/// itself.
///
/// Few fetches are out at once, and what is held for reduces that have not begun stays below
/// `node_ports::prefetch_bytes_max`, 0 while memory is short. The first reduces come first, as they will start first.
///
/// Map output belongs to an attempt. When metadata lists another one for a map, what was fetched is kept if the digests
/// are equal (the bytes are, then), and else given back. While a map is not committed at all, nothing of it is given
/// out.
class reduce_prefetch {
 public:
  static constexpr std::size_t fetches_outstanding_max = 4;

  using blocks = std::vector<dataflow::block_ref>;
  using reply = node_ports::reply<blocks>;

  /// A map's committed output.
  struct source {
    member_id where;
    attempt_number attempt;
    digest128 digest;
    friend bool operator==(const source&, const source&) = default;
  };
  using source_map = std::map<task_index, source>;

  reduce_prefetch(node_ports& ports, poster post, member_id self);

  /// The reduces that are at home here and not begun; what was fetched for others is given back.
  void want(job_id job, const std::vector<task_index>& reduces);
  [[nodiscard]] bool wants(job_id job) const { return jobs_.contains(job); }
  /// All maps that are committed now.
  void sources(job_id job, source_map committed);
  /// From now on the reduce fetches for itself, through `fetch`.
  void attempt_begins(job_id job, task_index reduce);
  /// What it did not take is given back.
  void attempt_over(job_id job, task_index reduce);
  /// As node_ports::fetch_map_output; the blocks are the caller's.
  void fetch(member_id from, const dataflow::attempt_key& map, task_index reduce, reply then);
  /// The job has ended, and its blocks are freed with it.
  void release(job_id job);
  /// Fetches more if there is room.
  void pump();

  [[nodiscard]] std::uint64_t bytes_held() const noexcept { return bytes_held_; }

 private:
  using position = std::pair<task_index, task_index>;  ///< reduce, map
  enum class entry_state : std::uint8_t { fetching, here, failed };
  struct entry {
    entry_state state = entry_state::fetching;
    source of;             ///< whose output it counts as
    attempt_number asked;  ///< whose output was asked for
    std::uint64_t fetch_id = 0;
    actors::reduce_prefetch::blocks blocks;
    std::uint64_t bytes = 0;
    reply waiter;  ///< an attempt that came while it was on its way: it is that attempt's
  };
  struct job_state {
    std::set<task_index> wanted;
    std::set<task_index> begun;  ///< had an attempt here; a later one fetches for itself
    source_map known;
    std::map<position, entry> entries;
    std::set<position> todo;
  };

  void add_todo(job_state& job, task_index reduce, task_index map);
  void drop(job_state& job, task_index reduce);
  std::map<position, entry>::iterator drop(job_state& job, std::map<position, entry>::iterator at);
  void start(job_id id, job_state& job, position what);
  void arrived(job_id id, position what, std::uint64_t fetch_id, result<blocks> got);

  node_ports& ports_;
  poster post_;
  const member_id self_;
  std::map<job_id, job_state> jobs_;
  std::size_t outstanding_ = 0;
  std::uint64_t bytes_held_ = 0;
  std::uint64_t bytes_fetched_ = 0, fetches_done_ = 0;  ///< what one fetch brings, on average
  std::uint64_t last_fetch_ = 0;
  std::shared_ptr<reduce_prefetch*> alive_;  ///< callbacks hold it weakly
};

}  // namespace troupe::actors
