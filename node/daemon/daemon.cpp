#include "node/daemon/daemon.hpp"

#include <signal.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <filesystem>
#include <troupe/base/version.hpp>
#include <troupe/transport/endpoint.hpp>

#include "node/daemon/access.hpp"
#include "node/daemon/daemon_impl.hpp"
#include "node/daemon/ready_file.hpp"

namespace troupe::node {
namespace {

constexpr unsigned stop_seconds_max = 20;  ///< an orderly stop that takes longer is ended by SIGALRM
constexpr std::size_t io_threads = 2;
constexpr std::uint64_t append_on_log_thread_bytes_max = 128 << 10;

constexpr std::size_t appends_to_go = 2;    ///< under way at most, for a connection to go to the log thread
constexpr std::size_t appends_to_stay = 8;  ///< and to stay there

/// A small append is handled by the thread that carries it out: the way there and back costs as much as all the rest.
/// Large ones are read and converted beside it, and of many at once the HTTP part is shared among the network's
/// threads.
std::optional<boost::asio::any_io_executor> place_of_append(const transport::http_head& head, bool away,
                                                            const logs::log_plane& logs) {
  const auto path = std::string_view(head.target).substr(0, head.target.find('?'));
  if (head.method != "POST" || !path.ends_with("/records")) return std::nullopt;
  if (!head.content_length || *head.content_length > append_on_log_thread_bytes_max) return std::nullopt;
  if (logs.appends_under_way() > (away ? appends_to_stay : appends_to_go)) return std::nullopt;
  return logs.executor();
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

}  // namespace

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
  pool.workers_max = d.workers_max();
  pool.memory_bytes = d.task_memory();
  pool.scratch_directory = d.directory->spill();
  pool.network = d.config.worker_network == "forbidden" ? actors::worker_network::forbidden
                 : d.config.worker_network == "allowed" ? actors::worker_network::allowed
                                                        : actors::worker_network::on_request;
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
  logs::log_plane_parts of_logs{card,  identity.address, directory->logs(), *segments, *metadata,
                                *data, journal,          metrics,           log};
  of_logs.may_act = [m = metadata.get()] { return m->may_act(); };
  TROUPE_TRY(logs, logs::log_plane::open(std::move(of_logs)));
  logs->serve(*gate);
  log_calls.emplace(*logs);
  ports = std::make_unique<actors::daemon_ports>(*pool, *data, *blocks, *segments);
  actors::cluster_actors_config settings;
  settings.self = identity.member_id;
  settings.incarnation = identity.incarnation;
  settings.name = identity.name;
  settings.slots = config.slots;
  settings.task_memory_bytes = task_memory();
  settings.task_time_limit_ms = config.task_time_limit_ms;
  settings.keeper = &*keeper;
  settings.job_log_directory = directory->job_logs();
  settings.escalated = [this](const std::string& why) { finish({true, "a supervisor gave up: " + why}); };
  supervisors = std::make_unique<actors::cluster_actors>(*system, *metadata, *ports, journal, settings);
  supervisors->start();

  {
    const std::lock_guard lock(lease_mutex);
    tell_of_lease = [this](const std::string& why) {
      logs->lease_changed(why);
      supervisors->lease_changed(why);
      if (!why.empty())
        journal.append("lease_lost", identity.name, identity.name + " leads no logs and runs no tasks: " + why);
    };
    if (!lease_lost.empty()) tell_of_lease(lease_lost);
  }

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
  save_seeds();  // those that were there before this node looked
  unobserve.push_back(journal.observe([this](const telemetry::event& e) {
    changes.notify_all();
    log.info("event", e.kind + ": " + e.text);
  }));

  services.emplace(api_services{identity.cluster_id,
                                identity.member_id,
                                identity.name,
                                config.cluster_name,
                                card.token,
                                program,
                                directory->spill(),
                                *metadata,
                                *data,
                                *modules,
                                *supervisors,
                                journal,
                                metrics,
                                changes,
                                blocking,
                                ready,
                                [this](std::string reason) {
                                  finish({false, std::move(reason)});
                                },
                                log,
                                &*log_calls,
                                &*security,
                                config.worker_network == "forbidden"});
  transport::http_router router;
  add_cluster_routes(router, *services);
  add_membership_routes(router, *services);
  add_dataset_routes(router, *services);
  add_log_routes(router, *services);
  add_module_routes(router, *services);
  add_job_routes(router, *services);
  add_security_routes(router, *services);
  add_browser_routes(router, *services);
  transport::http_server_options options;
  options.authenticate = [this](std::string_view bearer, const transport::connection& stream) {
    return find_caller(*services, bearer, stream);
  };
  options.cookie = cookie_name(identity.cluster_id);
  options.authenticate_cookie = [this](std::string_view value) { return find_session(*services, value); };
  options.rate.per_second = config.requests_per_second;
  options.rate.burst = 2.0 * config.requests_per_second;
  // Appends are data: who wrote which record is for the datasets to say.
  options.deed = [this](transport::http_deed deed) {
    if (!deed.what.ends_with("/records")) note_deed(*services, std::move(deed));
  };
  options.place = [this](const transport::http_head& head, bool away) { return place_of_append(head, away, *logs); };
  http = std::make_unique<transport::http_server>(options, std::move(router), log, metrics);
  gate->on_http([this](transport::connection c, bytes prefix) { http->serve(std::move(c), std::move(prefix)); });

  add_node_metrics(metrics, *blocks);
  watch_certificates();
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
  d.ready = false;
  // One that starts anew keeps pid and address, and might find no room for the file any more; /readyz says the rest.
  if (d.end->again) return *d.end;
  remove_ready_file(d.directory->path());
  d.log.info("node", "leaving: " + d.end->reason);
  ::alarm(stop_seconds_max);  // nothing waits without an end, an orderly stop neither
  d.leave();
  d.stop();
  remove_pid_file(d.directory->path());
  ::alarm(0);
  return *d.end;
}

}  // namespace troupe::node
