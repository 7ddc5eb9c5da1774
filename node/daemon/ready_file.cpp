#include "node/daemon/ready_file.hpp"

#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <troupe/api/json.hpp>
#include <troupe/dataflow/block_store.hpp>
#include <troupe/storage/file.hpp>
#include <troupe/telemetry/metrics.hpp>

namespace troupe::node {

BOOST_DESCRIBE_STRUCT(ready_note, (), (address, pid, name, member_id))

namespace {

/// Atomic and durable; an error (a full disk) leaves what was there. One that says the same is not written again.
result<void> replace_file(const std::string& directory, std::string_view name, std::string text) {
  text += "\n";
  auto& disk = storage::file_operations::system();
  const auto known = storage::read_file(disk, directory + "/" + std::string(name), 64 << 10);
  if (known && *known == text) return ok();
  const bytes_view part = text;
  return storage::replace_file(disk, directory, name, {&part, 1});
}

/// A line of /proc/self/status in bytes, such as RssAnon.
double status_bytes(const std::string& name) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);)
    if (line.rfind(name + ":", 0) == 0) return std::stod(line.substr(name.size() + 1)) * 1024;
  return 0;
}

}  // namespace

result<void> write_pid_file(const std::string& directory) {
  return replace_file(directory, "node.pid", std::to_string(::getpid()));
}

void remove_pid_file(const std::string& directory) noexcept { ::unlink((directory + "/node.pid").c_str()); }

result<void> write_ready_file(const std::string& directory, const ready_note& note) {
  return replace_file(directory, "ready.json", api::to_text(note));
}

void remove_ready_file(const std::string& directory) noexcept { ::unlink((directory + "/ready.json").c_str()); }

void add_node_metrics(telemetry::metrics& metrics, const dataflow::block_store& blocks) {
  metrics.set_gauge_source("troupe_process_anonymous_bytes", "Private memory of the daemon (RssAnon), without slabs",
                           [] { return status_bytes("RssAnon"); });
  metrics.set_gauge_source("troupe_blocks_budget_bytes", "Shared memory that blocks may use",
                           [&blocks] { return static_cast<double>(blocks.usage().budget_bytes); });
  metrics.set_gauge_source("troupe_blocks_producing_bytes", "Slabs that workers wrote",
                           [&blocks] { return static_cast<double>(blocks.usage().producing_bytes); });
  metrics.set_gauge_source("troupe_blocks_receiving_bytes", "Slabs with blocks of other nodes",
                           [&blocks] { return static_cast<double>(blocks.usage().receiving_bytes); });
  metrics.set_gauge_source("troupe_blocks_spilled_bytes", "Blocks that wait in files",
                           [&blocks] { return static_cast<double>(blocks.usage().spilled_bytes); });
  metrics.set_gauge_source("troupe_blocks_waiting", "Requests that wait for block memory",
                           [&blocks] { return static_cast<double>(blocks.usage().waiting); });
}

}  // namespace troupe::node
