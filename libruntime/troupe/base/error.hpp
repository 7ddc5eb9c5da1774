#pragma once
#include <boost/assert/source_location.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace troupe {

/// Few codes, many messages: a caller branches on the code, a person reads the message.
enum class errc : std::uint8_t {
  none,
  invalid_argument,     ///< the request itself is wrong; repeating it cannot help
  not_found,            ///< what was named does not exist
  already_exists,       ///< a name is taken
  permission_denied,    ///< no token, a wrong token, or not allowed
  failed_precondition,  ///< right in itself, but not in the present state (a dataset in use, a fenced epoch)
  resource_exhausted,   ///< a limit was reached: memory, disk, queue, attempts
  unavailable,          ///< a peer or the metadata cannot be reached now; repeating it later may help
  deadline_exceeded,    ///< no answer in time
  cancelled,            ///< somebody asked for it to stop
  aborted,              ///< lost against somebody else (compare-and-set, newer epoch)
  data_loss,            ///< bytes are damaged or gone on every copy
  corrupted,            ///< these bytes are damaged; another copy may be whole
  unsupported,          ///< a version, a codec or an operation this build does not know
  io_error,             ///< the operating system said no; the message has errno's words
  user_code,            ///< a module's own code threw or died
  internal,             ///< a defect of ours
};
BOOST_DESCRIBE_ENUM(errc, none, invalid_argument, not_found, already_exists, permission_denied, failed_precondition,
                    resource_exhausted, unavailable, deadline_exceeded, cancelled, aborted, data_loss, corrupted,
                    unsupported, io_error, user_code, internal)

std::string_view to_string(errc code) noexcept;

/// An operating error as a value. The message is one sentence that names what failed and where; context is added on the
/// way up.
class [[nodiscard]] error {
 public:
  error() = default;
  error(errc code, std::string message) : code_(code), message_(std::move(message)) {}

  /// From errno, e.g. `error::from_errno("open", path, errno)` gives «open /x/y: Permission denied».
  static error from_errno(std::string_view operation, std::string_view subject, int error_number);

  [[nodiscard]] errc code() const noexcept { return code_; }
  [[nodiscard]] const std::string& message() const noexcept { return message_; }

  /// The same error with «context: » before its message.
  [[nodiscard]] error with_context(std::string_view context) const;

  friend bool operator==(const error&, const error&) = default;

  template <class Stream>
  friend Stream& operator<<(Stream& out, const error& e) {
    out << to_string(e.code()) << ": " << e.message();
    return out;
  }

 private:
  errc code_ = errc::none;
  std::string message_;
};

/// What boost::system::result calls when value() meets an error: a defect of the caller, who should have looked.
[[noreturn]] void throw_exception_from_error(const error& e, const boost::source_location& where);

}  // namespace troupe
