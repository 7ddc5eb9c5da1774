#include <algorithm>
#include <set>
#include <troupe/base/engine_parameters.hpp>
#include <troupe/base/nearest.hpp>
#include <troupe/base/text.hpp>
#include <troupe/metadata/checks.hpp>

namespace troupe::metadata::checks {
namespace {

error wrong(std::string message) { return {errc::invalid_argument, std::move(message)}; }

result<void> fields(const std::vector<field>& list, std::string_view what, std::size_t depth, std::size_t& count) {
  if (depth > schema_depth_max)
    return wrong("the schema of " + std::string(what) + " is nested deeper than " + std::to_string(schema_depth_max) +
                 " levels");
  count += list.size();
  if (count > schema_fields_max)
    return wrong("the schema of " + std::string(what) + " has more than " + std::to_string(schema_fields_max) +
                 " fields");
  for (const auto& f : list) {
    if (f.type > field_type::record)
      return wrong("field " + f.name + " of " + std::string(what) + " has a type that this build does not know");
    if (f.name.size() > 128) return wrong("a field name of " + std::string(what) + " is longer than 128 bytes");
    const bool one_child = f.type == field_type::optional || f.type == field_type::list;
    const bool fits = one_child ? f.children.size() == 1 : f.type == field_type::record || f.children.empty();
    if (!fits) return wrong("field " + f.name + " of " + std::string(what) + " does not fit its type");
    TROUPE_TRY_VOID(fields(f.children, what, depth + 1, count));
  }
  return ok();
}

bool lower_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

std::string shorten(std::string text) {
  if (text.size() <= text_bytes_max) return text;
  std::size_t end = text_bytes_max - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
  text.resize(end);
  return text + "…";
}

result<void> format(data_format f) {
  if (f > data_format::bytes)
    return wrong("format " + std::to_string(static_cast<int>(f)) + " is not known to this build");
  return ok();
}

result<void> schema(const troupe::schema& s, std::string_view what) {
  std::size_t count = 0;
  return fields(s.fields, what, 1, count);
}

result<void> readable_as(const troupe::schema& has, const troupe::schema& wants, std::string_view dataset,
                         std::string_view job) {
  for (std::size_t i = 0; i < wants.fields.size(); ++i) {
    const auto& wanted = wants.fields[i];
    if (i < has.fields.size() ? has.fields[i] == wanted : wanted.type == field_type::optional) continue;
    const auto found = i < has.fields.size() ? "has " + has.fields[i].name + " there, or with another type"
                                             : std::string("has no such field");
    return error{errc::failed_precondition, "job " + std::string(job) + " reads field " + std::to_string(i + 1) + " (" +
                                                wanted.name + "), but dataset " + std::string(dataset) + " " + found};
  }
  return ok();
}

result<void> address(std::string_view host_and_port) {
  const auto colon = host_and_port.rfind(':');
  const auto port = colon == std::string_view::npos ? std::string_view() : host_and_port.substr(colon + 1);
  const bool digits = std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (colon == 0 || port.empty() || port.size() > 5 || !digits || host_and_port.size() > 256 ||
      std::stoi(std::string(port)) > 65535)
    return wrong("«" + shorten(std::string(host_and_port)) + "» is not an address of the form host:port");
  return ok();
}

bool outputs_fit(const job_description& j) {
  std::uint64_t branches = 0;
  for (const auto& o : j.outputs) branches += o.branches;
  return j.outputs.empty() || (!j.shape.empty() && branches == j.shape.back().branches.size());
}

namespace {

result<void> outputs(const job_description& j) {
  if (j.outputs.size() > outputs_max)
    return wrong("job " + j.name + " writes more than " + std::to_string(outputs_max) + " datasets");
  std::set<std::string_view> names;
  for (const auto& o : j.outputs) {
    TROUPE_TRY_VOID(check_name("output", o.name));
    if (!names.insert(o.name).second) return wrong("job " + j.name + " has output " + o.name + " twice");
    if (o.branches == 0) return wrong("nothing writes output " + o.name + " of job " + j.name);
    TROUPE_TRY_VOID(schema(o.schema, "output " + o.name + " of job " + j.name));
  }
  if (!outputs_fit(j)) return wrong("the outputs of job " + j.name + " do not fit its last stage");
  return ok();
}

result<void> declared(const job_description& j) {
  if (!j.parameters) return ok();
  if (j.parameters->size() > parameters_max)
    return wrong("job " + j.name + " declares more than " + std::to_string(parameters_max) + " parameters");
  std::set<std::string_view> names;
  for (const auto& p : *j.parameters) {
    TROUPE_TRY_VOID(check_name("parameter", p.name));
    if (!names.insert(p.name).second) return wrong("job " + j.name + " declares parameter " + p.name + " twice");
    if (p.about.size() > text_bytes_max)
      return wrong("what job " + j.name + " says about parameter " + p.name + " is too long");
  }
  return ok();
}

/// «first, second»
template <class Named>
std::string names_of(const std::vector<Named>& all) {
  std::string out;
  for (const auto& one : all) out += (out.empty() ? "" : ", ") + one.name;
  return out;
}

}  // namespace

result<void> output_names(const job_description& what, const std::string& first, const std::vector<std::string>& more) {
  const auto wanted = std::max<std::size_t>(what.outputs.size(), 1);
  if (more.size() + 1 != wanted)
    return wrong("job " + what.name + " writes " + std::to_string(wanted) +
                 (wanted == 1 ? " dataset" : " datasets (" + names_of(what.outputs) + ")") + ", and " +
                 std::to_string(more.size() + 1) + (more.empty() ? " name was" : " names were") +
                 " given: name each, in this order");
  TROUPE_TRY_VOID(check_name("dataset", first));
  std::set<std::string_view> names{first};
  for (const auto& name : more) {
    TROUPE_TRY_VOID(check_name("dataset", name));
    if (!names.insert(name).second) return wrong("two outputs of job " + what.name + " are to be called " + name);
  }
  return ok();
}

result<void> takes_parameters(const job_description& what, const std::map<std::string, std::string>& given) {
  if (!what.parameters) return ok();
  for (const auto& [name, value] : given) {
    if (name.starts_with(engine_parameter_prefix)) continue;
    std::vector<std::string> known;
    for (const auto& p : *what.parameters) known.push_back(p.name);
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const auto meant = nearest(name, known);
    return wrong("job " + what.name + " takes no parameter " + shorten(name) + ": " +
                 (known.empty()   ? "it takes none"
                  : meant.empty() ? "it takes " + names_of(*what.parameters)
                                  : "did you mean " + meant + "?"));
  }
  return ok();
}

result<void> module(const module_info& m) {
  if (m.hash.size() != 64 || !std::all_of(m.hash.begin(), m.hash.end(), lower_hex))
    return wrong("module " + shorten(m.name) + " has no SHA-256 of 64 lower-case digits");
  TROUPE_TRY_VOID(check_name("module", m.name));
  if (m.abi.size() > text_bytes_max) return wrong("the ABI tag of module " + m.name + " is too long");
  if (m.jobs.empty()) return wrong("module " + m.name + " has no job: declare one with TROUPE_JOB");
  if (m.jobs.size() > jobs_of_module_max)
    return wrong("module " + m.name + " has more than " + std::to_string(jobs_of_module_max) + " jobs");
  std::set<std::string_view> names;
  for (const auto& j : m.jobs) {
    TROUPE_TRY_VOID(check_name("job", j.name));
    if (!names.insert(j.name).second) return wrong("module " + m.name + " has job " + j.name + " twice");
    TROUPE_TRY_VOID(format(j.input_format));
    TROUPE_TRY_VOID(format(j.output_format));
    TROUPE_TRY_VOID(schema(j.input_schema, "the input of job " + j.name));
    TROUPE_TRY_VOID(schema(j.output_schema, "the output of job " + j.name));
    if (j.shape.empty() ? j.stages < 1 || j.stages > 2 : j.stages != j.shape.size())
      return wrong("job " + j.name + " has " + std::to_string(j.stages) + " stages, which are not described");
    if (j.inputs.size() > inputs_max) return wrong("job " + j.name + " has too many inputs");
    for (std::size_t i = 0; i < j.inputs.size(); ++i) {
      TROUPE_TRY_VOID(format(j.inputs[i].format));
      TROUPE_TRY_VOID(schema(j.inputs[i].schema, "input " + std::to_string(i + 1) + " of job " + j.name));
    }
    TROUPE_TRY_VOID(outputs(j));
    TROUPE_TRY_VOID(declared(j));
    if (const auto good = check_stages(j.shape.empty() ? classic_stages(j.stages) : j.shape,
                                       static_cast<std::uint32_t>(j.inputs.size()));
        !good)
      return wrong("job " + j.name + ": " + good.error().message());
  }
  return ok();
}

result<void> parameters(const std::map<std::string, std::string>& p) {
  if (p.size() > parameters_max) return wrong("more than " + std::to_string(parameters_max) + " parameters");
  std::size_t size = 0;
  for (const auto& [name, value] : p) {
    TROUPE_TRY_VOID(check_name("parameter", name));
    size += name.size() + value.size();
  }
  if (size > parameters_bytes_max)
    return wrong("the parameters are larger than " + format_bytes(parameters_bytes_max) +
                 " together: put them into a dataset");
  return ok();
}

result<void> counters(const std::map<std::string, std::int64_t>& c) {
  if (c.size() > counters_max) return wrong("a task with more than " + std::to_string(counters_max) + " counters");
  for (const auto& [name, value] : c)
    if (name.size() > 128) return wrong("a counter's name is longer than 128 bytes");
  return ok();
}

}  // namespace troupe::metadata::checks
