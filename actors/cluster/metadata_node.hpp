#pragma once
#include <actors/cluster/metadata_options.hpp>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <troupe/metadata/service.hpp>
#include <troupe/telemetry/log.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/connection.hpp>

namespace troupe::actors {

class metadata_core;
class metadata_member;

/// What a node knows once it is a member.
struct joined {
  cluster_id cluster;
  std::string name;  ///< as asked for, or as the cluster gave it: to be saved in the node's identity
  member_id leader;
};

struct metadata_status {
  bool leads = false;        ///< this node leads the metadata
  bool connected = false;    ///< to the leader; always, when it is this node
  bool lease_holds = false;  ///< see may_act
  log_index applied;         ///< here
  member_id leader;
  std::string leader_address;
};

/// A node's part in the replicated metadata. Owned by the daemon. Has a thread of its own for consensus, its
/// connections, heartbeats and apply, and a second one for the disk. All methods may be called from any thread.
///
///   propose ──► the leader ──► logs of a majority of the voters (one fdatasync a group) ──► apply on every member
///
/// Every member keeps the log; who votes is decided by the leader (1, 3 or 5 of them). doc/formats/metadata_protocol.md
/// has the frames.
class metadata_node final : public metadata::service {
 public:
  /// Reads the log where there is one. Errors are those of storage::metadata_log::open, and `corrupted` when its
  /// content does not decode, or when a log that this member has kept is gone.
  static result<std::unique_ptr<metadata_node>> open(metadata_options options, telemetry::logger& log,
                                                     telemetry::metrics& metrics);
  ~metadata_node() override;
  metadata_node(const metadata_node&) = delete;
  metadata_node& operator=(const metadata_node&) = delete;

  /// Starts the threads, joins the cluster and registers this incarnation. `then` comes once, on the metadata thread:
  /// joined, or the reason why this node cannot be a member (a copied directory, a name that is taken), or `cancelled`
  /// when stop() came first. While no leader is reachable it goes on trying.
  void start(std::function<void(result<joined>)> then);

  /// Ends the threads. Requests that are under way answer `cancelled`. Does not say goodbye: propose `left` before.
  /// Idempotent; not from the metadata thread.
  void stop();

  /// For `gate.on(transport::protocol::raft, node->acceptor())`. Must not be `one_per_member`: a newer connection
  /// displaces the older here. The gate's admission must let protocol raft pass, also for dead members: this is where
  /// they learn that they are fenced. May outlive the node.
  [[nodiscard]] std::function<void(transport::connection)> acceptor();

  void propose(metadata::command what, request_id id, std::uint32_t deadline_ms, reply then) override;
  void barrier(std::uint32_t deadline_ms, std::function<void(result<void>)> then) override;
  std::function<void()> observe(observer f) override;
  [[nodiscard]] member_id leader() const override;
  [[nodiscard]] std::vector<member_id> voters() const override;
  [[nodiscard]] metadata_status status() const;
  /// Whether this node may answer for what it leads, by the clock and nothing else: false as soon as a process runs on
  /// that was stopped for longer than its lease. doc/design/protocols.md, section 3.
  [[nodiscard]] bool may_act() const noexcept;

 private:
  friend class metadata_core;
  struct door;
  metadata_node(metadata_options options, telemetry::logger& log, telemetry::metrics& metrics);

  std::unique_ptr<boost::asio::io_context> io_;
  std::shared_ptr<metadata_core> core_;
  std::shared_ptr<metadata_member> member_;
  std::shared_ptr<door> door_;  ///< what acceptors hold on to
  std::thread thread_;
  std::atomic<bool> started_{false};
  std::atomic<bool> stopped_{false};
};

}  // namespace troupe::actors
