#include <boost/json/serialize.hpp>
#include <set>
#include <support/catch.hpp>
#include <troupe/api/openapi.hpp>

namespace json = boost::json;

namespace {
void collect_references(const json::value& value, std::set<std::string>& out) {
  if (const auto* object = value.if_object()) {
    for (const auto& [name, member] : *object) {
      if (name == "$ref") out.insert(std::string(member.get_string()));
      collect_references(member, out);
    }
  }
  if (const auto* array = value.if_array())
    for (const auto& element : *array) collect_references(element, out);
}
}  // namespace

TEST_CASE("the OpenAPI document has every route and defines what it refers to") {
  const auto document = troupe::api::openapi_document();
  const auto& paths = document.at("paths").get_object();
  for (const auto* path : {"/livez",
                           "/readyz",
                           "/metrics",
                           "/api/v1/cluster",
                           "/api/v1/nodes",
                           "/api/v1/nodes/{name}/stop",
                           "/api/v1/nodes/{name}/drain",
                           "/api/v1/nodes/{name}/remove",
                           "/api/v1/datasets/{name}/verify",
                           "/api/v1/datasets",
                           "/api/v1/datasets/{name}",
                           "/api/v1/datasets/{name}/export",
                           "/api/v1/datasets/{name}/records",
                           "/api/v1/modules",
                           "/api/v1/modules/{name}",
                           "/api/v1/jobs",
                           "/api/v1/jobs/{id}",
                           "/api/v1/jobs/{id}/cancel",
                           "/api/v1/jobs/{id}/logs",
                           "/api/v1/actors",
                           "/api/v1/events",
                           "/api/v1/join",
                           "/api/v1/join/authority",
                           "/api/v1/tokens",
                           "/api/v1/tokens/{id}",
                           "/api/v1/users",
                           "/api/v1/users/{name}",
                           "/api/v1/nodes/{name}/revoke",
                           "/api/v1/audit",
                           "/api/v1/links",
                           "/login",
                           "/logout",
                           "/",
                           "/api/v1/openapi.json"})
    CHECK(paths.contains(path));
  for (const auto* method : {"get", "put", "patch", "post", "delete"})
    CHECK(paths.at("/api/v1/datasets/{name}").get_object().contains(method));
  const auto& append = paths.at("/api/v1/datasets/{name}/records").at("post");
  CHECK(append.at("responses").get_object().contains("503"));
  CHECK(append.at("parameters").get_array().back().at("in").get_string() == "header");
  std::set<std::string> references;
  collect_references(document, references);
  CHECK(references.size() > 10);
  for (const auto& reference : references) {
    INFO(reference);
    CHECK(document.at("components").at("schemas").get_object().contains(reference.substr(reference.rfind('/') + 1)));
  }
  const auto& job = document.at("components").at("schemas").at("job").at("properties").get_object();
  CHECK(job.at("started_at").at("anyOf").get_array().size() == 2);
  CHECK(job.at("state").at("enum").get_array().size() == 5);
}
