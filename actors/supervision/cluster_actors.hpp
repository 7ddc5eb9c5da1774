#pragma once
#include <actors/messages.hpp>
#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <troupe/base/result.hpp>
#include <troupe/metadata/service.hpp>

namespace troupe::telemetry {
class journal;
class record_keeper;
}  // namespace troupe::telemetry

namespace troupe::actors {

class node_ports;

/// Adds the cluster's messages to CAF's table. Call once on the configuration, before the actor_system is made.
void add_cluster_messages(caf::actor_system_config& config);

/// What a daemon hands to its cluster actors. Everything outlives `cluster_actors::stop`.
struct cluster_actors_config {
  member_id self;
  troupe::incarnation incarnation;
  std::string name;  ///< of the node
  std::uint32_t slots = 1;
  std::uint64_t task_memory_bytes = 0;   ///< limit of one attempt
  std::uint64_t task_time_limit_ms = 0;  ///< 0: none
  /// Where lines that modules logged outlive the node; outlives the actors. Null: nowhere.
  telemetry::record_keeper* keeper = nullptr;
  std::string job_log_directory;
  std::function<void(std::string)>
      escalated;  ///< a supervisor gave up, with its child's last error; the daemon should end
};

/// The daemon's handle on its supervisors and monitor. Owned by the daemon; thread-safe; callbacks come on CAF's
/// threads and must only hand over.
///
///     cluster_actors actors(system, metadata, ports, journal, config);
///     actors.start();                       // after this node's incarnation is committed
///     actors.peer_connected(id, inc, gw);   // from basp_bridge, for each peer; publish actors.gateway() to them
///     …
///     actors.stop();                        // before the worker pool, the data plane and the actor_system go
class cluster_actors {
 public:
  cluster_actors(caf::actor_system& system, metadata::service& metadata, node_ports& ports, telemetry::journal& journal,
                 cluster_actors_config config);
  ~cluster_actors();
  cluster_actors(const cluster_actors&) = delete;
  cluster_actors& operator=(const cluster_actors&) = delete;

  /// Spawns node supervisor and monitor, observes metadata, takes up the jobs that are supervised here.
  void start();
  /// Stops attempts, quits every actor and waits for them (at most 5 s); nothing is called back afterwards.
  void stop();

  /// What peers send to; publish it on each BASP connection. Valid from `start` to `stop`.
  [[nodiscard]] caf::actor gateway() const;

  void peer_connected(member_id peer, troupe::incarnation incarnation, caf::actor gateway);
  void peer_lost(member_id peer);

  /// This node has lost its lease, and why: its attempts end, and none begins until it has one again (empty).
  void lease_changed(std::string why);

  using clock_duration = std::chrono::milliseconds;
  /// Live numbers of a running job, from its supervisor wherever it is. `not_found` when it has none (ended: see
  /// metadata), `deadline_exceeded`.
  void job_status(job_id job, clock_duration deadline, std::function<void(result<message::job_status>)> then);
  /// Lines after number `after`, at most `limit` and at most 48 KiB of them; also of ended jobs, while their last
  /// supervisor's node remembers.
  void job_logs(job_id job, std::uint64_t after, std::uint32_t limit, clock_duration deadline,
                std::function<void(result<message::job_log_page>)> then);
  /// Every node's actors as they are. A node that does not answer in time has an entry with state `unreachable`.
  void tree(clock_duration deadline, std::function<void(result<std::vector<message::tree_entry>>)> then);

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace troupe::actors
