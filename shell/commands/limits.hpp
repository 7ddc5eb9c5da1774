#pragma once
#include <shell/cluster/local_node.hpp>
#include <shell/language/arguments.hpp>

namespace troupe::shell {

/// --slots, --memory, --task-memory and --task-time-limit of `up` and `spawn`.
outcome<node_limits> read_limits(const arguments& given);

}  // namespace troupe::shell
