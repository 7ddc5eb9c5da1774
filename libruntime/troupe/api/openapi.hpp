#pragma once
#include <boost/json/value.hpp>

namespace troupe::api {

/// The document at /api/v1/openapi.json (OpenAPI 3.1). Its schemas are made from the described structs, so that they
/// cannot differ from what is sent.
boost::json::value openapi_document();

}  // namespace troupe::api
