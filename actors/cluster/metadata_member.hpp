#pragma once
#include <actors/cluster/leader_duties.hpp>
#include <actors/cluster/raft_disk.hpp>
#include <troupe/membership/lease_watch.hpp>
#include <unordered_set>

namespace troupe::actors {

/// This node's part in consensus: carries out what consensus::raft decides, on the metadata thread, with the disk on a
/// thread of its own. Leader, voter or learner by what the log says; every member keeps the whole log.
///
///   request here ──► the leader's raft::propose ──► disks ──► apply, here too ──► answer
///
/// metadata_member.cpp has consensus, metadata_requests.cpp the way of requests, reads and frames.
class metadata_member final : public metadata_role,
                              private peer_owner,
                              public std::enable_shared_from_this<metadata_member> {
 public:
  /// Opens the log, begins one (`bootstrap`), or waits for the cluster to be known. Errors: those of
  /// storage::metadata_log::open and load_raft; `corrupted` when a log that was there is gone.
  static result<std::shared_ptr<metadata_member>> open(metadata_core& core);
  ~metadata_member() override;

  void start() override;
  void submit(request_id id, const bytes& envelope) override;
  void ask_barrier(std::uint64_t number) override;
  void accept(transport::connection stream) override;
  void tick(steady_time now) override;
  void applied(log_index index, const metadata::envelope& what, const result<metadata::response>& answer,
               bool repeated) override;
  void stop() override;
  /// Waits for what the disk thread still does. Not from the metadata thread, which must have ended.
  void close();

  [[nodiscard]] cluster_id cluster() const { return links_->cluster(); }
  // Any thread
  [[nodiscard]] bool leads() const noexcept { return leads_; }
  [[nodiscard]] std::vector<member_id> voters() const;

 private:
  explicit metadata_member(metadata_core& core);

  // Consensus (metadata_member.cpp)
  result<void> open_log(const cluster_id& cluster);
  void begin_disk();
  /// Soon, and once for everything that happens until then: entries then share a write and a message.
  void schedule();
  void carry_out();
  void perform(consensus::effect what);
  void perform(const consensus::effects::apply& what);
  void perform(const consensus::effects::restore& what);
  void perform(const consensus::effects::role_changed& what);
  void perform(const consensus::effects::members_changed& what);
  void arm(steady_time at);
  void take_snapshot();
  [[noreturn]] void cannot_go_on(const error& why);
  [[nodiscard]] bool in_configuration() const;
  [[nodiscard]] bool reaches_leader() const;
  void note_leader();
  /// The leader's connections have ended: should its process be gone, the voters need not wait for the silence.
  boost::asio::awaitable<void> look_for_dead_leader(member_id id, std::string address);
  void campaign_for(const member_id& dead);

  // Requests and frames (metadata_requests.cpp)
  /// Where a request came from, and where its answer goes: a copied directory has the same member id as the original.
  /// Empty: this node.
  using origin = std::shared_ptr<peer_link>;
  void take(bytes envelope, const origin& from);
  void refuse(const request_id& id, const origin& from, const error& why);
  void pump();
  void resubmit();
  void retry_barriers();
  void read_done(consensus::read_id id, bool ready);
  void settle_answers();
  void watch_lease(steady_time now);
  void say_who_is_missing(steady_time now);
  [[nodiscard]] wire::hello greeting() const override;
  [[nodiscard]] wire::leader_hint leader_known() const override;
  [[nodiscard]] std::optional<std::string> refuses(const transport::peer& who, const wire::hello& said) override;
  void came(const transport::peer& who) override;
  void went(const transport::peer& who) override;
  void received(peer_link& from, transport::frame what) override;
  void fenced_by(std::string reason) override;
  void nobody_there(const member_id& who) override;
  void hinted(const wire::leader_hint& at) override;
  void received_raft(peer_link& from, bytes_view payload);
  void received_beat(peer_link& from, const wire::heartbeat_seen& seen);

  metadata_core& core_;
  std::shared_ptr<peer_links> links_;
  std::optional<storage::metadata_log> opened_;  ///< until its disk thread runs
  std::unique_ptr<raft_disk> disk_;
  std::optional<consensus::restored> found_;  ///< until raft begins
  std::unique_ptr<consensus::raft> raft_;
  std::shared_ptr<leader_duties> duties_;  ///< while leading
  boost::asio::steady_timer raft_timer_;
  bool scheduled_ = false;
  bool started_ = false;

  // Snapshots
  log_index snapshot_index_;
  std::uint64_t bytes_since_snapshot_ = 0;
  std::uint64_t snapshot_bytes_ = 0;
  std::optional<consensus::persist_number> saving_;

  // Leader
  struct waiting {
    bytes envelope;
    origin from;
    request_id id;
  };
  std::deque<waiting> waiting_;  ///< for room in the log
  std::size_t waiting_bytes_ = 0;
  std::unordered_set<request_id> inflight_;  ///< waiting, or in the log and not applied
  std::unordered_map<request_id, std::weak_ptr<peer_link>>
      strangers_;  ///< in flight, from nodes that do not get the log yet
  struct acknowledgement {
    troupe::incarnation by;
    log_index up_to;
  };
  std::map<member_id, acknowledgement> acknowledged_;  ///< in this term

  // Everyone
  bool leaderless_ = true;
  telemetry::rate_limit leaderless_said_{std::chrono::seconds(10)};
  steady_time leaderless_since_ = std::chrono::steady_clock::now();
  wire::leader_hint hint_;           ///< as others say, while consensus does not know
  std::set<std::uint64_t> unasked_;  ///< barriers without a read under way
  bool resubmit_ = false;
  std::optional<consensus::read_id> resubmit_read_;
  std::uint64_t next_resubmit_ = 1;
  std::map<request_id, wire::answer> answers_;  ///< known before their entry is applied here
  steady_time beat_at_{};
  membership::lease_watch lease_;
  std::set<member_id> looking_;
  bool disk_full_ = false;

  std::atomic<bool> leads_{false};
  mutable std::mutex voters_mutex_;
  std::vector<member_id> voters_;
};

}  // namespace troupe::actors
