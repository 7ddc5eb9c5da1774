#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tests/simulation/scheduler.hpp>
#include <troupe/metadata/state.hpp>
#include <troupe/scheduling/job_tracker.hpp>
#include <troupe/scheduling/node_queue.hpp>

/// Jobs over the simulated cluster: what actors/supervision does around the job tracker and the queue of a node,
/// without actors, workers and files. What a task writes is its digest.
namespace troupe::simulation::log {

/// An attempt, whichever supervisor ordered it.
struct attempt_key {
  job_id job;
  scheduling::attempt_ref what;
  friend auto operator<=>(const attempt_key&, const attempt_key&) = default;
};

/// One job's supervisor at a member.
struct job_supervision {
  job_supervision(const metadata::job& j, scheduling::job_input input, scheduling::time_ms now)
      : job(j.id), epoch(j.supervisor_epoch), tracker(j, std::move(input), now) {}
  job_id job;
  troupe::epoch epoch;
  scheduling::job_tracker tracker;
  bool started = false;
  std::vector<std::function<void()>> after_start;  ///< proposals that wait for `start_job`
  std::map<std::pair<member_id, scheduling::attempt_ref>, scheduling::time_ms> sent;
  std::vector<scheduling::worker_member> members;  ///< as the tracker was told last
  std::vector<segment_id> inputs;
  std::map<member_id, scheduling::time_ms> heard;
  std::optional<scheduling::time_ms> wake_at;
  bool forgets = false;                              ///< a planted bug
  std::optional<scheduling::attempt_ref> forgotten;  ///< by it
};

/// An attempt at the member that runs it.
struct attempt_here {
  troupe::epoch epoch;
  member_id supervisor;
  std::uint64_t number = 0;  ///< so that timers of a former one are void
  bool planned = false;      ///< its inputs are committed here, and on their way
  bool running = false;      ///< has a slot
};

/// What a member has of jobs: gone with its process.
struct job_host {
  explicit job_host(std::uint32_t slots) : queue(slots) {}
  std::map<job_id, std::unique_ptr<job_supervision>> supervised;
  std::map<attempt_key, attempt_here> attempts;
  struct report {
    troupe::epoch epoch;
    member_id supervisor;
    std::optional<metadata::task_commit> commit;  ///< none: it failed
    scheduling::failure why;
  };
  std::map<attempt_key, report> reports;  ///< until their supervisor has taken them
  std::map<job_id, troupe::epoch> epochs;
  std::set<attempt_key> withdrawn;
  scheduling::node_queue queue;
};

/// What no run may show of jobs. Told of every first application of an entry, before and after.
class job_checker {
 public:
  /// An attempt has come to its end at that member, as it ran then.
  void finished(const attempt_key& which, troupe::epoch ordered_by, const metadata::task_commit& commit) {
    finished_.insert_or_assign(std::tuple(which, commit.where, commit.where_incarnation), ordered_by);
  }
  /// A sentence when something is wrong.
  std::optional<std::string> applied(const metadata::command& what, bool accepted, const metadata::job* before,
                                     const metadata::state& after);
  [[nodiscard]] std::uint64_t succeeded() const noexcept { return succeeded_.size(); }

 private:
  std::map<std::tuple<attempt_key, member_id, incarnation>, troupe::epoch> finished_;
  std::set<job_id> succeeded_;
  std::map<std::string, job_id> outputs_;
};

/// The job that a command is about.
[[nodiscard]] std::optional<job_id> job_of(const metadata::command& what);

}  // namespace troupe::simulation::log
