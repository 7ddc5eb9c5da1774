#pragma once

/// Ctrl-C as a flag: commands look at it between steps, so that each can decide what an interruption means.
/// Process-wide, as signals are.
namespace troupe::shell::interrupts {

/// Installs the handlers of SIGINT and SIGPIPE. Called once by main.
void install();

/// True once SIGINT has come since the last `clear`.
bool pending() noexcept;
void clear() noexcept;

/// Becomes readable with an interruption and stays so until `clear`: for the HTTP client's waits.
int descriptor() noexcept;

/// Waits so long, or until an interruption.
void sleep_ms(int duration_ms) noexcept;

}  // namespace troupe::shell::interrupts
