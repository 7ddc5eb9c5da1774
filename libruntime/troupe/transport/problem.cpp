#include <boost/describe/enumerators.hpp>
#include <boost/json.hpp>
#include <boost/mp11/algorithm.hpp>
#include <troupe/base/utf8.hpp>
#include <troupe/transport/http_message.hpp>
#include <troupe/transport/problem.hpp>

namespace troupe::transport {

namespace {
errc from_http_status(int status) noexcept {
  switch (status) {
    case 400:
    case 411:
    case 413:
    case 415:
    case 422:
    case 431:
      return errc::invalid_argument;
    case 401:
    case 403:
    case 421:
      return errc::permission_denied;
    case 404:
      return errc::not_found;
    case 405:
    case 501:
      return errc::unsupported;
    case 409:
      return errc::failed_precondition;
    case 429:
    case 507:
      return errc::resource_exhausted;
    case 503:
      return errc::unavailable;
    case 408:
    case 504:
      return errc::deadline_exceeded;
    default:
      return errc::internal;
  }
}

errc parse_code(std::string_view name, errc fallback) {
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<errc>>([&](auto one) {
    if (name == one.name) fallback = one.value;
  });
  return fallback;
}
}  // namespace

int to_http_status(errc code) noexcept {
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
    case errc::cancelled:
    case errc::aborted:
      return 409;
    case errc::user_code:
      return 422;
    case errc::resource_exhausted:
      return 429;
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

std::string problem_json(int status, std::string_view detail, errc code) {
  boost::json::object problem;
  problem["type"] = "about:blank";
  problem["title"] = reason_phrase(status);
  problem["status"] = status;
  problem["detail"] = valid_utf8(detail);  // it may repeat what somebody sent
  problem["code"] = to_string(code);
  return boost::json::serialize(problem);
}

error problem_error(int status, std::string_view content_type, bytes_view body) {
  const auto fallback = from_http_status(status);
  if (content_type.substr(0, content_type.find(';')) == "application/problem+json") {
    boost::system::error_code failure;
    const auto parsed = boost::json::parse(body, failure);
    if (!failure && parsed.is_object()) {
      const auto& problem = parsed.get_object();
      const auto text = [&](const char* name) {
        const auto* found = problem.if_contains(name);
        return found != nullptr && found->is_string() ? std::string(found->get_string()) : std::string();
      };
      auto detail = text("detail");
      if (detail.empty()) detail = text("title");
      if (!detail.empty()) return {parse_code(text("code"), fallback), detail};
    }
  }
  auto message = "HTTP " + std::to_string(status) + " " + std::string(reason_phrase(status));
  if (!body.empty()) message += ": " + std::string(body.substr(0, 200));
  return {fallback, message};
}

}  // namespace troupe::transport
