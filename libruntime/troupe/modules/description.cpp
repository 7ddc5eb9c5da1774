#include <boost/describe/enum_from_string.hpp>
#include <boost/describe/enum_to_string.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <troupe/modules/description.hpp>

namespace troupe::modules {
namespace {

namespace json = boost::json;

constexpr int nesting_max = 32;  // of schemas; a module is not trusted to be reasonable
constexpr std::size_t json_nesting_max =
    2 * nesting_max + 8;  // a list and an object for each level, and what is around

json::value fields_to_json(const std::vector<field>& fields) {
  json::array out;
  for (const auto& f : fields)
    out.push_back({{"name", f.name},
                   {"type", boost::describe::enum_to_string(f.type, "")},
                   {"children", fields_to_json(f.children)}});
  return out;
}

template <class Enum>
bool read(const json::value& from, Enum& out) {
  // The names are compared as C strings: a zero within would hide what follows it.
  return from.is_string() && std::string_view(from.get_string()).find('\0') == std::string_view::npos &&
         boost::describe::enum_from_string(from.get_string().c_str(), out);
}

bool read_fields(const json::value& from, std::vector<field>& out, int depth) {
  const auto* all = from.if_array();
  if (all == nullptr || depth > nesting_max) return false;
  for (const auto& one : *all) {
    const auto* object = one.if_object();
    if (object == nullptr) return false;
    const auto* name = object->if_contains("name");
    const auto* type = object->if_contains("type");
    const auto* children = object->if_contains("children");
    if (name == nullptr || type == nullptr || children == nullptr || !name->is_string()) return false;
    field f;
    f.name = std::string_view(name->get_string());
    if (!read(*type, f.type) || !read_fields(*children, f.children, depth + 1)) return false;
    out.push_back(std::move(f));
  }
  return true;
}

json::value shape_to_json(const std::vector<stage_shape>& stages) {
  json::array out;
  for (const auto& stage : stages) {
    json::array branches;
    for (const auto& branch : stage.branches) {
      json::array edges;
      for (const auto& e : branch.edges)
        edges.push_back({{"kind", boost::describe::enum_to_string(e.kind, "")},
                         {"from", static_cast<std::int64_t>(e.from)},
                         {"partition", static_cast<std::int64_t>(e.partition)}});
      branches.push_back(std::move(edges));
    }
    out.push_back({{"name", stage.name},
                   {"partitions", static_cast<std::int64_t>(stage.partitions)},
                   {"branches", std::move(branches)}});
  }
  return out;
}

bool read_number(const json::object& from, const char* name, std::uint32_t& out) {
  const auto* value = from.if_contains(name);
  const auto* number = value == nullptr ? nullptr : value->if_int64();
  if (number == nullptr || *number < 0 || *number > 0xffffffffLL) return false;
  out = static_cast<std::uint32_t>(*number);
  return true;
}

bool read_edges(const json::value& from, std::vector<stage_edge>& out) {
  const auto* all = from.if_array();
  if (all == nullptr || all->size() > edges_max) return false;
  for (const auto& one : *all) {
    const auto* object = one.if_object();
    auto& edge = out.emplace_back();
    if (object == nullptr || !object->contains("kind") || !read(object->at("kind"), edge.kind) ||
        !read_number(*object, "from", edge.from) || !read_number(*object, "partition", edge.partition))
      return false;
  }
  return true;
}

bool read_shape(const json::value& from, std::vector<stage_shape>& out) {
  const auto* all = from.if_array();
  if (all == nullptr || all->size() > stages_max) return false;
  for (const auto& one : *all) {
    const auto* object = one.if_object();
    if (object == nullptr) return false;
    const auto* name = object->if_contains("name");
    const auto* branches = object->if_contains("branches");
    auto& stage = out.emplace_back();
    if (name == nullptr || !name->is_string() || branches == nullptr || branches->if_array() == nullptr ||
        branches->get_array().size() > branches_max || !read_number(*object, "partitions", stage.partitions))
      return false;
    stage.name = std::string_view(name->get_string());
    for (const auto& branch : branches->get_array())
      if (!read_edges(branch, stage.branches.emplace_back().edges)) return false;
  }
  return true;
}

json::value inputs_to_json(const std::vector<job_input>& inputs) {
  json::array out;
  for (const auto& i : inputs)
    out.push_back(
        {{"format", boost::describe::enum_to_string(i.format, "")}, {"schema", fields_to_json(i.schema.fields)}});
  return out;
}

bool read_inputs(const json::value& from, std::vector<job_input>& out) {
  const auto* all = from.if_array();
  if (all == nullptr) return false;
  for (const auto& one : *all) {
    const auto* object = one.if_object();
    auto& input = out.emplace_back();
    if (object == nullptr || !object->contains("format") || !object->contains("schema") ||
        !read(object->at("format"), input.format) || !read_fields(object->at("schema"), input.schema.fields, 0))
      return false;
  }
  return true;
}

json::value outputs_to_json(const std::vector<job_output>& outputs) {
  json::array out;
  for (const auto& o : outputs)
    out.push_back({{"name", o.name},
                   {"schema", fields_to_json(o.schema.fields)},
                   {"branches", static_cast<std::int64_t>(o.branches)}});
  return out;
}

bool read_outputs(const json::value& from, std::vector<job_output>& out) {
  const auto* all = from.if_array();
  if (all == nullptr) return false;
  for (const auto& one : *all) {
    const auto* object = one.if_object();
    auto& output = out.emplace_back();
    if (object == nullptr || !object->contains("name") || !object->contains("schema") ||
        !object->at("name").is_string() || !read_number(*object, "branches", output.branches) ||
        !read_fields(object->at("schema"), output.schema.fields, 0))
      return false;
    output.name = std::string_view(object->at("name").get_string());
  }
  return true;
}

json::value parameters_to_json(const std::optional<std::vector<job_parameter>>& parameters) {
  if (!parameters) return nullptr;
  json::array out;
  for (const auto& p : *parameters) out.push_back({{"name", p.name}, {"about", p.about}});
  return out;
}

bool read_parameters(const json::value& from, std::optional<std::vector<job_parameter>>& out) {
  if (from.is_null()) return true;
  const auto* all = from.if_array();
  if (all == nullptr) return false;
  out.emplace();
  for (const auto& one : *all) {
    const auto* object = one.if_object();
    if (object == nullptr || !object->contains("name") || !object->contains("about") ||
        !object->at("name").is_string() || !object->at("about").is_string())
      return false;
    out->push_back({std::string(std::string_view(object->at("name").get_string())),
                    std::string(std::string_view(object->at("about").get_string()))});
  }
  return true;
}

bool read_job(const json::value& from, job_info& out) {
  const auto* object = from.if_object();
  if (object == nullptr) return false;
  for (const auto* name : {"name", "input_format", "input_schema", "output_format", "output_schema", "stages", "shape",
                           "inputs", "outputs", "parameters"})
    if (!object->contains(name)) return false;
  const auto* name = object->at("name").if_string();
  const auto* stages = object->at("stages").if_int64();
  if (name == nullptr || stages == nullptr || *stages < 1 || *stages > static_cast<std::int64_t>(stages_max))
    return false;
  out.name = std::string_view(*name);
  out.stages = static_cast<std::uint32_t>(*stages);
  if (!read_shape(object->at("shape"), out.shape) || out.shape.size() != out.stages ||
      !read_inputs(object->at("inputs"), out.inputs) || !read_outputs(object->at("outputs"), out.outputs) ||
      !read_parameters(object->at("parameters"), out.parameters))
    return false;
  return read(object->at("input_format"), out.input_format) && read(object->at("output_format"), out.output_format) &&
         read_fields(object->at("input_schema"), out.input_schema.fields, 0) &&
         read_fields(object->at("output_schema"), out.output_schema.fields, 0);
}

}  // namespace

std::string to_json(const module_description& description) {
  json::array jobs;
  for (const auto& job : description.jobs) {
    jobs.push_back({{"name", job.name},
                    {"input_format", boost::describe::enum_to_string(job.input_format, "")},
                    {"input_schema", fields_to_json(job.input_schema.fields)},
                    {"output_format", boost::describe::enum_to_string(job.output_format, "")},
                    {"output_schema", fields_to_json(job.output_schema.fields)},
                    {"stages", static_cast<std::int64_t>(job.stages)},
                    {"shape", shape_to_json(job.shape)},
                    {"inputs", inputs_to_json(job.inputs)},
                    {"outputs", outputs_to_json(job.outputs)},
                    {"parameters", parameters_to_json(job.parameters)}});
  }
  return json::serialize(json::object{{"abi", description.abi}, {"jobs", std::move(jobs)}});
}

std::string to_json(const error& refused) {
  return json::serialize(
      json::object{{"error", {{"code", to_string(refused.code())}, {"message", refused.message()}}}});
}

result<module_description> parse_json(std::string_view text) {
  const error wrong{errc::corrupted,
                    "the worker's description of the module does not parse: " + std::string(text.substr(0, 200))};
  boost::system::error_code failed;
  json::parse_options options;
  options.max_depth = json_nesting_max;
  const auto parsed = json::parse({text.data(), text.size()}, failed, {}, options);
  const auto* object = parsed.if_object();
  if (failed || object == nullptr) return wrong;
  if (const auto* refused = object->if_contains("error")) {
    const auto* parts = refused->if_object();
    errc code = errc::internal;
    if (parts == nullptr || !parts->contains("code") || !parts->contains("message") || !read(parts->at("code"), code) ||
        !parts->at("message").is_string())
      return wrong;
    return error{code, std::string(std::string_view(parts->at("message").get_string()))};
  }
  const auto* abi = object->if_contains("abi");
  const auto* jobs = object->if_contains("jobs");
  if (abi == nullptr || !abi->is_string() || jobs == nullptr || !jobs->is_array()) return wrong;
  module_description out;
  out.abi = std::string_view(abi->get_string());
  for (const auto& one : jobs->get_array()) {
    job_info job;
    if (!read_job(one, job)) return wrong;
    out.jobs.push_back(std::move(job));
  }
  return out;
}

}  // namespace troupe::modules
