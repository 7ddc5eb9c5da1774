#pragma once
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <troupe/consensus/effects.hpp>
#include <troupe/consensus/entry_log.hpp>
#include <troupe/consensus/messages.hpp>
#include <troupe/consensus/options.hpp>
#include <troupe/consensus/voters.hpp>
#include <vector>

namespace troupe::consensus {

/// One member's part in Raft: elections with pre-vote, pipelined replication, linearizable reads, snapshots,
/// membership. Owned by the Raft thread of a node, or by the simulator. It holds no clock, socket, disk or thread: call
/// an event function with the time, then carry out `take_effects()` in order.
///
///   raft.receive(now, message);                     raft.propose(now, command) -> index
///   for (auto& e : raft.take_effects()) …           send → connection   persist → disk thread   apply → state machine
///   raft.persisted(now, number);                    what waited for the disk (votes, acknowledgements) leaves now
///
/// What must hold (each has its checker in tests/simulation): one leader a term; a committed entry is never lost or
/// changed; a vote or an acknowledgement leaves only when what it promises is durable; a read sees everything that was
/// answered before it was asked for.
class raft {
 public:
  raft(const options& with, restored from, time_point now);

  // Events. `now` never goes back.
  void tick(time_point now);
  /// A message that is not for this member or does not validate is counted and ignored.
  void receive(time_point now, const message& m);
  /// Everything up to `number` is durable.
  void persisted(time_point now, persist_number number);
  /// A write failed: gives way at once and does nothing any more. The process is expected to end.
  void disk_failed(time_point now);

  /// Appends a command at the leader; it is committed when it comes out as `apply` with this index and the present
  /// term. Errors: `unavailable` (not the leader: ask leader()), `resource_exhausted` (too much uncommitted),
  /// `invalid_argument` (too large).
  result<log_index> propose(time_point now, bytes command);
  /// One step of membership. Errors as `propose`, and `failed_precondition`: another step is under way, no entry of
  /// this term has committed yet, the learner is too far behind, or too few of the new voters are in contact.
  result<log_index> change(time_point now, const member_change& step);
  /// A linearizable read, at any member: `read_ready` or `read_failed` comes. `resource_exhausted` or `unavailable` at
  /// once.
  result<void> read(time_point now, read_id id);
  /// The state machine's state after `index`, which must have been applied: the log up to there can go. Ignored when an
  /// equal or newer snapshot is there.
  void compact(time_point now, log_index index, std::shared_ptr<const bytes> state);
  /// Gives leadership to that voter if it is close enough; otherwise `failed_precondition`.
  result<void> transfer(time_point now, const member_id& to);

  /// What there is to do since the last call. Several events may come before it: their entries then share one write and
  /// one message.
  [[nodiscard]] std::vector<effect> take_effects();

  [[nodiscard]] consensus::role role() const noexcept { return role_; }
  [[nodiscard]] troupe::term term() const noexcept { return state_.term; }
  [[nodiscard]] const member_id& leader() const noexcept { return leader_; }
  [[nodiscard]] log_index commit() const noexcept { return commit_; }
  [[nodiscard]] const entry_log& log() const noexcept { return log_; }
  [[nodiscard]] const snapshot& latest_snapshot() const noexcept { return snapshot_; }
  [[nodiscard]] const configuration& members() const noexcept { return configurations_.back().members; }
  /// True when the configuration in force has committed, so that the next step may be taken.
  [[nodiscard]] bool members_settled() const noexcept { return configurations_.back().index <= commit_; }
  /// At the leader: is this learner close enough to become a voter?
  [[nodiscard]] bool caught_up(const member_id& id) const;
  /// At the leader: heard of within an election timeout?
  [[nodiscard]] bool in_contact(const member_id& id, time_point now) const;
  [[nodiscard]] bool leads_with_committed_entry() const noexcept {
    return role_ == role::leader && commit_ >= term_start_;
  }

  /// Sizes of everything that could grow; each has a limit in `options`. Uncommitted: what this leader took itself.
  struct queue_sizes {
    std::size_t uncommitted_entries = 0, uncommitted_bytes = 0, reads_waiting = 0, held_messages = 0,
                appends_in_flight = 0, persists_pending = 0;
  };
  [[nodiscard]] queue_sizes queues() const;
  [[nodiscard]] std::uint64_t refused_messages() const noexcept { return refused_messages_; }

 private:
  /// What a leader knows of a follower or learner.
  struct peer {
    log_index match;      ///< durable there
    log_index next;       ///< to be sent
    bool probing = true;  ///< one message at a time until it is known where the logs agree
    bool probe_out = false;
    std::deque<log_index> flight;  ///< last indices of appends not acknowledged
    std::uint64_t round = 0;       ///< the newest that came back
    time_point heard{};
    bool heard_ever = false;
    std::optional<snapshot> sending;
    std::uint64_t offset = 0;
    unsigned heartbeats_since_chunk = 0;
  };
  struct pending_persist {
    persist_number number;
    log_index last;  ///< of the log once it is durable; lowered when the log is cut meanwhile
    time_point since;
  };
  struct held_message {
    persist_number needs;
    message what;
  };
  struct waiting_read {
    std::uint64_t id = 0;
    member_id from;  ///< self, or who asked
    log_index index;
    std::uint64_t round = 0;  ///< must come back from a majority
  };
  struct asked_read {
    read_id id;
    time_point deadline;
    std::optional<log_index> index;  ///< set when the leader has answered: wait until it is applied
  };
  struct active_configuration {
    log_index index;
    configuration members;
  };

  // raft.cpp: time, terms, effects
  void check_timers(time_point now);
  void become_follower(time_point now, troupe::term t, const member_id& leader);
  void set_role(consensus::role r, const member_id& leader);
  void reset_election_timer(time_point now);
  void arm_timer();
  [[nodiscard]] bool planted(planted_bug b) const noexcept { return options_.bug == b; }
  [[nodiscard]] std::uint64_t random();
  [[nodiscard]] message make(const member_id& to, message_body body) const;
  void send(const member_id& to, message_body body);
  /// Sends once everything decided so far is durable.
  void send_when_durable(const member_id& to, message_body body);
  /// Sends once the present term is durable.
  void send_in_term(const member_id& to, message_body body);
  void send_after(persist_number needs, const member_id& to, message_body body);
  void release_held();
  effects::persist& to_persist();
  void persist_state();
  void flush_persist();
  [[nodiscard]] bool disk_stalled(time_point now) const;
  void alarm(std::string what);
  [[nodiscard]] bool is_self(const member_id& id) const { return id == options_.self; }
  [[nodiscard]] std::optional<troupe::term> term_at(log_index index) const;
  void append_local(entry e);
  void cut_from(log_index index);
  void lower_durable(log_index to);
  void note_configuration(const entry& e);
  void advance_commit(log_index to);
  [[nodiscard]] result<void> accepts_proposals(std::size_t bytes) const;

  // raft_election.cpp
  [[nodiscard]] bool electable() const;
  void start_pre_vote(time_point now);
  void campaign(time_point now, bool forced);
  void count_votes(time_point now);
  void become_leader(time_point now);
  [[nodiscard]] bool log_is_current(const vote_request& r) const;
  [[nodiscard]] bool loyal(time_point now) const;  ///< has a leader that may still hold a lease
  void on(time_point now, const message& m, const vote_request& r);
  void on(time_point now, const message& m, const vote_response& r);
  void on(time_point now, const message& m, const timeout_now& r);

  // raft_follower.cpp
  void on(time_point now, const message& m, const append_request& r);
  void on(time_point now, const message& m, const snapshot_chunk& r);
  [[nodiscard]] bool follow(time_point now, const message& m);
  void install(const message& m, std::uint64_t round);
  void acknowledge(const message& m, const append_request& r, log_index verified, bool appended);
  void reject(const message& m, const append_request& r);

  // raft_leader.cpp
  void on(time_point now, const message& m, const append_response& r);
  void on(time_point now, const message& m, const snapshot_progress& r);
  void fill_pipeline(const member_id& id, peer& p);
  void send_append(const member_id& id, peer& p, std::vector<entry> entries);
  void send_chunk(const member_id& id, peer& p);
  void broadcast_heartbeat(time_point now);
  void replicate_all();
  void recompute_commit();
  void check_quorum(time_point now);
  void give_way(time_point now);
  [[nodiscard]] peer* heard_from(time_point now, const message& m, std::uint64_t round);
  [[nodiscard]] log_index next_after_rejection(const peer& p, const append_response& r) const;

  // raft_reads.cpp
  void on(time_point now, const message& m, const read_request& r);
  void on(time_point now, const message& m, const read_response& r);
  void start_read(std::uint64_t id, const member_id& from);
  void start_read_round();
  void answer_read(const waiting_read& r, bool granted);
  void complete_reads();
  void complete_asked_reads();
  void fail_reads();
  [[nodiscard]] std::uint64_t majority_round() const;
  [[nodiscard]] bool lease_valid(time_point now) const;

  // raft_membership.cpp
  void after_commit_of_configuration();
  void refresh_peers();

  options options_;
  std::uint64_t random_;
  bool stopped_ = false;

  hard_state state_;
  consensus::role role_ = role::follower;
  member_id leader_;
  entry_log log_;
  snapshot snapshot_;
  std::vector<active_configuration>
      configurations_;  ///< the snapshot's first, then those in the log; the last is in force
  log_index commit_;
  log_index durable_;  ///< of the log as it is now

  time_point election_at_{};
  time_point heartbeat_at_{};
  time_point heard_leader_{};
  bool heard_leader_ever_ = false;

  // candidate
  std::set<member_id> votes_;
  persist_number own_vote_;  ///< counts once this is durable
  bool own_vote_pending_ = false;

  // leader
  std::map<member_id, peer> peers_;
  log_index term_start_;
  std::uint64_t round_ = 0;
  std::deque<std::pair<std::uint64_t, time_point>> round_times_;
  bool lease_given_up_ = false;     ///< a timeout_now is under way somewhere: followers may elect at any time
  std::deque<waiting_read> reads_;  ///< those without a round are at the end
  time_point quorum_check_at_{};
  bool replicate_ = false;  ///< something new for the followers: sent when the effects are taken
  std::size_t uncommitted_bytes_ = 0;

  // follower
  std::map<std::uint64_t, asked_read>
      asked_;  ///< by the id on the wire, which no earlier start of this member has used
  std::uint64_t next_asked_;
  std::optional<snapshot_chunk> incoming_;  ///< parts so far
  member_id incoming_from_;

  // disk
  persist_number last_number_;
  persist_number state_number_;  ///< of the last one with a hard state
  persist_number done_number_;
  std::deque<pending_persist> pending_;
  std::optional<effects::persist> building_;
  std::deque<held_message> held_;

  std::vector<effect> effects_;
  time_point now_{};
  time_point timer_{};
  std::uint64_t refused_messages_ = 0;
};

}  // namespace troupe::consensus
