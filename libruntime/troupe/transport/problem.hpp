#pragma once
#include <string>
#include <string_view>
#include <troupe/base/bytes.hpp>
#include <troupe/base/error.hpp>

/// Errors on HTTP: application/problem+json (RFC 9457) with one member more, `code`, the name of the errc, so that a
/// client gets back what the server had.
namespace troupe::transport {

int to_http_status(errc code) noexcept;

/// {"type":"about:blank","title":"Not Found","status":404,"detail":"no dataset \"x\"","code":"not_found"}
std::string problem_json(int status, std::string_view detail, errc code);

/// The error in a response: from problem+json, else the status and the first 200 characters of the body.
error problem_error(int status, std::string_view content_type, bytes_view body);

}  // namespace troupe::transport
