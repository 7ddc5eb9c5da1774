#pragma once
#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <optional>
#include <string>
#include <troupe/base/random.hpp>
#include <troupe/metadata/service.hpp>
#include <troupe/transport/awaiting.hpp>
#include <troupe/transport/http_server.hpp>

namespace troupe::actors {
class cluster_actors;
}
namespace troupe::data {
class data_plane;
class module_store;
}  // namespace troupe::data
namespace troupe::telemetry {
class journal;
class logger;
class metrics;
}  // namespace troupe::telemetry

namespace troupe::logs {
struct read_outcome;
}
namespace troupe::api {
struct dataset;
}

namespace troupe::node {

class log_port;
class node_security;

/// What the HTTP handlers reach of the daemon. Owned by the daemon; everything in it outlives the HTTP server.
struct api_services {
  cluster_id cluster;
  member_id self;
  std::string name;  ///< of this node
  std::string cluster_name;
  std::string token;  ///< for handing a request on to another node
  std::string worker_program;
  std::string scratch;  ///< a folder of the data directory, for modules that are being looked at
  metadata::service& metadata;
  data::data_plane& data;
  data::module_store& modules;
  actors::cluster_actors& actors;
  telemetry::journal& journal;
  telemetry::metrics& metrics;
  transport::notifier& changes;           ///< after every applied command and every event
  boost::asio::thread_pool& blocking;     ///< for what waits on a disk, a child process or another node
  std::atomic<bool>& ready;               ///< joined, recovered, and not on its way out
  std::function<void(std::string)> stop;  ///< begins to leave in order; returns at once
  telemetry::logger& log;
  log_port* logs = nullptr;           ///< nothing: this node cannot append yet
  node_security* security = nullptr;  ///< nothing: no certificates here
  bool network_forbidden = false;     ///< to jobs
};

/// A node that stops or is fenced ends what waits in it; to a client that is one more node that can't answer now.
template <class T>
result<T> of_a_node_that_goes(result<T> r) {
  if (!r && (r.error().code() == errc::cancelled || r.error().code() == errc::aborted))
    return error{errc::unavailable, r.error().message()};
  return r;
}

/// Commits a command; the deadline covers the way to the metadata's leader and back. A fresh request id each: HTTP
/// clients that retry do so with a new request.
inline boost::asio::awaitable<result<metadata::response>> propose(api_services& s, metadata::command what,
                                                                  std::uint32_t deadline_ms = 10'000) {
  auto done = co_await transport::await_result<metadata::response>(
      [&](auto then) { s.metadata.propose(std::move(what), request_id::random(), deadline_ms, std::move(then)); },
      transport::after(std::chrono::milliseconds(deadline_ms + 500)));
  co_return of_a_node_that_goes(std::move(done));
}

/// Brings this node's view up to date: what was committed before the call is seen after it.
inline boost::asio::awaitable<result<void>> catch_up(api_services& s, std::uint32_t deadline_ms = 3'000) {
  auto done =
      co_await transport::await_result<void>([&](auto then) { s.metadata.barrier(deadline_ms, std::move(then)); },
                                             transport::after(std::chrono::milliseconds(deadline_ms + 500)));
  co_return of_a_node_that_goes(std::move(done));
}

/// The same for a request that reads: nothing to do when it says `?consistency=stale`, which works while nobody
/// leads the metadata.
inline boost::asio::awaitable<result<void>> catch_up(api_services& s, const transport::http_request& request) {
  const auto wanted = request.query("consistency").value_or("linearizable");
  if (wanted == "stale") co_return ok();
  if (wanted != "linearizable")
    co_return error{errc::invalid_argument,
                    "unknown consistency \"" + std::string(wanted) + "\" (known: linearizable, stale)"};
  auto done = co_await catch_up(s);
  if (!done)
    co_return done.error().with_context(
        "reading the cluster's metadata (add consistency=stale to read what this node knows)");
  co_return done;
}

/// Runs `f`, which may block, on the blocking pool and awaits its result.
template <class T, class F>
boost::asio::awaitable<result<T>> run_blocking(api_services& s, F f, std::chrono::milliseconds deadline) {
  co_return co_await transport::await_result<T>(
      [&](auto then) {
        boost::asio::post(s.blocking, [f = std::move(f), then = std::move(then)]() mutable { then(f()); });
      },
      transport::after(deadline));
}

/// The sentence for a name that is not there.
inline error no_dataset(std::string_view name) {
  return {errc::not_found, "no dataset \"" + std::string(name) + "\"; `datasets` lists those that are there"};
}
inline error no_node(std::string_view name) {
  return {errc::not_found, "no node \"" + std::string(name) + "\"; `nodes` lists them"};
}
inline error logs_not_ready() {
  return {errc::unavailable, "this node's log plane does not run: ask another node, or later"};
}

/// The ready dataset of that name as metadata has it here.
std::optional<api::dataset> find_dataset(const api_services& s, std::string_view name);
/// Asks the node at `address` to stop in order. Blocks.
result<void> ask_to_stop(const api_services& s, const std::string& address, const std::string& name);
/// GET …/records with any of partition, from and wait_ms.
boost::asio::awaitable<void> read_records(api_services& s, transport::http_request& request,
                                          transport::http_response& response);
/// A line of JSON for each record, as …/records answers them.
result<bytes> to_json_lines(const logs::read_outcome& read, partition_index partition);

/// Adds every path of the API to the router. Handlers keep the reference.
void add_cluster_routes(transport::http_router& router, api_services& s);
void add_membership_routes(transport::http_router& router, api_services& s);
void add_dataset_routes(transport::http_router& router, api_services& s);
/// api_import.cpp
boost::asio::awaitable<void> import_dataset(api_services& s, transport::http_request& request,
                                            transport::http_response& response);
void add_log_routes(transport::http_router& router, api_services& s);
void add_append_route(transport::http_router& router, api_services& s);
void add_module_routes(transport::http_router& router, api_services& s);
void add_job_routes(transport::http_router& router, api_services& s);
void add_browser_routes(transport::http_router& router, api_services& s);
void add_security_routes(transport::http_router& router, api_services& s);

}  // namespace troupe::node
