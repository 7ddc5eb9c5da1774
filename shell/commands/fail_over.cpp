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

}  // namespace troupe::shell
