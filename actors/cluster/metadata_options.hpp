#pragma once
#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <troupe/base/limits.hpp>
#include <troupe/metadata/model.hpp>
#include <troupe/storage/file.hpp>
#include <troupe/transport/handshake.hpp>
#include <vector>

namespace troupe::actors {

/// The times and limits of the metadata service, each with its reason. Tests shorten the times.
struct metadata_limits {
  std::chrono::milliseconds heartbeat_interval = limits::heartbeat_interval;
  std::chrono::milliseconds suspect_after{500};
  std::chrono::milliseconds lease = limits::lease_time;
  std::chrono::milliseconds tick{20};  ///< deadlines and verdicts are looked at this often
  std::chrono::milliseconds probe_interval{
      20};  ///< between dials of a member whose connection ended: is its port still served?
  std::chrono::milliseconds dial_time_max{1000};
  std::chrono::milliseconds redial_min{20};        ///< backoff, doubling
  std::chrono::milliseconds redial_max{500};       ///< below the lease, so that a returning voter is found in time
  std::chrono::milliseconds write_time_max{5000};  ///< for a peer to take up a frame

  std::chrono::milliseconds raft_heartbeat{40};     ///< of consensus, well below the election timeout
  std::chrono::milliseconds election_timeout{150};  ///< a voter campaigns after 1 to 2 times this much silence
  std::chrono::milliseconds disk_stall_max{300};    ///< a leader whose disk takes longer gives way
  std::chrono::milliseconds campaign_step{40};  ///< between voters that know that the leader's process is gone: they
                                                ///< campaign one after the other
  std::chrono::milliseconds gone_after{std::chrono::minutes(10)};  ///< away for so long: another member gets its vote

  std::size_t requests_max = 20'000;         ///< under way on one node; then `resource_exhausted`
  std::size_t request_bytes_max = 64 << 20;  ///< of them together
  std::size_t command_bytes_max = 1 << 20;   ///< of one: it travels in one frame
  std::uint64_t snapshot_entries = 50'000;   ///< a restart replays no more
  std::uint64_t snapshot_log_bytes = 32 << 20;
  std::size_t entries_kept = 1024;  ///< behind a snapshot, in memory and on disk: who is less late needs no snapshot
};

struct metadata_options {
  /// Begins a new cluster with this node as its only voter, when there is no log yet. Without it a node without a log
  /// joins the cluster of its seeds.
  bool bootstrap = false;
  /// This member has kept a log before (its identity says so): a missing one is a loss, and refused.
  bool had_log = false;
  /// Which cluster the log will belong to; to be remembered before it returns, so that a node that is killed while it
  /// joins finds its own log again. From `open`, or on the metadata thread. May be empty.
  std::function<void(const cluster_id&)> log_begins;
  /// The log is on the disk from now on; to be remembered (`had_log`) before it returns. From `open`, or on the
  /// metadata thread. May be empty.
  std::function<void()> log_begun;
  std::string log_directory;  ///< raft/
  transport::identity self;   ///< cluster may be nil for a node that has not joined yet
  metadata::member
      who;  ///< what register_member says; id and incarnation are those of `self`; name empty: the cluster gives one
  std::vector<std::string> seeds;                     ///< addresses of members
  std::optional<boost::asio::ip::address> dial_from;  ///< outgoing connections leave from here
  metadata_limits limits;
  storage::file_operations* files = &storage::file_operations::system();  ///< tests hand in a disk that fails
  /// This incarnation is no longer a member: it was found dead, left, or another start of the same directory is known.
  /// Called once, on the metadata thread. The node must end its workers and start anew with a higher incarnation. May
  /// be empty.
  std::function<void(std::string reason)> fenced;
  /// By its own clock this node has lost its lease, and why: others may have given it up, so it must stop what it leads
  /// and computes. Empty: it has one again. On the metadata thread. May be empty.
  std::function<void(std::string why)> lease_changed;
};

}  // namespace troupe::actors
