#pragma once

/// Ctrl-C as a flag: commands look at it between steps, so that each can decide what an interruption means. What asks
/// the program to end (SIGTERM, SIGHUP) ends it at once, but for commands that have something to say before.
/// Process-wide, as signals are.
namespace troupe::shell::interrupts {

/// Installs the handlers of SIGINT and SIGPIPE. Called once by main.
void install();

/// True once SIGINT has come since the last `clear`.
bool pending() noexcept;
void clear() noexcept;

/// While one lives, SIGTERM and SIGHUP are an interruption, too, and do not end the program; a SIGHUP that was ignored
/// (nohup) stays so. One at a time.
class end_is_told {
 public:
  end_is_told();
  ~end_is_told();
  end_is_told(const end_is_told&) = delete;
  end_is_told& operator=(const end_is_told&) = delete;
};

/// The signal that came in such a time and asked the program to end; 0 when none did. It is not cleared.
int end_signal() noexcept;

/// Becomes readable with an interruption and stays so until `clear`: for the HTTP client's waits.
int descriptor() noexcept;

/// Waits so long, or until an interruption.
void sleep_ms(int duration_ms) noexcept;

}  // namespace troupe::shell::interrupts
