#pragma once
#include <shell/failure.hpp>

namespace troupe::shell {

class session;

/// The interactive shell, until `quit` or Ctrl-D. Returns the status of the last command.
status run_interactively(session& s);

}  // namespace troupe::shell
