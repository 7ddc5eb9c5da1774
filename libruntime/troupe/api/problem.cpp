#include <troupe/api/problem.hpp>

#include <troupe/api/json.hpp>

namespace troupe::api {
namespace {

constexpr std::string_view type_prefix = "urn:troupe:error:";

errc code_of_status(unsigned status) noexcept {
  switch (status) {
    case 400:
      return errc::invalid_argument;
    case 401:
    case 403:
      return errc::permission_denied;
    case 404:
      return errc::not_found;
    case 408:
    case 504:
      return errc::deadline_exceeded;
    case 409:
      return errc::failed_precondition;
    case 413:
    case 429:
    case 507:
      return errc::resource_exhausted;
    case 501:
      return errc::unsupported;
    case 502:
    case 503:
      return errc::unavailable;
    default:
      return status < 500 ? errc::invalid_argument : errc::internal;
  }
}

}  // namespace

unsigned http_status(errc code) noexcept {
  switch (code) {
    case errc::none:
      return 200;
    case errc::invalid_argument:
      return 400;
    case errc::permission_denied:
      return 403;
    case errc::not_found:
      return 404;
    case errc::already_exists:
    case errc::failed_precondition:
    case errc::aborted:
    case errc::cancelled:
      return 409;
    case errc::user_code:
      return 422;
    case errc::resource_exhausted:
      return 507;
    case errc::unsupported:
      return 501;
    case errc::unavailable:
      return 503;
    case errc::deadline_exceeded:
      return 504;
    case errc::data_loss:
    case errc::corrupted:
    case errc::io_error:
    case errc::internal:
      return 500;
  }
  return 500;
}

problem to_problem(const error& e) {
  problem out;
  const std::string code{to_string(e.code())};
  out.type = std::string(type_prefix) + boost::describe::enum_to_string(e.code(), "internal");
  out.title = code;
  for (auto& c : out.title)
    if (c == '_') c = ' ';
  out.status = http_status(e.code());
  out.detail = e.message();
  return out;
}

error error_from_answer(unsigned status, std::string_view body) {
  const auto read = from_text<problem>(body, "answer");
  if (!read || read->detail.empty())
    return error{code_of_status(status),
                 "the node answered with HTTP status " + std::to_string(status) + " and no explanation"};
  errc code = code_of_status(status);
  std::string_view type = read->type;
  if (type.starts_with(type_prefix)) {
    type.remove_prefix(type_prefix.size());
    if (errc named{}; boost::describe::enum_from_string(std::string(type).c_str(), named) && named != errc::none)
      code = named;
  }
  return error{code, read->detail};
}

}  // namespace troupe::api
