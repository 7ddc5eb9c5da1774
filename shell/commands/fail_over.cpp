#include <chrono>
#include <cstdint>
#include <shell/commands/fail_over.hpp>
#include <shell/session.hpp>
#include <troupe/api/cluster.hpp>

namespace troupe::shell {

void say_fail_over(session& s, const boost::json::array& nodes) {
  std::size_t members = 0;
  std::string leader;
  for (const auto& item : nodes) {
    const auto node = api::from_json<api::node>(item, "node");
    if (!node || node->state == api::node_state::left) continue;
    ++members;
    if (node->role == api::node_role::leader) leader = node->name;
  }
  if (members == 2)
    s.say("two nodes give no fail-over of the metadata: while " + (leader.empty() ? "the voting node" : leader) +
          " is down nothing can be changed; from three nodes on any one may fail");
}

void say_certificates(session& s, const boost::json::array& nodes) {
  constexpr std::int64_t day_ms = 24LL * 60 * 60 * 1000;
  constexpr std::int64_t warn_before_ms = 30 * day_ms;
  const auto now =
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  for (const auto& item : nodes) {
    const auto node = api::from_json<api::node>(item, "node");
    if (!node || !node->certificate_expires_at || node->state == api::node_state::left) continue;
    const auto left = node->certificate_expires_at->unix_ms - now;
    if (left <= 0)
      s.say("the certificate of " + node->name + " has ended: the others refuse it (doc/operating/security.md)");
    else if (left < warn_before_ms)
      s.say("the certificate of " + node->name + " ends in " + std::to_string(left / day_ms) +
            " days and was not renewed: its log says why");
  }
}

}  // namespace troupe::shell
