#pragma once
#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/node_id.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <troupe/base/result.hpp>

/// The one place that speaks CAF 0.17.6's internal messages: hands connected descriptors to its BASP broker, so that
/// CAF itself never listens and never dials.
namespace troupe::actors {

/// Settings every actor_system of ours is made with: no caf-application.ini, a bound on messages per turn, two
/// scheduler threads, no open ports, no heartbeats of CAF's. A caller adds its message types before making the system:
/// `config.load<caf::io::middleman>()` is already done.
///
///   struct my_config : basp_config { my_config() { add_message_types<caf::id_block::troupe_worker>(); } };
class basp_config : public caf::actor_system_config {
 public:
  explicit basp_config(std::size_t scheduler_threads = 2);
};

/// Hands connected sockets to the BASP broker of one actor system. Make it once per system, before any other thread
/// uses the middleman; its functions are then thread-safe. One connection per pair of processes: connecting the same
/// two systems twice makes CAF drop one of them.
class basp_bridge {
 public:
  explicit basp_bridge(caf::actor_system& system);

  /// Accepting side: gives the peer `published` as the actor of this connection. Takes the descriptor, a connected
  /// stream socket, in any case. The peer's handle of `published` works as soon as its connect() has answered.
  void accept(int fd, const caf::actor& published);

  /// Dialling side: waits for the other side's accept() and gives its published actor. Takes the descriptor in any
  /// case. Calls back once, on a CAF thread: deadline_exceeded, or unavailable when the peer closed or published
  /// nothing.
  void connect(int fd, std::chrono::milliseconds deadline, std::function<void(result<caf::actor>)> callback);
  /// The same, waiting. Not on a CAF thread.
  result<caf::actor> connect(int fd, std::chrono::milliseconds deadline);

 private:
  caf::actor_system& system_;
  caf::actor basp_;
};

}  // namespace troupe::actors
