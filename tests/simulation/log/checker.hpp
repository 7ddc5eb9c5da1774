#pragma once
#include <map>
#include <optional>
#include <string>
#include <tests/simulation/log/files.hpp>
#include <tests/simulation/scheduler.hpp>
#include <troupe/metadata/state.hpp>
#include <unordered_map>

namespace troupe::simulation::log {

/// One record's text: who wrote it, and when in that producer's order.
struct record_name {
  std::uint64_t producer = 0, sequence = 0;
  std::uint32_t index = 0;
  friend auto operator<=>(const record_name&, const record_name&) = default;
};
bytes write_record(const record_name& name, std::size_t filler);
/// The names in a batch's payload; nothing when it is not what was written.
std::optional<std::vector<record_name>> read_records(bytes_view payload, std::uint32_t count);

/// Sees everything at once, as no member can, and remembers the first thing that must never be. Not told of the planted
/// bugs.
class checker {
 public:
  [[nodiscard]] const std::optional<std::string>& failure() const noexcept { return failure_; }
  void fail(std::string why) {
    if (!failure_ && !tolerant_) failure_ = std::move(why);
  }
  /// Every copy may be destroyed in this run: records are lost, appends hang. What a copy has told of is still not
  /// sealed away in silence.
  void tolerate_losses() { tolerant_ = true; }

  /// A replica says that so much is on its disk.
  void says_durable(const segment_files& disk, segment_id id, const replication::extent& durable,
                    const std::string& who);
  /// A replica answers a fence: its promise has to be on its disk, and its mark is not to be sealed below.
  void answers_fence(const segment_files& disk, segment_id id, const member_id& from,
                     const replication::fence_response& r, const std::string& who);
  /// A mark that readers may go by.
  void visible(segment_id id, record_offset mark, sim_time now);
  /// The first application of an entry anywhere: epochs grow, no segment is sealed below a mark.
  void applied(const metadata::command& what, const result<metadata::response>& answer, const metadata::state& after);
  /// A file is made for a segment.
  void opened(const replication::effects::create_file& what, const metadata::state& truth, const std::string& who);

  // Producers
  void acknowledge(std::uint64_t producer, std::uint64_t sequence, const replication::partition_key& where,
                   const replication::effects::appended& what, sim_time now);
  /// A reader was given these records from this offset of the partition on.
  void read(const replication::partition_key& where, std::uint64_t offset, const std::vector<record_name>& names);
  /// All power went while the policy was `seal`: what is in these open segments may be gone.
  void forgive(segment_id id) { forgiven_[id] = true; }

  /// At the end: every copy of everything. `copies`: by member, its disk.
  void verify(const metadata::state& truth, const std::map<member_id, const segment_files*>& disks);

  [[nodiscard]] std::uint64_t records_acknowledged() const noexcept { return records_acknowledged_; }
  [[nodiscard]] std::uint64_t segments_sealed() const noexcept { return segments_sealed_; }
  [[nodiscard]] bool is_acknowledged(std::uint64_t producer, std::uint64_t sequence) const {
    return acknowledged_.contains({producer, sequence});
  }

 private:
  struct acknowledgement {
    replication::partition_key where;
    std::uint64_t first = 0;
    std::uint32_t count = 0;
  };
  void verify_partition(const replication::partition_key& where, const metadata::partition& p,
                        const std::map<member_id, const segment_files*>& disks);

  bool tolerant_ = false;
  std::optional<std::string> failure_;
  std::map<std::pair<std::uint64_t, std::uint64_t>, acknowledgement> acknowledged_;
  std::map<replication::partition_key, std::unordered_map<std::uint64_t, record_name>> reads_;
  std::unordered_map<segment_id, record_offset> visible_;
  std::unordered_map<segment_id, std::map<member_id, record_offset>> floors_;  ///< told to fences
  std::map<replication::partition_key, epoch> epochs_;
  std::unordered_map<segment_id, bool> forgiven_;
  std::map<replication::partition_key, std::vector<std::pair<std::uint64_t, std::uint64_t>>>
      lost_;  ///< forgiven offsets
  std::uint64_t records_acknowledged_ = 0, segments_sealed_ = 0;
};

}  // namespace troupe::simulation::log
