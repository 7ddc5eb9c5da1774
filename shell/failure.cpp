#include <shell/failure.hpp>
#include <troupe/base/invariant.hpp>

namespace troupe::shell {

void throw_exception_from_error(const failure& f, const boost::source_location& where) {
  invariant_failed("result has a value", where.file_name(), static_cast<int>(where.line()), f.message);
}

}  // namespace troupe::shell
