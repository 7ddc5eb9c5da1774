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
class metadata_holder;
class metadata_follower;

/// What a node knows once it is a member.
struct joined {
  cluster_id cluster;
  std::string name;  ///< as asked for, or as the cluster gave it: to be saved in the node's identity
  member_id holder;
};

struct metadata_status {
  bool holder = false;       ///< this node holds the log
  bool connected = false;    ///< to the holder; always, when it is this node
  bool lease_holds = false;  ///< the holder has confirmed this incarnation within the lease
  log_index applied;         ///< here
  member_id leader;
  std::string leader_address;
};

/// A node's part in the replicated metadata: it holds the log, or it follows the holder. Owned by the daemon. Has a
/// thread of its own for the protocol, heartbeats and apply, and where it holds the log a second one for the disk. All
/// methods may be called from any thread.
///
/// Holder:    proposals ──► group ──► metadata_log (one fdatasync) ──► apply ──► followers
/// Follower:  dials the holder (seeds, then whoever it is told of), gets a snapshot or entries, heartbeats every 100
/// ms, forwards proposals.
///
/// doc/formats/metadata_protocol.md has the frames.
class metadata_node final : public metadata::service {
 public:
  /// Reads the log where there is one. Errors are those of storage::metadata_log::open, and `corrupted` when its
  /// content does not decode.
  static result<std::unique_ptr<metadata_node>> open(metadata_options options, telemetry::logger& log,
                                                     telemetry::metrics& metrics);
  ~metadata_node() override;
  metadata_node(const metadata_node&) = delete;
  metadata_node& operator=(const metadata_node&) = delete;

  /// Starts the threads, joins the cluster and registers this incarnation. `then` comes once, on the metadata thread:
  /// joined, or the reason why this node cannot be a member (a copied directory, a name that is taken), or `cancelled`
  /// when stop() came first. While no holder is reachable it goes on trying.
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
  [[nodiscard]] metadata_status status() const;

 private:
  friend class metadata_core;
  struct door;
  metadata_node(metadata_options options, telemetry::logger& log, telemetry::metrics& metrics);

  std::unique_ptr<boost::asio::io_context> io_;
  std::shared_ptr<metadata_core> core_;
  std::shared_ptr<metadata_holder> holder_;  ///< one of the two
  std::shared_ptr<metadata_follower> follower_;
  std::shared_ptr<door> door_;  ///< what acceptors hold on to
  std::thread thread_;
  std::atomic<bool> started_{false};
  std::atomic<bool> stopped_{false};
};

}  // namespace troupe::actors
