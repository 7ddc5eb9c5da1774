#pragma once
#include <actors/cluster/basp_bridge.hpp>
#include <actors/cluster/metadata_node.hpp>
#include <actors/cluster/node_links.hpp>
#include <actors/data/data_plane.hpp>
#include <actors/data/module_store.hpp>
#include <actors/dataflow/worker_messages.hpp>
#include <actors/dataflow/worker_pool.hpp>
#include <actors/replication/log_plane.hpp>
#include <actors/supervision/cluster_actors.hpp>
#include <actors/supervision/daemon_ports.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <caf/actor_system.hpp>
#include <condition_variable>
#include <optional>
#include <thread>
#include <troupe/dataflow/block_store.hpp>
#include <troupe/storage/data_directory.hpp>
#include <troupe/storage/segment_store.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/telemetry/record_keeper.hpp>
#include <troupe/transport/gate.hpp>

#include "node/daemon/api_services.hpp"
#include "node/daemon/daemon.hpp"
#include "node/daemon/log_plane_port.hpp"
#include "node/daemon/node_security.hpp"

namespace troupe::node {

struct caf_config : actors::basp_config {
  caf_config() {
    actors::add_cluster_messages(*this);
    actors::add_link_messages(*this);
    add_message_types<caf::id_block::troupe_worker>();
  }
};

/// What a daemon is made of. Its parts are in the order of their start (daemon_start.cpp); the destructor and stop()
/// (daemon_stop.cpp) go the other way.
struct daemon::impl {
  impl(configuration given, telemetry::logger& l) : config(std::move(given)), log(l), blocking(blocking_threads) {}

  static constexpr std::size_t blocking_threads = 2;

  configuration config;
  telemetry::logger& log;
  telemetry::metrics metrics;
  std::optional<telemetry::record_keeper> keeper;
  telemetry::journal journal;
  transport::notifier changes;
  std::atomic<bool> ready{false};

  // In the order of their start; the destructor and stop() go the other way.
  std::optional<storage::data_directory> directory;
  storage::identity identity;
  transport::identity card;
  std::optional<node_security> security;
  std::string program;
  boost::asio::io_context io;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  boost::asio::thread_pool blocking;
  std::vector<std::thread> threads;
  std::optional<boost::asio::signal_set> signals;
  std::optional<boost::asio::steady_timer> certificate_timer;
  std::atomic<bool> certificate_warning{false};  ///< said since it was last good
  std::atomic<std::uint64_t> certificate_looks{0};
  std::atomic<bool> looks_at_certificates{false};  ///< one look at a time: it may wait for nodes that are slow
  std::string authority_trouble;                   ///< said since it was last good; of the look
  std::optional<storage::segment_store> segments;
  std::optional<data::module_store> modules;
  std::unique_ptr<dataflow::block_store> blocks;
  std::unique_ptr<actors::metadata_node> metadata;
  std::optional<caf_config> caf_settings;
  std::unique_ptr<caf::actor_system> system;
  std::optional<actors::basp_bridge> bridge;
  std::unique_ptr<actors::worker_pool> pool;
  std::unique_ptr<data::data_plane> data;
  std::unique_ptr<logs::log_plane> logs;
  std::optional<log_plane_port> log_calls;
  std::unique_ptr<actors::daemon_ports> ports;
  std::unique_ptr<actors::cluster_actors> supervisors;
  std::unique_ptr<actors::node_links> links;
  std::optional<api_services> services;
  std::unique_ptr<transport::http_server> http;
  std::optional<transport::gate> gate;
  std::vector<std::function<void()>> unobserve;

  std::mutex seeds_mutex;                                 ///< of identity.seeds
  std::mutex lease_mutex;                                 ///< of the next two
  std::string lease_lost;                                 ///< why; empty: it holds
  std::function<void(const std::string&)> tell_of_lease;  ///< what works on it, once it does
  std::mutex mutex;
  std::condition_variable woken;
  std::optional<ending> end;

  void finish(ending e) {
    const std::lock_guard lock(mutex);
    if (!end) end = std::move(e);
    woken.notify_all();
  }

  /// Worker processes at once: one a slot, and some that serve other modules or are about to end.
  [[nodiscard]] std::uint32_t workers_max() const;
  /// What one task may take, in bytes.
  [[nodiscard]] std::uint64_t task_memory() const {
    return config.task_memory_bytes != 0 ? config.task_memory_bytes : 1ULL << 30;
  }

  result<void> load_identity();
  result<void> load_credentials();
  result<void> ask_for_certificate();
  void watch_certificates();
  void wait_for_certificates();
  void look_at_certificates();
  void renew_certificate();
  void share_authority();
  void note_certificate();
  void refuse_revoked();
  result<void> open_stores();
  result<void> open_gate();
  result<void> join();
  result<void> begin_work();
  void save_seeds();
  void leave();
  void stop();
};

}  // namespace troupe::node
