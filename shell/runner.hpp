#pragma once
#include <shell/failure.hpp>
#include <shell/language/lexer.hpp>
#include <string_view>

namespace troupe::shell {

class session;

/// Runs one command; a failure's message has not been printed yet.
outcome<void> run_command(session& s, command_line line);

/// Runs all commands of a text, printing failures as they come. Stops at the first one, unless `keep_going`; an
/// interruption always stops. Returns the status of the first failure.
status run_text(session& s, std::string_view text, bool keep_going);

}  // namespace troupe::shell
