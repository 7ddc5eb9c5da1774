#pragma once
#include <actors/cluster/metadata_core.hpp>
#include <actors/cluster/metadata_disk.hpp>
#include <deque>
#include <troupe/membership/failure_detector.hpp>
#include <unordered_set>

namespace troupe::actors {

class metadata_session;

/// The node that holds the log: groups proposals, makes them durable, applies them, ships them; watches over the
/// members. Made by `open` before the metadata thread runs, and from then on used on it alone.
class metadata_holder final : public metadata_role, public std::enable_shared_from_this<metadata_holder> {
 public:
  /// Reads snapshot and log into the core's state.
  static result<std::shared_ptr<metadata_holder>> open(metadata_core& core);
  ~metadata_holder() override;

  void start() override;
  void submit(request_id id, const bytes& envelope) override;
  void ask_barrier(std::uint64_t number) override;
  void accept(transport::connection stream) override;
  void tick(steady_time now) override;
  void applied(log_index index, const metadata::command& what, const result<metadata::response>& answer) override;
  void stop() override;
  /// Waits for what the disk thread still does. Not from the metadata thread, which must have ended.
  void close();

  // For sessions
  struct recent_entry {
    log_index index;
    bytes envelope;
  };
  metadata_core& core() noexcept { return core_; }
  membership::failure_detector& detector() noexcept { return detector_; }
  /// Takes an envelope that a follower sent. What cannot get into the log is told to that session.
  void submit_from(const std::shared_ptr<metadata_session>& from, bytes envelope);
  /// The entry, or nullptr when it is no longer in memory.
  [[nodiscard]] const recent_entry* recent(log_index index) const;
  /// The session speaks for that member from now on; an older one of the member is closed.
  void adopt(const std::shared_ptr<metadata_session>& session);
  void session_ended(metadata_session& session);

 private:
  struct pending {
    metadata::envelope envelope;
    bytes encoded;
    std::weak_ptr<metadata_session> from;
  };
  explicit metadata_holder(metadata_core& core);
  result<void> replay(storage::metadata_log& log);
  void enqueue(metadata::envelope decoded, bytes encoded, std::weak_ptr<metadata_session> from);
  void write_group();
  void written(std::vector<pending> group, log_index first, const result<void>& outcome);
  void remember(log_index index, bytes envelope);
  void take_snapshot();
  void commit_verdicts(steady_time now);
  boost::asio::awaitable<void> probe(member_id id, incarnation its, std::string address);

  metadata_core& core_;
  std::optional<storage::metadata_log> opened_;  ///< until start
  std::unique_ptr<metadata_disk> disk_;
  troupe::term term_;
  std::deque<pending> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::unordered_set<request_id> inflight_;  ///< waiting or being written
  bool writing_ = false;
  std::deque<recent_entry> recent_;
  std::size_t recent_bytes_ = 0;
  std::uint64_t entries_since_snapshot_ = 0;
  std::uint64_t log_bytes_ = 0;
  std::uint64_t snapshot_bytes_ = 0;
  bool saving_ = false;
  membership::failure_detector detector_;
  steady_time ticked_at_{};
  std::map<member_id, std::shared_ptr<metadata_session>> sessions_;
  std::set<std::shared_ptr<metadata_session>> all_sessions_;  ///< also those that have not said hello
  std::set<member_id> probing_;
};

}  // namespace troupe::actors
