#include <troupe/base/error.hpp>

#include <boost/describe/enum_to_string.hpp>
#include <cerrno>
#include <stdexcept>
#include <system_error>

namespace troupe {

std::string_view to_string(errc code) noexcept { return boost::describe::enum_to_string(code, "unknown"); }

error error::from_errno(std::string_view operation, std::string_view subject, int error_number) {
  const auto code = error_number == ENOENT                             ? errc::not_found
                    : error_number == ENOSPC || error_number == EDQUOT ? errc::resource_exhausted
                    : error_number == EACCES || error_number == EPERM  ? errc::permission_denied
                    : error_number == EEXIST                           ? errc::already_exists
                    : error_number == ENOMEM || error_number == EMFILE ? errc::resource_exhausted
                                                                       : errc::io_error;
  return {code, std::string(operation) + " " + std::string(subject) + ": " +
                    std::error_code(error_number, std::generic_category()).message()};
}

error error::with_context(std::string_view context) const { return {code_, std::string(context) + ": " + message_}; }

void throw_exception_from_error(const error& e, const boost::source_location& where) {
  throw std::logic_error(std::string("unchecked result at ") + where.to_string() + ": " + e.message());
}

}  // namespace troupe
