#pragma once
#include <boost/describe/class.hpp>
#include <string>

namespace troupe::api {

inline constexpr const char* problem_media_type = "application/problem+json";

/// Every answer of status 4xx or 5xx has one as its body (RFC 9457). `transport/problem` writes and reads it; this is
/// its description for the API's document.
struct problem {
  std::string type;     ///< "about:blank": the status says it all
  std::string title;    ///< the status in words
  unsigned status = 0;  ///< as of the answer
  std::string detail;   ///< the sentence, for people
  std::string code;     ///< the name of the error's code, for programs: "not_found"
};
BOOST_DESCRIBE_STRUCT(problem, (), (type, title, status, detail, code))

}  // namespace troupe::api
