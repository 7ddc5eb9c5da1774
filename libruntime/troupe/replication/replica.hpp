#pragma once
#include <deque>
#include <map>
#include <set>
#include <troupe/replication/effects.hpp>
#include <troupe/replication/options.hpp>
#include <vector>

namespace troupe::replication {

/// A member's copies of open segments: appends, fences, seals, and reads below the high-water mark. One for each start
/// of a member, owned by the thread of the log protocol, or by the simulator. Call an event function, then carry out
/// `take_effects()` in order.
///
///   replica.receive(now, append);      → write_batches, sync_file
///   replica.synced(now, number);       → send append_response{durable}
///
/// What must hold: nothing is called durable before the disk has said so; after a promise nothing of a lower epoch is
/// taken; a segment that was open when the member ended is closed for good; a file only ever holds batches that follow
/// each other.
class replica {
 public:
  /// `promises`: what storage::promise_log kept. Every file that is there now is closed.
  replica(const replica_options& with, std::map<segment_id, troupe::epoch> promises, moment now);

  // Events. `now` never goes back.
  void tick(moment now);
  /// A message that is not for this start of this member is ignored and counted.
  void receive(moment now, const message& m);
  void created(moment now, disk_number number, const result<void>& how);
  void written(moment now, disk_number number);
  /// The segment is closed: a full disk, or one that gives errors.
  void write_failed(moment now, segment_id segment, const error& why);
  void synced(moment now, disk_number number);
  void promised(moment now, disk_number number);
  void inspected(moment now, disk_number number, const result<inspection>& found);
  void sealed(moment now, disk_number number, const result<seal_outcome>& how);
  void footer_read(moment now, disk_number number, const result<seal_outcome>& found);
  void batches_read(moment now, disk_number number, const result<shared_bytes>& found);
  void verified(moment now, disk_number number, const result<void>& how);
  /// Metadata says that the segment was sealed and holds so many records, or (nothing) that it is gone: readers that
  /// wait are answered, and what is kept of it goes.
  void settled(moment now, segment_id segment, std::optional<record_offset> end);

  [[nodiscard]] std::vector<replica_effect> take_effects();

  struct queue_sizes {
    std::size_t segments = 0, unsynced_bytes = 0, readers_waiting = 0, orders = 0;
  };
  [[nodiscard]] queue_sizes queues() const;
  /// The disk has orders for it that are not answered. Its file must not be replaced meanwhile: a seal that was ordered
  /// before metadata settled the segment would cut a copy that was made since.
  [[nodiscard]] bool busy_with(segment_id segment) const;
  [[nodiscard]] std::uint64_t ignored_messages() const noexcept { return ignored_; }

 private:
  enum class phase : std::uint8_t {
    creating,
    open,
    sealing,
    closed,  ///< takes nothing any more: failed, or from before this start
    sealed,
  };
  struct waiting_reader {
    message asked;
    time_point until;
  };
  struct pending_fence {
    message asked;
    disk_number promise_order;  ///< 0: kept
    disk_number inspect_order;  ///< 0: `found` is there
    inspection found;
  };
  /// What is known of one segment.
  struct copy {
    partition_key where;
    troupe::epoch epoch;     ///< in which it was opened; 0: before this start
    troupe::epoch promised;  ///< epochs below are refused
    phase state = phase::closed;
    refusal why = refusal::closed;  ///< once it is closed
    sync_policy sync = sync_policy::batch;
    extent written, durable;  ///< written: ordered to be
    extent confirmed;         ///< the disk has said that it is written (policy `seal`)
    std::map<disk_number, extent> writing;
    extent syncing;          ///< what the sync under way covers
    disk_number sync_order;  ///< 0: none under way
    record_offset floor, visible;
    std::int64_t last_append_unix_ms = 0;
    std::optional<message> last_append;  ///< without its batches: whom to tell of progress
    std::vector<message> opens;
    std::vector<pending_fence> fences;
    std::vector<message> seals;
    disk_number seal_order;  ///< 0: none under way
    extent seal_length;
    bool verified = false;
    std::optional<seal_outcome> outcome;
    std::vector<waiting_reader> readers;
  };

  void on(moment now, const message& m, const open_request& r);
  void on(moment now, const message& m, const append_request& r);
  void on(moment now, const message& m, const fence_request& r);
  void on(moment now, const message& m, const seal_request& r);
  void on(moment now, const message& m, const producers_request& r);
  void on(moment now, const message& m, const read_request& r);
  void on(moment now, const message& m, const verify_request& r);
  template <class T>
  void on(moment, const message&, const T&) {
    ++ignored_;  // an answer: the leader's
  }

  void take_batches(moment now, copy& c, const message& m, const append_request& r);
  void begin_sync(segment_id id, copy& c);
  void tell_progress(moment now, copy& c, refusal why);
  void answer(const message& to, message_body body);
  void answer_fences(copy& c);
  [[nodiscard]] fence_response describe_copy(const copy& c, const pending_fence& f) const;
  void begin_seal(segment_id id, copy& c);
  void refuse(const message& m, refusal why);
  void answer_readers(moment now, segment_id id, copy& c);
  void serve(const message& asked, copy& c);
  void arm_timer();
  [[nodiscard]] copy* find_copy(const message& m);
  copy& copy_of(const message& m);
  [[nodiscard]] bool is_settled(segment_id id) const;
  void close(copy& c, refusal why);
  disk_number next_order(segment_id id);
  /// A disk that fails does so for every segment and at every try: said now and then.
  void report_failure(moment now, std::string what);
  copy* finish_order(disk_number number);
  [[nodiscard]] bool planted(planted_bug b) const noexcept { return options_.bug == b; }

  replica_options options_;
  std::map<segment_id, copy> copies_;
  std::map<segment_id, troupe::epoch> promises_;  ///< of earlier starts
  std::map<disk_number, segment_id> orders_;      ///< under way
  std::deque<segment_id> settled_;                ///< lately: late messages about them are refused
  std::map<disk_number, message> footers_;        ///< asked for
  std::map<disk_number, message> verifications_;
  std::map<disk_number, message> reads_;
  disk_number last_order_;
  std::size_t readers_waiting_ = 0;
  std::optional<time_point> timer_;
  std::uint64_t ignored_ = 0;
  std::optional<time_point> reported_;  ///< the last failure
  std::uint64_t unreported_ = 0;        ///< failures since
  std::vector<replica_effect> effects_;
};

}  // namespace troupe::replication
