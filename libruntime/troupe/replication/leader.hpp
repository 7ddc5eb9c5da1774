#pragma once
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <troupe/metadata/state.hpp>
#include <troupe/replication/effects.hpp>
#include <troupe/replication/options.hpp>
#include <vector>

namespace troupe::replication {

/// The leader of one partition's log at one member: takes over, fences, seals, opens, appends, and rolls when a segment
/// is full or a replica fails (doc/design/protocols.md, section 2). Its own copy is a replica like the others: messages
/// to oneself go to one's own `replica`. Owned by the thread of the log protocol, or by the simulator; dropped after
/// `stopped`. Call an event function, then carry out `take_effects()` in order. Each event is given the metadata as
/// applied here; nothing of it is kept.
///
///   taking ─► fencing ─► sealing ─► transacting ─► opening ─► leading
///                 ▲          ▲           │                      │
///                 │          └───────────┼────── freeze ────────┘   full, or a replica failed
///                 └── every replica failed        └─► starved ─► …  too few members
///
/// What must hold: an append is answered only when it is on the disks of all replicas of its segment, or sealed with
/// `min_copies` holders; in each partition a producer's sequences are stored once and in order; append times never go
/// back.
class log_leader {
 public:
  explicit log_leader(const leader_options& with) : options_(with) {}

  // Events. `now` never goes back.
  /// Takes over. `old_leader_gone`: its connection was seen closed, or its dial refused.
  void start(moment now, const metadata::state& s, bool old_leader_gone);
  void tick(moment now, const metadata::state& s);
  /// Something of the partition, its dataset or the members has changed.
  void metadata_changed(moment now, const metadata::state& s);
  void receive(moment now, const metadata::state& s, const message& m);
  void answered(moment now, const metadata::state& s, proposal_number number, const result<metadata::response>& answer);
  /// Its connection was seen closed, or its dial refused: a replica there counts as failed at once.
  void member_lost(moment now, const metadata::state& s, member_id id);
  /// Gives the partition to somebody else (to whoever is next, with nobody named); `stopped` comes when it is done.
  void hand_over(moment now, const metadata::state& s, std::optional<replica_ref> to);
  /// This member has lost its lease, or ends.
  void stop(moment now, std::string why);

  /// One batch: `count` records of a producer for this partition; a nil producer's are not recognised when they are
  /// sent again. `answer_append` comes, at the latest after append_time_max. Errors at once: `resource_exhausted` (the
  /// queue is full), `failed_precondition` (fewer live members than min_copies, with the reason), `invalid_argument`
  /// (no records, or more bytes than batches_bytes_max), `unavailable` (stopped). `more_follow`: nothing is sent before
  /// the last one, or the next tick, so that all of them go together.
  result<void> append(moment now, const metadata::state& s, append_id id, const uuid& producer, std::uint64_t sequence,
                      std::uint32_t count, shared_bytes payload, bool more_follow = false);

  [[nodiscard]] std::vector<leader_effect> take_effects();

  enum class phase : std::uint8_t {
    idle,
    taking,
    loading,  ///< asks for the table of producers
    fencing,
    sealing,
    transacting,
    opening,
    leading,
    starved,
    stopped
  };
  [[nodiscard]] phase state() const noexcept { return phase_; }
  [[nodiscard]] troupe::epoch epoch() const noexcept { return epoch_; }
  /// How far the open segment is acknowledged: what a job's snapshot takes. Nothing when none is open.
  [[nodiscard]] std::optional<metadata::open_prefix> acknowledged() const;
  /// Why appends are refused now; empty when they are not.
  [[nodiscard]] const std::string& refusing() const noexcept { return refusing_; }

  struct queue_sizes {
    std::size_t queued_requests = 0, queued_bytes = 0, in_flight_bytes = 0, groups = 0;
  };
  [[nodiscard]] queue_sizes queues() const;

 private:
  /// An append that was accepted; lives until it is answered.
  struct item {
    std::vector<append_id> waiters;
    uuid producer;
    std::uint64_t sequence = 0;
    std::uint32_t count = 0;
    shared_bytes payload;
    time_point deadline;
    record_offset first_offset;  ///< within the segment, once placed
  };
  using items = std::list<item>;
  /// Batches that were sent together; kept until every replica has them.
  struct group {
    extent at;
    extent size;
    std::uint64_t payload_bytes = 0;
    shared_bytes batches;
    [[nodiscard]] extent end() const { return {at.records + size.records, at.bytes + size.bytes}; }
  };
  struct follower {
    replica_ref who;
    bool opened = false;
    bool failed = false;
    bool damaged = false;  ///< a fence found it so: it is read back before it may hold the sealed segment
    replica_ref asked;     ///< for a fence, as it ran then
    extent sent, written, durable;
    record_offset visible;
    time_point progress_at{};  ///< of the last progress, or when there began to be something to wait for
    time_point sent_at{};
    record_offset marks_sent;
    std::int64_t clock_ahead_ms = 0;
    bool clock_known = false;
  };
  struct pending_proposal {
    proposal_number number;
    metadata::command what;
    bool out = false;
    time_point again{};
  };

  // leader.cpp: events, timers, proposals
  void act(moment now, const metadata::state& s);
  void check_timers(moment now, const metadata::state& s);
  void check_deadlines(moment now);
  void propose(metadata::command what);
  bool still_leads(moment now, const metadata::state& s);
  void end(std::string why);
  void send(const replica_ref& to, segment_id segment, message_body body);
  void report(std::string what, bool alarm = false);
  void arm(time_point at);
  [[nodiscard]] std::string name() const;
  [[nodiscard]] bool planted(planted_bug b) const noexcept { return options_.bug == b; }
  /// It gets no new segment for a while. True when it was so before, and nothing has changed: not to be said again.
  bool suspect(moment now, const replica_ref& who, refusal why);
  /// Why members are not chosen, for people: empty when there is nothing to say.
  [[nodiscard]] std::string why_not(moment now, const metadata::state& s) const;
  [[nodiscard]] bool is_lost(moment now, const metadata::state& s, member_id id) const;
  [[nodiscard]] std::vector<replica_ref> choose(moment now, const metadata::state& s) const;

  // leader_takeover.cpp: fence, seal, one transaction, open
  void after_take_over(moment now, const metadata::state& s);
  void load_table(moment now, const metadata::state& s);
  void begin_fence(moment now, const metadata::state& s);
  void ask_fences(moment now, const metadata::state& s);
  void ask_fence(const metadata::state& s, follower& f);
  void evaluate_fence(moment now, const metadata::state& s);
  [[nodiscard]] extent with_holders_enough(const std::vector<const fence_response*>& replies, extent longest,
                                           record_offset floor) const;
  void begin_seal(moment now, extent length);
  /// Copies are looked at anew. Answers to what was asked before may still come: they are of a copy that was not read.
  void forget_seals() {
    seals_.clear();
    grace_until_.reset();
    seals_since_ = last_request_;
  }
  void ask_seals(moment now);
  void evaluate_seal(moment now, const metadata::state& s);
  void retry_from_fence(moment now, const metadata::state& s);
  void transact(moment now, const metadata::state& s);
  void after_transaction(moment now, const metadata::state& s, const metadata::response& made);
  void begin_open(moment now, const metadata::state& s);
  void resolve_placed(const metadata::state& s, std::uint64_t sealed_records, std::size_t holders);
  void on(moment now, const metadata::state& s, const message& m, const open_response& r);
  void on(moment now, const metadata::state& s, const message& m, const fence_response& r);
  void on(moment now, const metadata::state& s, const message& m, const seal_response& r);
  void on(moment now, const metadata::state& s, const message& m, const producers_response& r);

  // leader_append.cpp: batches out, acknowledgements in
  void on(moment now, const metadata::state& s, const message& m, const append_response& r);
  template <class T>
  void on(moment, const metadata::state&, const message&, const T&) {}
  void pump(moment now, const metadata::state& s);
  void place_table(moment now);
  bool place_group(moment now, const metadata::state& s);
  /// What a table says of an item: new, or answered already. False: the item is done with.
  bool is_new(const metadata::state& s, item& i);
  void send_groups(moment now, follower& f, bool again);
  void send_marks(moment now);
  void advance(moment now);
  void fail_follower(moment now, const metadata::state& s, follower& f, std::string_view what,
                     refusal why = refusal::none);
  void freeze(moment now, const metadata::state& s, std::string why);
  void answer(item& i, const result<effects::appended>& what);
  follower* follower_of(const message& m);
  [[nodiscard]] std::int64_t append_time(moment now) const;
  [[nodiscard]] std::uint64_t base_of(const metadata::state& s, segment_id id) const;

  leader_options options_;
  phase phase_ = phase::idle;
  troupe::epoch epoch_;  ///< the partition's, once taken over
  bool old_leader_gone_ = false;
  time_point marks_due_{};  ///< when the high-water mark goes to other members without an append
  std::string refusing_;

  std::optional<pending_proposal> proposal_;
  proposal_number last_proposal_;
  std::uint64_t last_request_ = 0;
  struct suspicion {
    replica_ref who;
    time_point until;
    duration length;
    refusal why = refusal::none;  ///< none: it was silent, or is gone
  };
  std::vector<suspicion> suspects_;
  std::vector<std::pair<replica_ref, time_point>> lost_;  ///< seen to be gone, as they ran then

  // What the segment that is open, or being sealed, is
  segment_id segment_;
  troupe::epoch segment_epoch_;
  sync_policy sync_ = sync_policy::batch;
  std::uint32_t min_copies_ = 1;
  std::uint64_t base_ = 0;  ///< records of the partition before it
  std::vector<follower> followers_;
  extent tail_;     ///< what was placed
  extent acked_;    ///< what is acknowledged
  extent dropped_;  ///< the end of what is in the window no more
  std::uint64_t dropped_payload_ = 0;
  record_offset floor_;  ///< on all disks
  std::deque<group> window_;
  items queue_, placed_;
  std::size_t pending_bytes_ = 0;  ///< of both lists
  std::size_t window_bytes_ = 0;
  time_point widened_at_{};

  // Fence and seal
  std::map<member_id, std::pair<replica_ref, fence_response>> fences_;
  std::map<member_id, std::pair<replica_ref, seal_response>> seals_;
  std::uint64_t seals_since_ = 0;  ///< the last request before those whose answers are in `seals_`
  std::optional<time_point> grace_until_;
  time_point ask_again_{};
  time_point sealing_since_{};
  extent seal_length_;
  bool verify_ = false;       ///< copies are read back when they are sealed: not all replicas will hold it
  bool fenced_path_ = false;  ///< the seal follows a fence, not a freeze
  bool loss_reported_ = false;
  std::optional<metadata::sealed_segment> sealed_;

  // Producers
  format::producer_table table_, table_at_open_;
  bool table_known_ = false;
  std::size_t table_source_ = 0;  ///< which holder is asked for it
  std::int64_t last_append_unix_ms_ = 0;

  moment now_{};
  std::optional<time_point> timer_;
  std::vector<leader_effect> effects_;
};

}  // namespace troupe::replication
