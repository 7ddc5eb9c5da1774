#pragma once
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>

namespace troupe::dataflow {
class block_store;
}
namespace troupe::telemetry {
class metrics;
}

namespace troupe::node {

/// What DIR/ready.json says while the node is ready.
struct ready_note {
  std::string address;
  std::uint32_t pid = 0;
  std::string name;
  troupe::member_id member_id;
};

/// Written beside its place and renamed: who sees it sees all of it.
result<void> write_ready_file(const std::string& directory, const ready_note& note);
void remove_ready_file(const std::string& directory) noexcept;

/// DIR/node.pid, from the moment on that the directory is this process's until it ends: `up` must not start a second
/// node while this one joins, leaves or starts anew.
result<void> write_pid_file(const std::string& directory);
void remove_pid_file(const std::string& directory) noexcept;

/// Gauges of the process and its block store.
void add_node_metrics(telemetry::metrics& metrics, const dataflow::block_store& blocks);

}  // namespace troupe::node
