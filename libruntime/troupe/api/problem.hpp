#pragma once
#include <boost/describe/class.hpp>
#include <string>
#include <troupe/base/error.hpp>

namespace troupe::api {

inline constexpr const char* problem_media_type = "application/problem+json";

/// RFC 7807. Every answer of status 4xx or 5xx has one as its body.
struct problem {
  std::string type;     ///< «urn:troupe:error:not_found»: the code, for programs
  std::string title;    ///< the code in words
  unsigned status = 0;  ///< as of the answer
  std::string detail;   ///< the sentence, for people
};
BOOST_DESCRIBE_STRUCT(problem, (), (type, title, status, detail))

/// The HTTP status that stands for a code: not_found 404, already_exists and failed_precondition 409, unavailable 503…
unsigned http_status(errc code) noexcept;

problem to_problem(const error& e);

/// The error in the body of a failed answer; when the body is no problem, one made of the status.
error error_from_answer(unsigned status, std::string_view body);

}  // namespace troupe::api
