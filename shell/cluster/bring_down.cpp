#include <signal.h>

#include <algorithm>
#include <map>
#include <shell/cluster/bring_up.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/api/cluster.hpp>

namespace troupe::shell {
using namespace std::chrono_literals;
namespace {

constexpr auto ask_time_max = 3s;
constexpr auto leave_time_max = 15s;      ///< asked over HTTP: it finishes what it hands over
constexpr auto terminate_time_max = 10s;  ///< after SIGTERM

/// Asked over HTTP; false when it could not be asked.
bool ask_to_stop(const known_cluster& cluster, const std::string& name) {
  if (cluster.addresses.empty()) return false;
  api_client client(cluster);
  client.set_time_max(ask_time_max);
  return client.post("/nodes/" + name + "/stop", {}).has_value();
}

outcome<void> stop_hard(session& s, const local_node& node) {
  if (!running_pid(node.directory)) return done();
  // A paused process takes no SIGTERM until it runs again.
  ::kill(*node.pid, SIGTERM);
  ::kill(*node.pid, SIGCONT);
  if (wait_until_gone(node, terminate_time_max)) return done();
  if (interrupts::pending()) return failure(status::interrupted, "interrupted; " + node.name + " is still stopping");
  s.say(node.name + " (pid " + std::to_string(*node.pid) +
        ") did not end 10 s after SIGTERM and was killed; what was committed is safe");
  ::kill(*node.pid, SIGKILL);
  if (wait_until_gone(node, terminate_time_max)) return done();
  return failure(status::failed, node.name + " (pid " + std::to_string(*node.pid) +
                                     ") does not end even after SIGKILL: it hangs in the kernel, look at its disk");
}

/// Stops some nodes at once; those that were asked get their time.
outcome<void> stop_group(session& s, const known_cluster& cluster, const std::vector<local_node>& group) {
  std::map<std::string, bool> asked;
  for (const auto& node : group) asked[node.name] = !is_paused(*node.pid) && ask_to_stop(cluster, node.name);
  const auto deadline = std::chrono::steady_clock::now() + leave_time_max;
  for (const auto& node : group) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (asked[node.name] && wait_until_gone(node, std::max(left, 0ms))) continue;
    if (interrupts::pending())
      return failure(status::interrupted, "interrupted; " + node.name + " may still be stopping");
    TROUPE_TRY_VOID(stop_hard(s, node));
  }
  return done();
}

}  // namespace

outcome<void> bring_down(session& s, const known_cluster& cluster) {
  std::vector<local_node> others, last;
  std::map<std::string, bool> leads, alive_elsewhere;
  if (!cluster.addresses.empty()) {
    api_client client(cluster);
    client.set_time_max(ask_time_max);
    if (const auto items = client.items("/nodes")) {
      for (const auto& item : *items) {
        const auto node = api::from_json<api::node>(item, "node");
        if (!node) continue;
        leads[node->name] = node->leader;
        if (node->state == api::node_state::alive) alive_elsewhere[node->name] = true;
      }
    }
  }
  for (const auto& node : local_nodes(cluster)) {
    alive_elsewhere.erase(node.name);
    if (node.pid) (leads[node.name] ? last : others).push_back(node);
  }
  for (const auto& [name, alive] : alive_elsewhere)
    if (!ask_to_stop(cluster, name)) s.say(name + " has its data in another place and could not be asked to stop");
  TROUPE_TRY_VOID(stop_group(s, cluster, others));
  return stop_group(s, cluster, last);
}

}  // namespace troupe::shell
