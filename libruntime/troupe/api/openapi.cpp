#include <troupe/api/openapi.hpp>

#include <array>
#include <boost/json/parse.hpp>
#include <troupe/api/actors.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/api/datasets.hpp>
#include <troupe/api/jobs.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/api/modules.hpp>
#include <troupe/api/problem.hpp>
#include <troupe/api/security.hpp>
#include <troupe/base/version.hpp>

namespace troupe::api {
namespace {

/// The JSON schema of T; named structs go into `schemas` once and are referred to.
class schema_maker {
 public:
  template <class T>
  json::value of() {
    if constexpr (std::same_as<T, json::value>) {
      return json::object{};
    } else if constexpr (std::same_as<T, json::object>) {
      return json::object{{"type", "object"}};
    } else if constexpr (std::same_as<T, bool>) {
      return json::object{{"type", "boolean"}};
    } else if constexpr (std::is_floating_point_v<T>) {
      return json::object{{"type", "number"}};
    } else if constexpr (std::is_integral_v<T>) {
      json::object out{{"type", "integer"}};
      if constexpr (std::is_unsigned_v<T>) out.emplace("minimum", 0);
      return out;
    } else if constexpr (std::same_as<T, std::string>) {
      return json::object{{"type", "string"}};
    } else if constexpr (std::same_as<T, timestamp>) {
      return json::object{{"type", "string"}, {"format", "date-time"}};
    } else if constexpr (detail::described_enum<T>) {
      json::array names;
      boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto e) { names.emplace_back(e.name); });
      return json::object{{"type", "string"}, {"enum", std::move(names)}};
    } else if constexpr (detail::kind<T>::number) {
      return of<typename T::rep>();
    } else if constexpr (detail::kind<T>::identity) {
      return json::object{{"type", "string"}, {"format", "uuid"}};
    } else if constexpr (detail::kind<T>::optional) {
      return json::object{{"anyOf", json::array{of<typename T::value_type>(), json::object{{"type", "null"}}}}};
    } else if constexpr (detail::kind<T>::vector) {
      return json::object{{"type", "array"}, {"items", of<typename T::value_type>()}};
    } else if constexpr (detail::kind<T>::map) {
      return json::object{{"type", "object"}, {"additionalProperties", of<typename T::mapped_type>()}};
    } else {
      return object<T>();
    }
  }

  template <class T>
  json::value list_of() {
    return json::object{{"type", "object"},
                        {"required", json::array{"items", "next_cursor"}},
                        {"properties", json::object{{"items", of<std::vector<T>>()},
                                                    {"next_cursor", of<std::optional<std::string>>()}}}};
  }

  json::object schemas;

 private:
  template <class T>
  static std::string name_of();

  template <class T>
  json::value object() {
    const auto name = name_of<T>();
    if (!schemas.contains(name)) {
      schemas.emplace(name, nullptr);  // a struct may contain itself (field)
      json::object properties;
      json::array required;
      boost::mp11::mp_for_each<detail::members_of<T>>([&](auto member) {
        using type = std::remove_cvref_t<decltype(std::declval<T>().*member.pointer)>;
        properties.emplace(member.name, of<type>());
        if constexpr (!detail::has_required<T>) required.emplace_back(member.name);
      });
      if constexpr (detail::has_required<T>)
        for (const auto* member : T::required) required.emplace_back(member);
      schemas[name] =
          json::object{{"type", "object"}, {"required", std::move(required)}, {"properties", std::move(properties)}};
    }
    return json::object{{"$ref", "#/components/schemas/" + name}};
  }
};

/// «job_request» of `… [with T = troupe::api::job_request; …]`.
template <class T>
std::string schema_maker::name_of() {
  std::string_view text = __PRETTY_FUNCTION__;
  text.remove_prefix(text.find("T = ") + 4);
  text = text.substr(0, text.find_first_of(";]"));
  return std::string(text.substr(text.rfind(':') + 1));
}

struct parameter {
  const char* name;
  const char* type;  ///< «string», «integer», «boolean»
  const char* text;
  const char* in = "query";
};

struct answer {
  const char* status;
  const char* media_type = nullptr;  ///< null: no body
  json::value schema;
};

constexpr const char* json_type = "application/json";

class document_maker {
 public:
  schema_maker make;
  json::object paths;

  void route(const char* method, const std::string& path, const char* summary, std::vector<parameter> query,
             answer good, std::optional<std::pair<const char*, json::value>> body = {}, bool open = false) {
    json::array parameters;
    for (std::size_t at = path.find('{'); at != std::string::npos; at = path.find('{', at + 1)) {
      const auto name = path.substr(at + 1, path.find('}', at) - at - 1);
      parameters.push_back(json::object{
          {"name", name}, {"in", "path"}, {"required", true}, {"schema", json::object{{"type", "string"}}}});
    }
    for (const auto& p : query)
      parameters.push_back(json::object{
          {"name", p.name}, {"in", p.in}, {"description", p.text}, {"schema", json::object{{"type", p.type}}}});
    json::object success{{"description", "done"}};
    if (good.media_type != nullptr)
      success.emplace("content", json::object{{good.media_type, json::object{{"schema", std::move(good.schema)}}}});
    json::object operation{{"summary", summary}, {"parameters", std::move(parameters)}};
    json::object answers{{good.status, std::move(success)}};
    if (!open)
      answers.emplace(
          "default",
          json::object{{"description", "what went wrong"},
                       {"content", json::object{{problem_media_type, json::object{{"schema", make.of<problem>()}}}}}});
    else
      operation.emplace("security", json::array{});
    operation.emplace("responses", std::move(answers));
    if (body)
      operation.emplace("requestBody",
                        json::object{{"required", true},
                                     {"content", json::object{{body->first, json::object{{"schema", body->second}}}}}});
    if (!paths.contains(path)) paths.emplace(path, json::object{});
    paths[path].get_object().emplace(method, std::move(operation));
  }
};

const json::value binary = json::object{{"type", "string"}, {"format", "binary"}};
const json::value text = json::object{{"type", "string"}};

const std::vector<parameter> paging{{"limit", "integer", "at most so many items"},
                                    {"cursor", "string", "next_cursor of the page before"}};

/// One more answer of a route, of the shape of a problem.
void answer_of(document_maker& d, const char* path, const char* method, const char* status, json::value schema) {
  d.paths[path]
      .at(method)
      .at("responses")
      .get_object()
      .emplace(status, json::object{{"description", "a part is durable"},
                                    {"content",
                                     json::object{{problem_media_type, json::object{{"schema", std::move(schema)}}}}}});
}

/// Answers of an open route besides the good one, which are no problems in JSON.
void answers_of(document_maker& d, const char* path, const char* media_type,
                std::vector<std::pair<const char*, const char*>> statuses) {
  auto& answers = d.paths[path].at("get").at("responses").get_object();
  for (const auto& [status, description] : statuses)
    answers.emplace(status, json::object{{"description", description},
                                         {"content", json::object{{media_type, json::object{{"schema", text}}}}}});
}

void add_cluster_routes(document_maker& d) {
  d.route("get", "/livez", "The process answers", {}, {"200", "text/plain", text}, {}, true);
  d.route("get", "/readyz", "The node has joined and takes requests", {}, {"200", "text/plain", text}, {}, true);
  answers_of(d, "/readyz", "text/plain", {{"503", "not yet, or not any more"}});
  d.route("get", "/metrics", "Counters and histograms for Prometheus", {}, {"200", "text/plain", text});
  d.route("get", "/api/v1/openapi.json", "This document", {}, {"200", json_type, json::object{}});
  d.route("get", "/api/v1/cluster", "The cluster, and the node that answers", {},
          {"200", json_type, d.make.of<cluster>()});
  d.route("get", "/api/v1/nodes", "Members, also dead ones", paging, {"200", json_type, d.make.list_of<node>()});
  d.route("post", "/api/v1/nodes/{name}/stop", "Stops a node in order", {}, {"202", json_type, d.make.of<node>()});
  d.route("get", "/api/v1/nodes/{name}/drain", "What a node that drains still has to give away", {},
          {"200", json_type, d.make.of<drain_progress>()});
  d.route("post", "/api/v1/nodes/{name}/drain", "Moves a node's copies away, so that it may leave", {},
          {"202", json_type, d.make.of<drain_progress>()});
  d.route("delete", "/api/v1/nodes/{name}/drain", "Lets a node that drains take part as before", {},
          {"200", json_type, d.make.of<drain_progress>()});
  d.route("post", "/api/v1/nodes/{name}/remove",
          "Gives up a node that is lost, or stops and removes one that has drained; it may not come back",
          {{"accept_loss", "boolean", "also when it has the only copy of something, which is then lost"}},
          {"204", nullptr, {}});
  d.route("get", "/api/v1/actors", "The tree of actors as it is now", {}, {"200", json_type, d.make.list_of<actor>()});
  d.route("get", "/api/v1/events", "What happened, oldest first",
          {{"after", "integer", "id of the last event seen"},
           {"last", "integer", "only so many of the newest"},
           {"limit", "integer", "at most so many"},
           {"wait_ms", "integer", "waits so long for the first one"}},
          {"200", json_type, d.make.list_of<event>()});
}

void add_data_routes(document_maker& d) {
  d.route("get", "/api/v1/datasets", "Datasets", paging, {"200", json_type, d.make.list_of<dataset_summary>()});
  d.route("get", "/api/v1/datasets/{name}", "A dataset, its partitions, and where their copies are", {},
          {"200", json_type, d.make.of<dataset>()});
  d.route("post", "/api/v1/datasets/{name}", "Imports the body; the dataset appears whole or not at all",
          {{"format", "string", "lines (default), csv or json: objects, one a line"},
           {"schema", "string", "of csv and json, as in «id:int64, name:string?»; read off the first rows by default"},
           {"header", "boolean", "csv: the first row has the names of the columns"},
           {"delimiter", "string", "csv: the character between cells, or «tab»; a comma by default"},
           {"on_error", "string", "fail (default), or skip: wrong rows are left out and kept as NAME_rejected"},
           {"copies", "integer", "of every segment; 2 by default, 1 on a single node"},
           {"partitions", "integer", "how many; by default as the size asks for"},
           {"replace", "boolean", "takes the place of an existing dataset"}},
          {"201", json_type, d.make.of<dataset>()},
          std::pair<const char*, json::value>{"application/octet-stream", binary});
  d.route("put", "/api/v1/datasets/{name}", "Makes an empty dataset, to be appended to", {},
          {"201", json_type, d.make.of<dataset>()},
          std::pair<const char*, json::value>{json_type, d.make.of<dataset_options>()});
  d.route("patch", "/api/v1/datasets/{name}", "Changes how a dataset is kept", {},
          {"200", json_type, d.make.of<dataset>()},
          std::pair<const char*, json::value>{json_type, d.make.of<dataset_changes>()});
  d.route("delete", "/api/v1/datasets/{name}", "Deletes a dataset; refused while a job reads it", {},
          {"204", nullptr, {}});
  d.route("get", "/api/v1/datasets/{name}/export", "The whole dataset in order",
          {{"format", "string", "lines, tsv, csv or json (lines of JSON)"}}, {"200", "text/plain", binary});
  auto& exported = d.paths["/api/v1/datasets/{name}/export"].at("get").at("responses").at("200").at("content");
  for (const auto* other : {"text/csv", "application/x-ndjson"})
    exported.get_object().emplace(other, json::object{{"schema", binary}});
  d.route("get", "/api/v1/datasets/{name}/records",
          "Records, a line of JSON each: the first of the dataset, or of one partition from an offset on",
          {{"limit", "integer", "at most so many; 10 by default, 1000 from an offset on"},
           {"partition", "integer", "of which partition; 0 by default when from is there"},
           {"from", "string", "an offset within the partition, begin, or end (only what is appended from now on)"},
           {"wait_ms", "integer", "waits so long for the first one"}},
          {"200", "application/x-ndjson", d.make.of<dataset_record>()});
  d.route(
      "post", "/api/v1/datasets/{name}/records",
      "Appends records; answers when they are durable. 503 tells which partitions are, when not all of them are",
      {{producer_field, "string", "a UUID: whose append this is", "header"},
       {sequence_field, "integer", "grows with each new append of a producer; the same again is a retry", "header"}},
      {"200", json_type, d.make.of<std::vector<appended_part>>()},
      std::pair<const char*, json::value>{"application/octet-stream", binary});
  answer_of(d, "/api/v1/datasets/{name}/records", "post", "503", d.make.of<append_problem>());
  d.route("post", "/api/v1/datasets/{name}/verify", "Reads and checks every byte of every copy",
          {{"time_max_ms", "integer", "ends after so long with what was found; 10 minutes by default"}},
          {"200", json_type, d.make.of<verification>()});
  d.route("get", "/api/v1/modules", "Loaded modules, by name", paging,
          {"200", json_type, d.make.list_of<module_info>()});
  d.route("post", "/api/v1/modules", "Loads the shared object in the body",
          {{"name", "string", "of the module: its file without .so"}}, {"201", json_type, d.make.of<module_info>()},
          std::pair<const char*, json::value>{"application/octet-stream", binary});
  d.route("delete", "/api/v1/modules/{name}", "Deletes every load under a name; refused while a job runs one", {},
          {"204", nullptr, {}});
}

void add_job_routes(document_maker& d) {
  const std::vector<parameter> wait{
      {"wait_ms", "integer", "answers when the job has ended, at the latest after so long"}};
  d.route("get", "/api/v1/jobs", "Jobs, newest first", paging, {"200", json_type, d.make.list_of<job>()});
  d.route("post", "/api/v1/jobs", "Accepts a job", {}, {"201", json_type, d.make.of<job>()},
          std::pair<const char*, json::value>{json_type, d.make.of<job_request>()});
  d.route("post", "/api/v1/jobs/plan", "What a job would do, without running it", {},
          {"200", json_type, d.make.of<job_plan>()},
          std::pair<const char*, json::value>{json_type, d.make.of<plan_request>()});
  d.route("get", "/api/v1/jobs/{id}", "A job", wait, {"200", json_type, d.make.of<job>()});
  d.route("post", "/api/v1/jobs/{id}/cancel", "Stops a job", {}, {"200", json_type, d.make.of<job>()});
  d.route("get", "/api/v1/jobs/{id}/logs", "What its modules logged, oldest first", paging,
          {"200", json_type, d.make.list_of<job_log_line>()});
}

void add_security_routes(document_maker& d) {
  using body = std::pair<const char*, json::value>;
  d.route("post", "/api/v1/join", "A certificate for a node; the bearer is a join token", {},
          {"200", json_type, d.make.of<join_answer>()}, body{json_type, d.make.of<join_request>()});
  d.route("post", "/api/v1/join/authority", "The authority's key, for a voter that shows its certificate", {},
          {"200", json_type, d.make.of<authority_key>()}, body{json_type, d.make.of<authority_request>()});
  d.route("get", "/api/v1/tokens", "Tokens, without their secrets", paging,
          {"200", json_type, d.make.list_of<token>()});
  d.route("post", "/api/v1/tokens", "Makes a token: with a user for the API, without one to let nodes join", {},
          {"201", json_type, d.make.of<new_token>()}, body{json_type, d.make.of<token_request>()});
  d.route("delete", "/api/v1/tokens/{id}", "Revokes a token", {}, {"204", nullptr, {}});
  d.route("get", "/api/v1/users", "Users and their roles", paging, {"200", json_type, d.make.list_of<user>()});
  d.route("put", "/api/v1/users/{name}", "Makes a user, or gives one another role", {}, {"204", nullptr, {}},
          body{json_type, d.make.of<user_change>()});
  d.route("delete", "/api/v1/users/{name}", "Ends a user, with all tokens", {}, {"204", nullptr, {}});
  d.route("post", "/api/v1/nodes/{name}/revoke", "Stops believing a node's certificate", {}, {"204", nullptr, {}},
          body{json_type, d.make.of<revoke_request>()});
  d.route("post", "/api/v1/links", "Makes a link that lets a browser in once, within a minute", {},
          {"201", json_type, d.make.of<new_link>()}, body{json_type, d.make.of<link_request>()});
  d.route("get", "/login", "Where a link leads: takes its code for a cookie", {{"code", "string", "of the link"}},
          {"303", nullptr, {}}, {}, true);
  d.route("post", "/logout", "Ends a browser's session", {}, {"204", nullptr, {}});
  answers_of(d, "/login", "text/html",
             {{"400", "this is no link's code"},
              {"403", "used, over, or unknown"},
              {"503", "the cluster could not be asked"}});
  d.route("get", "/", "The dashboard", {}, {"200", "text/html", text}, {}, true);
  answers_of(d, "/", "text/html", {{"401", "no session: how to get a link"}});
  d.route("get", "/api/v1/audit", "Who changed what, oldest first",
          {{"after", "integer", "number of the last entry seen"}, {"limit", "integer", "at most so many"}},
          {"200", json_type, d.make.list_of<audit_entry>()});
}

}  // namespace

json::value openapi_document() {
  document_maker d;
  add_cluster_routes(d);
  add_data_routes(d);
  add_job_routes(d);
  add_security_routes(d);
  return json::object{
      {"openapi", "3.1.0"},
      {"info",
       json::object{{"title", "troupe"}, {"version", version_text}, {"license", json::object{{"name", "Apache-2.0"}}}}},
      {"security", json::array{json::object{{"token", json::array{}}}}},
      {"paths", std::move(d.paths)},
      {"components",
       json::object{{"securitySchemes", json::object{{"token", json::object{{"type", "http"}, {"scheme", "bearer"}}}}},
                    {"schemas", std::move(d.make.schemas)}}}};
}

}  // namespace troupe::api
