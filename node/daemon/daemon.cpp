#include "node/daemon/daemon.hpp"

#include <signal.h>
#include <unistd.h>

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
#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>
#include <caf/actor_system.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <thread>
#include <troupe/api/json.hpp>
#include <troupe/base/text.hpp>
#include <troupe/base/version.hpp>
#include <troupe/dataflow/block_store.hpp>
#include <troupe/storage/data_directory.hpp>
#include <troupe/storage/segment_store.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/endpoint.hpp>
#include <troupe/transport/gate.hpp>

#include "node/daemon/api_services.hpp"
#include "node/daemon/log_plane_port.hpp"
#include "node/daemon/ready_file.hpp"

namespace troupe::node {
namespace {

using namespace std::chrono_literals;

constexpr auto leave_time_max = 3s;          ///< for telling the others that this node goes
constexpr auto leaderless_time_max = 600ms;  ///< of them, while nobody leads: the last ones of a cluster go unheard
constexpr auto http_grace = 1s;              ///< for requests that are being answered
constexpr unsigned stop_seconds_max = 20;    ///< an orderly stop that takes longer is ended by SIGALRM
constexpr std::size_t io_threads = 2;
constexpr std::size_t blocking_threads = 2;
constexpr std::uint64_t task_memory_default = 1ULL << 30;
constexpr std::uint64_t slab_bytes_max = 16ULL << 20;
constexpr std::uint64_t slab_bytes_min = 2ULL << 20;
constexpr std::uint64_t slabs_min = 8;  ///< of a block store: fewer than that leave no reserves
constexpr std::uint32_t warm_slabs_max = 8;

std::uint64_t machine_memory() {
  return static_cast<std::uint64_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

/// Worker processes at once: one a slot, and some that serve other modules or are about to end.
std::uint32_t workers_max(const configuration& config) {
  const auto slots = config.slots != 0 ? config.slots : std::max(1U, std::thread::hardware_concurrency());
  return slots + std::max(2U, slots / 2);
}

/// Large slabs are mapped seldom; but a small budget has to give every worker two of them, from three quarters of it.
std::uint64_t slab_bytes_for(std::uint64_t budget, std::uint32_t workers) {
  auto bytes = slab_bytes_max;
  while (bytes > slab_bytes_min && (budget / bytes < slabs_min || budget / bytes * 3 / 4 < 2ULL * workers)) bytes /= 2;
  return bytes;
}

/// The program beside this one.
result<std::string> worker_program() {
  std::error_code failure;
  const auto own = std::filesystem::read_symlink("/proc/self/exe", failure);
  const auto path = own.parent_path() / "troupe-worker";
  if (failure || ::access(path.c_str(), X_OK) != 0)
    return error{errc::not_found,
                 "no program troupe-worker beside troupe-node (" + path.string() + "): it runs the tasks"};
  return path.string();
}

struct caf_config : actors::basp_config {
  caf_config() {
    actors::add_cluster_messages(*this);
    actors::add_link_messages(*this);
    add_message_types<caf::id_block::troupe_worker>();
  }
};

}  // namespace

struct daemon::impl {
  impl(configuration given, telemetry::logger& l) : config(std::move(given)), log(l), blocking(blocking_threads) {}

  configuration config;
  telemetry::logger& log;
  telemetry::metrics metrics;
  telemetry::journal journal;
  transport::notifier changes;
  std::atomic<bool> ready{false};

  // In the order of their start; the destructor and stop() go the other way.
  std::optional<storage::data_directory> directory;
  storage::identity identity;
  transport::identity card;
  std::string program;
  boost::asio::io_context io;
  std::optional<boost::asio::executor_work_guard<boost::asio::io_context::executor_type>> work;
  boost::asio::thread_pool blocking;
  std::vector<std::thread> threads;
  std::optional<boost::asio::signal_set> signals;
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

  std::mutex mutex;
  std::condition_variable woken;
  std::optional<ending> end;

  void finish(ending e) {
    const std::lock_guard lock(mutex);
    if (!end) end = std::move(e);
    woken.notify_all();
  }

  result<void> load_identity();
  result<void> open_stores();
  result<void> open_gate();
  result<void> join();
  result<void> begin_work();
  void save_seeds();
  void leave();
  void stop();
};

/// Who this node is: from its directory, or made now. The incarnation grows with every start, before anybody hears of
/// it.
result<void> daemon::impl::load_identity() {
  TROUPE_TRY(auto opened, storage::data_directory::open(config.data));
  directory.emplace(std::move(opened));
  TROUPE_TRY_VOID(write_pid_file(directory->path()));
  TROUPE_TRY(auto known, directory->load_identity());
  if (known) {
    identity = std::move(*known);
    if (!config.name.empty() && !identity.name.empty() && config.name != identity.name)
      return error{errc::invalid_argument, config.data + " belongs to " + identity.name + ", not to " + config.name +
                                               "; leave --name out, or take another directory"};
    // A port that was chosen once stays, so that the others find this node again.
    const auto wanted = transport::parse_endpoint(config.listen);
    if (!wanted) return wanted.error().with_context("--listen");
    if (wanted->port() == 0 && !identity.address.empty()) config.listen = identity.address;
  } else {
    if (!config.bootstrap && config.join.empty())
      return error{
          errc::invalid_argument,
          config.data +
              " is a new node: give --bootstrap to begin a cluster with it, or --join HOST:PORT of one that is there"};
    identity.member_id = member_id::random();
    identity.name = config.name;
    if (config.bootstrap) identity.cluster_id = cluster_id::random();
  }
  for (const auto& seed : config.join)
    if (std::find(identity.seeds.begin(), identity.seeds.end(), seed) == identity.seeds.end())
      identity.seeds.push_back(seed);
  identity.incarnation = identity.incarnation.next();
  TROUPE_TRY(card.token, load_token(config));
  card.cluster = identity.cluster_id;
  card.member = identity.member_id;
  card.incarnation = identity.incarnation;
  return directory->save_identity(identity);
}

/// What a crash left behind: spill files belong to nobody and go. A segment without its seal stays: it may be a log's
/// open one, whose next leader asks for it; the garbage collector takes those that metadata does not know.
result<void> daemon::impl::open_stores() {
  TROUPE_TRY(const auto purged, directory->purge_spill());
  if (purged > 0) log.info("storage", "removed " + std::to_string(purged) + " spill files of an earlier life");
  segments.emplace(directory->segments());
  TROUPE_TRY(const auto there, segments->list());
  for (const auto id : there) {
    const auto reader = segments->open(id);
    if (reader || reader.error().code() == errc::failed_precondition) continue;
    log.warning("storage", "segment " + to_string(id) + " can't be used: " + reader.error().message());
  }
  TROUPE_TRY(auto store, data::module_store::open(directory->modules()));
  modules.emplace(std::move(store));
  dataflow::block_store_options options;
  options.spill_directory = directory->spill();
  options.budget_bytes =
      config.memory_bytes != 0 ? config.memory_bytes : std::min<std::uint64_t>(machine_memory() / 8, 1ULL << 30);
  options.slab_bytes = slab_bytes_for(options.budget_bytes, workers_max(config));
  if (options.budget_bytes < slabs_min * options.slab_bytes)
    return error{errc::invalid_argument, "--memory " + format_bytes(options.budget_bytes) +
                                             " is too little: blocks of jobs need " +
                                             format_bytes(slabs_min * options.slab_bytes) + " at least"};
  options.warm_slabs = static_cast<std::uint32_t>(
      std::min<std::uint64_t>(warm_slabs_max, options.budget_bytes / options.slab_bytes / 4));
  TROUPE_TRY(blocks, dataflow::block_store::open(options));
  config.memory_bytes = options.budget_bytes;
  return ok();
}

result<void> daemon::impl::open_gate() {
  transport::gate_options options;
  TROUPE_TRY(options.listen, transport::parse_endpoint(config.listen));
  gate.emplace(io, options, card, log, metrics);
  return ok();
}

result<void> daemon::impl::join() {
  actors::metadata_options options;
  options.bootstrap = config.bootstrap;
  options.had_log = identity.keeps_log;
  // From now on a directory without the log is a damaged one. Either this thread calls, or it waits for `joined`.
  options.log_begun = [this] {
    if (std::exchange(identity.keeps_log, true)) return;
    if (const auto saved = directory->save_identity(identity); !saved)
      log.warning("node", "remembering that this node keeps the metadata log: " + saved.error().message());
  };
  options.limits.gone_after = std::chrono::milliseconds(config.gone_after_ms);
  options.log_directory = directory->raft();
  options.self = card;
  options.seeds = identity.seeds;
  options.who.id = identity.member_id;
  options.who.incarnation = identity.incarnation;
  options.who.name = identity.name;
  options.who.cores = std::max(1U, std::thread::hardware_concurrency());
  options.who.slots = config.slots != 0 ? config.slots : options.who.cores;
  config.slots = options.who.slots;
  options.who.memory_bytes = config.memory_bytes;
  options.who.pid = static_cast<std::uint32_t>(::getpid());
  options.who.version = version_text;
  options.who.started_at_unix_ms = unix_ms();
  options.fenced = [this](std::string reason) {
    if (pool) pool->kill_all();
    finish({true, "fenced: " + reason});
  };
  TROUPE_TRY(const auto endpoint, transport::parse_endpoint(config.listen));
  options.dial_from = endpoint.address();

  // The port has to be known before the node registers, and the port's handlers need the metadata node: open the gate
  // in between.
  TROUPE_TRY_VOID(open_gate());

  // A gate on port 0 chooses when it starts; it may start now, since peers are refused with `not_ready` until handlers
  // are set.
  TROUPE_TRY_VOID(gate->start());
  const auto address = transport::to_string(gate->local());
  config.listen = identity.address = address;
  TROUPE_TRY_VOID(directory->save_identity(identity));
  TROUPE_TRY_VOID(remember(config));
  options.who.address = address;
  TROUPE_TRY(metadata, actors::metadata_node::open(std::move(options), log, metrics));
  gate->on(transport::protocol::raft, metadata->acceptor());

  std::promise<result<actors::joined>> promise;
  auto joined = promise.get_future();
  auto told = std::make_shared<std::atomic<bool>>(false);
  metadata->start([&promise, told](result<actors::joined> r) {
    if (!told->exchange(true)) promise.set_value(std::move(r));
  });
  log.info("node", "listening on " + address + ", joining");
  // Joining goes on until somebody answers: the user sees why in the log, and SIGTERM ends it.
  while (joined.wait_for(50ms) != std::future_status::ready) {
    const std::lock_guard lock(mutex);
    if (end) {
      if (!told->exchange(true)) promise.set_value(error{errc::cancelled, end->reason});
    }
  }
  auto membership = joined.get();
  if (!membership) return membership.error().with_context("joining the cluster");
  identity.cluster_id = membership->cluster;
  identity.name = membership->name;
  card.cluster = membership->cluster;
  gate->set_identity(card);
  config.name = identity.name;
  TROUPE_TRY_VOID(directory->save_identity(identity));
  return remember(config);
}

/// The addresses of the others, for a restart after all of them have moved on.
void daemon::impl::save_seeds() {
  std::vector<std::string> seeds;
  metadata->read([&](const metadata::state& s) {
    for (const auto& [id, m] : s.members())
      if (id != identity.member_id && m.state != metadata::member_state::left) seeds.push_back(m.address);
    return 0;
  });
  if (seeds.empty() || seeds == identity.seeds) return;
  identity.seeds = std::move(seeds);
  if (const auto saved = directory->save_identity(identity); !saved)
    log.warning("node", "remembering the other nodes: " + saved.error().message());
}

daemon::daemon(configuration c, telemetry::logger& log) : impl_(std::make_unique<impl>(std::move(c), log)) {}
daemon::~daemon() = default;

result<void> daemon::start() {
  auto& d = *impl_;
  TROUPE_TRY(d.program, worker_program());
  TROUPE_TRY_VOID(d.load_identity());
  d.log.info("node", "troupe " + std::string(version_text) + ", member " + to_string(d.identity.member_id) +
                         ", incarnation " + to_string(d.identity.incarnation));
  TROUPE_TRY_VOID(d.open_stores());

  // CAF and the workers' forking thread come before the network threads: the fewer threads there are when the first
  // worker is forked, the better.
  d.caf_settings.emplace();
  d.system = std::make_unique<caf::actor_system>(*d.caf_settings);
  d.bridge.emplace(*d.system);
  actors::worker_pool_options pool;
  pool.worker_program = d.program;
  pool.workers_max = workers_max(d.config);
  pool.memory_bytes = d.config.task_memory_bytes != 0 ? d.config.task_memory_bytes : task_memory_default;
  TROUPE_TRY(d.pool, actors::worker_pool::start(*d.system, *d.bridge, *d.blocks, pool));

  d.work.emplace(d.io.get_executor());
  for (std::size_t i = 0; i < io_threads; ++i) d.threads.emplace_back([&d] { d.io.run(); });
  d.signals.emplace(d.io, SIGTERM, SIGINT);
  d.signals->async_wait([&d](const boost::system::error_code& failure, int number) {
    if (!failure) d.finish({false, number == SIGTERM ? "SIGTERM" : "SIGINT"});
  });
  if (const auto joined = d.join(); !joined) {
    d.stop();
    return joined.error();
  }
  if (const auto begun = d.begin_work(); !begun) {
    d.stop();
    return begun.error();
  }
  return ok();
}

/// From member to working node: supervisors, links, API. Then the port says so.
result<void> daemon::impl::begin_work() {
  data = std::make_unique<data::data_plane>(
      data::data_plane_parts{card, identity.address, *segments, *modules, *blocks, *metadata, journal, metrics, log});
  data->serve(*gate);
  TROUPE_TRY(logs, logs::log_plane::open({card, identity.address, directory->logs(), *segments, *metadata, *data,
                                          journal, metrics, log}));
  logs->serve(*gate);
  log_calls.emplace(*logs);
  ports = std::make_unique<actors::daemon_ports>(*pool, *data, *blocks, *segments);
  actors::cluster_actors_config settings;
  settings.self = identity.member_id;
  settings.incarnation = identity.incarnation;
  settings.name = identity.name;
  settings.slots = config.slots;
  settings.task_memory_bytes = config.task_memory_bytes != 0 ? config.task_memory_bytes : task_memory_default;
  settings.task_time_limit_ms = config.task_time_limit_ms;
  settings.escalated = [this](std::string why) { finish({true, "a supervisor gave up: " + why}); };
  supervisors = std::make_unique<actors::cluster_actors>(*system, *metadata, *ports, journal, settings);
  supervisors->start();

  actors::node_links_parts parts{*system,
                                 *bridge,
                                 io,
                                 *metadata,
                                 log,
                                 card,
                                 transport::parse_endpoint(identity.address)->address(),
                                 supervisors->gateway(),
                                 [this](member_id id, troupe::incarnation inc, caf::actor gateway) {
                                   supervisors->peer_connected(id, inc, std::move(gateway));
                                 },
                                 [this](member_id id) { supervisors->peer_lost(id); }};
  links = std::make_unique<actors::node_links>(std::move(parts));
  links->start();
  gate->on(
      transport::protocol::basp, [this](transport::connection c) { links->accept(std::move(c)); }, true);

  unobserve.push_back(metadata->observe(
      [this](log_index, const metadata::command& c, const result<metadata::response>&, const metadata::state&) {
        changes.notify_all();
        if (std::holds_alternative<metadata::register_member>(c)) boost::asio::post(blocking, [this] { save_seeds(); });
      }));
  unobserve.push_back(journal.observe([this](const telemetry::event& e) {
    changes.notify_all();
    log.info("event", e.kind + ": " + e.text);
  }));

  services.emplace(api_services{identity.cluster_id, identity.member_id, identity.name, config.cluster_name, card.token,
                                program, directory->spill(), *metadata, *data, *modules, *supervisors, journal, metrics,
                                changes, blocking, ready,
                                [this](std::string reason) {
                                  finish({false, std::move(reason)});
                                },
                                &*log_calls});
  transport::http_router router;
  add_cluster_routes(router, *services);
  add_membership_routes(router, *services);
  add_dataset_routes(router, *services);
  add_log_routes(router, *services);
  add_module_routes(router, *services);
  add_job_routes(router, *services);
  transport::http_server_options options;
  options.token = card.token;
  http = std::make_unique<transport::http_server>(options, std::move(router), log, metrics);
  gate->on_http([this](transport::connection c, bytes prefix) { http->serve(std::move(c), std::move(prefix)); });

  add_node_metrics(metrics, *blocks);
  if (const auto written = write_ready_file(
          directory->path(),
          {identity.address, static_cast<std::uint32_t>(::getpid()), identity.name, identity.member_id});
      !written)
    log.warning("node", written.error().message());
  ready = true;
  log.info("node",
           identity.name + " of cluster " + to_string(identity.cluster_id) + " is ready on " + identity.address);
  return ok();
}

ending daemon::run() {
  auto& d = *impl_;
  {
    std::unique_lock lock(d.mutex);
    d.woken.wait(lock, [&] { return d.end.has_value(); });
  }
  remove_ready_file(d.directory->path());
  d.ready = false;
  if (d.end->again) return *d.end;
  d.log.info("node", "leaving: " + d.end->reason);
  ::alarm(stop_seconds_max);  // nothing waits without an end, an orderly stop neither
  d.leave();
  d.stop();
  remove_pid_file(d.directory->path());
  ::alarm(0);
  return *d.end;
}

/// Tells the cluster, so that it need not find out.
void daemon::impl::leave() {
  std::promise<void> told;
  auto done = told.get_future();
  auto once = std::make_shared<std::atomic<bool>>(false);
  auto promise = std::make_shared<std::promise<void>>(std::move(told));
  metadata->propose(metadata::set_member_state{identity.member_id, identity.incarnation, metadata::member_state::left,
                                               "left in order"},
                    request_id::random(), static_cast<std::uint32_t>(std::chrono::milliseconds(leave_time_max).count()),
                    [once, promise](const result<metadata::response>&) {
                      if (!once->exchange(true)) promise->set_value();
                    });
  const auto begun = std::chrono::steady_clock::now();
  auto led = begun;
  while (done.wait_for(20ms) != std::future_status::ready) {
    const auto now = std::chrono::steady_clock::now();
    if (!metadata->leader().is_nil()) led = now;
    if (now - begun < leave_time_max && now - led < leaderless_time_max) continue;
    return log.warning("node", "nobody leads the metadata or answers in time: leaving without the others' knowledge");
  }
}

void daemon::impl::stop() {
  if (http) {
    std::promise<void> closed;
    auto done = closed.get_future();
    http->stop(std::chrono::duration_cast<std::chrono::milliseconds>(http_grace), [&closed] { closed.set_value(); });
    done.wait();
  }
  for (const auto& end_observation : unobserve) end_observation();
  if (links) links->stop();
  if (supervisors) supervisors->stop();
  pool.reset();
  if (gate) gate->stop();
  if (logs) logs->stop();
  if (data) data->stop();
  if (metadata) metadata->stop();
  if (signals) signals->cancel();
  work.reset();
  io.stop();
  for (auto& t : threads) t.join();
  threads.clear();
  blocking.join();
  http.reset();
  links.reset();
  supervisors.reset();
  ports.reset();
  log_calls.reset();
  logs.reset();
  data.reset();
  bridge.reset();
  system.reset();
}

}  // namespace troupe::node
