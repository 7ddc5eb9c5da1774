#include "actors/cluster/basp_bridge.hpp"

#include <fcntl.h>

#include <caf/event_based_actor.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/network/multiplexer.hpp>
#include <caf/send.hpp>
#include <future>
#include <set>
#include <string>

namespace troupe::actors {

namespace {

/// BASP names a published actor by a port. Publishing and greeting are one message to the broker, so one port serves
/// every connection, each with its own actor.
constexpr std::uint16_t bridge_port = 1;

/// CAF's streams need a descriptor that never blocks; it sets the other flags itself.
void make_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

}  // namespace

basp_config::basp_config(std::size_t scheduler_threads) {
  load<caf::io::middleman>();
  // Sharing sleeps on a condition variable; stealing polls, and a dozen idle workers that poll are a load.
  set("scheduler.policy", caf::atom("sharing"));
  set("scheduler.max-threads", scheduler_threads);
  // Without a bound, an actor that sends to itself never yields, and BASP's own workers starve.
  set("scheduler.max-throughput", std::size_t{50});
  set("middleman.enable-automatic-connections", false);
  set("middleman.heartbeat-interval", caf::timespan{0});
}

basp_bridge::basp_bridge(caf::actor_system& system)
    : system_(system), basp_(system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP"))) {}

void basp_bridge::accept(int fd, const caf::actor& published) {
  make_nonblocking(fd);
  caf::anon_send(basp_, caf::publish_atom_v, system_.middleman().backend().new_scribe(fd), bridge_port,
                 caf::actor_cast<caf::strong_actor_ptr>(published), std::set<std::string>{});
}

void basp_bridge::connect(int fd, std::chrono::milliseconds deadline,
                          std::function<void(result<caf::actor>)> callback) {
  make_nonblocking(fd);
  auto scribe = system_.middleman().backend().new_scribe(fd);
  // An actor of its own waits for the answer, and ends with it: nothing is left registered. (The broker is an argument,
  // and not captured, because CAF dereferences a null pointer to the arguments where there are none.)
  system_.spawn(
      [scribe, deadline, callback = std::move(callback)](caf::event_based_actor* self, const caf::actor& basp) mutable {
        self->request(basp, deadline, caf::connect_atom_v, std::move(scribe), bridge_port)
            .then(
                [callback](const caf::node_id&, caf::strong_actor_ptr& peer, const std::set<std::string>&) {
                  if (peer)
                    callback(caf::actor_cast<caf::actor>(peer));
                  else
                    callback(error{errc::unavailable, "the peer's actor system greeted, but published no actor"});
                },
                [callback](const caf::error& why) {
                  const bool late = why == caf::sec::request_timeout;
                  callback(error{late ? errc::deadline_exceeded : errc::unavailable,
                                 "handshake of the actor systems: " + caf::to_string(why)});
                });
      },
      basp_);
}

result<caf::actor> basp_bridge::connect(int fd, std::chrono::milliseconds deadline) {
  auto answer = std::make_shared<std::promise<result<caf::actor>>>();
  auto future = answer->get_future();
  connect(fd, deadline, [answer](result<caf::actor> r) { answer->set_value(std::move(r)); });
  return future.get();
}

}  // namespace troupe::actors
