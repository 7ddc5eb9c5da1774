#pragma once
#include <map>
#include <set>
#include <troupe/metadata/state.hpp>
#include <troupe/replication/types.hpp>
#include <vector>

/// Which copies are missing, too many or due for a look. Pure functions of the metadata; each member carries out what
/// names it, checks the digest, and only then proposes add_holder.
namespace troupe::replication {

/// One copy that a member should have: what lies on its own disk, if that is whole, or else made from a member that
/// holds it now.
struct copy_task {
  dataset_id dataset;
  segment_id segment;
  std::uint64_t file_bytes = 0;
  digest128 digest;
  std::vector<member_id> sources;  ///< live holders, best first
  std::size_t copies = 0;          ///< live ones that stay: fewest first
  bool fetch = true;               ///< false: only what lies here is of use, the copies of others are others' task
  friend bool operator==(const copy_task&, const copy_task&) = default;
};

struct repair_options {
  std::size_t tasks_max = 64;                  ///< in one plan
  std::chrono::seconds next_target_after{30};  ///< a target that did not copy in so long is passed over
  std::uint64_t bytes_per_second = 64 << 20;   ///< of all copies to one member: recovery does not starve jobs
  duration head_start{};                       ///< of those that have a file of the segment already, before others copy
};

/// Remembers since when a segment lacks copies, which metadata does not say. One for each member.
class repair_planner {
 public:
  explicit repair_planner(const repair_options& with) : options_(with) {}

  /// Copies that `self` should make now, least replicated first. The targets of a segment are the highest-ranked
  /// members that may take copies; when one of them does not get to it, the next is also a target.
  /// Before them come members with a file of the segment that metadata does not count (`files`: those of `self`): it
  /// may be whole, and then nothing need be copied; with all holders gone or damaged it may be the last.
  [[nodiscard]] std::vector<copy_task> plan(time_point now, const metadata::state& s, member_id self,
                                            const std::set<segment_id>& files = {});

  /// Whether there is any segment that lacks copies and that `self` does not hold: then it is worth looking at which
  /// files there are.
  [[nodiscard]] static bool is_wanted(const metadata::state& s, member_id self);

  /// Copies that `self` holds and should give up: surplus, or moved away while it drains. Before one is proposed, every
  /// other live holder has to say that its own copy is whole (verify_request): rot that nobody has seen yet must not be
  /// what is left.
  [[nodiscard]] std::vector<metadata::remove_holder> plan_removals(const metadata::state& s, member_id self) const;

  /// How much of a repair is left, for `describe`: segments with fewer live copies than wanted, and their bytes.
  struct progress {
    std::uint64_t segments = 0, bytes = 0, lost = 0;  ///< lost: no holder is left at all
  };
  [[nodiscard]] static progress missing(const metadata::state& s, dataset_id of);

 private:
  repair_options options_;
  std::map<segment_id, time_point> since_;
};

/// Bytes per second for copies: a bucket that holds one second's worth.
class bandwidth_limit {
 public:
  explicit bandwidth_limit(std::uint64_t bytes_per_second) : rate_(bytes_per_second) {}
  /// When so many bytes may go; they count from this call on. At once when it is not after `now`.
  time_point reserve(time_point now, std::uint64_t bytes);

 private:
  std::uint64_t rate_;
  time_point at_{};  ///< when everything reserved so far has gone
};

/// Which of one's own copies is read and checked next: all of them within a period, oldest check first. Checks are not
/// remembered over a start.
class scrub_planner {
 public:
  explicit scrub_planner(std::chrono::nanoseconds period = std::chrono::hours(24 * 7)) : period_(period) {}
  struct due {
    dataset_id dataset;
    segment_id segment;
    digest128 digest;
    std::uint64_t file_bytes = 0;
    log_index made;  ///< metadata::segment::made: names the copy in a report of damage
  };
  /// The next copy of `self` to check and when; nothing when it holds none.
  [[nodiscard]] std::optional<std::pair<due, time_point>> next(time_point now, const metadata::state& s,
                                                               member_id self);
  void checked(time_point now, segment_id id) { checked_[id] = now; }

 private:
  std::chrono::nanoseconds period_;
  std::map<segment_id, time_point> checked_;
};

/// Segments that age or size has made superfluous, one command for each partition; never what a running job reads. Any
/// member may propose them.
[[nodiscard]] std::vector<metadata::trim_partition> plan_retention(const metadata::state& s, std::int64_t now_unix_ms);

}  // namespace troupe::replication
