#pragma once
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <troupe/base/limits.hpp>
#include <troupe/telemetry/log.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/connection.hpp>

namespace troupe::transport {

struct gate_options {
  tcp::endpoint listen;  ///< port 0: any; beyond loopback only with credentials, and then only encrypted
  std::chrono::milliseconds handshake_time_max = limits::handshake_time_max;
  std::size_t unauthenticated_max = limits::connections_unauthenticated_max;
  /// … of one address that is not loopback: a quarter, so that it takes several to push others out.
  std::size_t unauthenticated_per_address_max = limits::connections_unauthenticated_max / 4;
  /// Rude peers share one log line per this time, with a count.
  std::chrono::milliseconds log_interval = std::chrono::seconds(10);
  int backlog = 1024;
};

/// The only listening port of a node: accepts, finds out who it is and which protocol it wants, and hands the
/// connection over. Believes nothing before.
///
/// While more than `unauthenticated_max` connections have not shown who they are, the oldest of them goes when a new
/// one comes: silence can fill the list but can't lock out a peer that answers. One address beyond its share pushes out
/// its own. Out of descriptors, it waits and drops
/// the silent ones instead of spinning. HTTP is told by its first bytes and stays unauthenticated until a request with
/// a token has come (the HTTP server says so).
///
/// Where the identity has credentials, TLS is told by its first byte, and everything else comes within it. Without TLS
/// nobody is served but from one loopback address to another, and not there either if the credentials say so. Peers of
/// all protocols but HTTP must show a certificate of the member that they are.
///
/// Runs on the given context, which must outlive it, as log and metrics must outlive the last thread in the context.
/// Each connection gets a strand. Methods may be called from any thread. Handlers run on the connection's strand and
/// should only hand over (co_spawn, or connection::move_to); what they throw is logged and closes that connection.
class gate {
 public:
  gate(asio::io_context& context, gate_options options, identity self, telemetry::logger& log,
       telemetry::metrics& metrics);
  /// Stops; connections that were handed over stay.
  ~gate();
  gate(const gate&) = delete;
  gate& operator=(const gate&) = delete;

  using handler = std::function<void(connection)>;
  /// For connections that have shaken hands for `p`. `one_per_member`: a second one of the same member and incarnation
  /// is refused while the first lives, a later incarnation displaces it, an earlier one is refused. A protocol without
  /// a handler is refused.
  void on(protocol p, handler f, bool one_per_member = false);
  /// For HTTP: what was read to recognise it, which comes first.
  using http_handler = std::function<void(connection, bytes prefix)>;
  void on_http(http_handler f);

  /// Who this node is, once it knows better (it has joined, or has a new incarnation).
  void set_identity(identity self);
  /// Whether a proven peer is welcome; a code refuses it. Called on its strand, before one_per_member is looked at. For
  /// fencing members that are dead.
  void set_admission(std::function<std::optional<refusal_code>(const peer&)> f);

  /// Binds and listens. `invalid_argument` beyond loopback without credentials, `unavailable` when the port is taken.
  result<void> start();
  /// Closes the port and every connection that has not been handed over yet.
  void stop();

  /// Where it listens, with the port that was chosen.
  [[nodiscard]] tcp::endpoint local() const;
  [[nodiscard]] std::size_t unauthenticated() const;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace troupe::transport
