#pragma once
#include <string>
#include <troupe/base/result.hpp>

namespace troupe::shell {

/// Exit statuses, as doc/design/architecture.md section 6 promises them.
enum class status : int {
  done = 0,
  failed = 1,
  usage = 2,
  no_cluster = 3,
  hung_up = 129,
  interrupted = 130,
  terminated = 143
};

/// Nothing more is to be done after it, whatever else was asked for.
inline bool is_interruption(status s) {
  return s == status::interrupted || s == status::hung_up || s == status::terminated;
}

/// Why a command ended without having done its work: the exit status and the sentence for stderr (empty when all was
/// said).
struct failure {
  shell::status status = shell::status::failed;
  std::string message;
  bool unavailable = false;  ///< the cluster cannot do it now, and may soon

  failure() = default;
  failure(shell::status s, std::string text) : status(s), message(std::move(text)) {}
  /// What the cluster or the operating system said no to.
  failure(const error& e)
      : message(e.message()),
        unavailable(e.code() == errc::unavailable || e.code() == errc::deadline_exceeded) {
  }  // NOLINT: so that TROUPE_TRY passes errors on
};

inline failure usage_failure(std::string message) { return {status::usage, std::move(message)}; }

template <class T>
using outcome = boost::system::result<T, failure>;

inline outcome<void> done() { return outcome<void>{boost::system::in_place_value}; }

[[noreturn]] void throw_exception_from_error(const failure& f, const boost::source_location& where);

}  // namespace troupe::shell
