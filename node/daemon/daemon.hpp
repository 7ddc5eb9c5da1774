#pragma once
#include <memory>
#include <string>
#include <troupe/base/result.hpp>
#include <troupe/telemetry/log.hpp>

#include "node/daemon/configuration.hpp"

namespace troupe::node {

/// Why a daemon's life ended.
struct ending {
  bool again = false;  ///< fenced: execute the program anew with the same data directory (doc/adr/0003)
  std::string reason;
};

/// One node, from its locked data directory to its open port. Made on the main thread, which then waits in `run`.
///
/// Start: lock the directory → identity and a higher incarnation → purge spill, remove unsealed segments → open the
/// metadata log → gate → join (commits the incarnation) → supervisors and links → ready.json, /readyz.
class daemon {
 public:
  daemon(configuration c, telemetry::logger& log);
  ~daemon();
  daemon(const daemon&) = delete;
  daemon& operator=(const daemon&) = delete;

  /// Everything up to the open port and the ready file. On an error nothing runs.
  result<void> start();
  /// Waits for SIGTERM, SIGINT, the API's stop, an escalation or fencing; leaves in order (unless fenced) and returns.
  ending run();

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace troupe::node
