#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <troupe/base/codec.hpp>
#include <troupe/base/text.hpp>
#include <troupe/modules/load.hpp>
#include <troupe/sdk/abi_tag.hpp>

namespace troupe::modules {
namespace {

#if defined(__x86_64__)
constexpr int machine_here = EM_X86_64;
#elif defined(__aarch64__)
constexpr int machine_here = EM_AARCH64;
#else
#error "troupe runs on x86-64 and aarch64"
#endif

constexpr const char* how_to_build = "; build it with: module build FILE.cpp";

result<data_format> format_of(std::uint32_t raw, const std::string& what) {
  if (raw > static_cast<std::uint32_t>(data_format::bytes))
    return error{errc::corrupted, what + " has the unknown format " + std::to_string(raw)};
  return static_cast<data_format>(raw);
}

constexpr std::uint32_t inputs_max = 64;
constexpr std::uint32_t outputs_max = 16;
constexpr std::uint32_t parameters_max = 64;

result<std::vector<stage_shape>> shape_of(const troupe_job& job, const std::string& path) {
  std::vector<stage_shape> out;
  const error damaged{errc::corrupted, path + ": a stage of job " + job.name + " is damaged"};
  for (std::uint32_t s = 0; s < job.stage_count; ++s) {
    const auto& stage = job.stages[s];
    if (stage.branch_count < 1 || stage.branch_count > branches_max) return damaged;
    stage_shape shape{std::string(stage.name, ::strnlen(stage.name, 256)), {}, stage.partitions};
    for (std::uint32_t b = 0; b < stage.branch_count; ++b) {
      const auto& branch = stage.branches[b];
      if (branch.edges == nullptr || branch.edge_count < 1 || branch.edge_count > edges_max) return damaged;
      auto& edges = shape.branches.emplace_back().edges;
      for (std::uint32_t e = 0; e < branch.edge_count; ++e) {
        if (branch.edges[e].kind > TROUPE_EDGE_FORWARD) return damaged;
        edges.push_back(
            {static_cast<edge_kind>(branch.edges[e].kind), branch.edges[e].from, branch.edges[e].partition});
      }
    }
    out.push_back(std::move(shape));
  }
  return out;
}

}  // namespace

result<void> check_file(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return error::from_errno("open module", path, errno);
  struct stat status {};
  Elf64_Ehdr header{};
  const bool known = ::fstat(fd, &status) == 0;
  const auto got = known && S_ISREG(status.st_mode) ? ::pread(fd, &header, sizeof header, 0) : 0;
  const int failed = errno;
  ::close(fd);
  if (!known || got < 0) return error::from_errno("read module", path, failed);
  if (!S_ISREG(status.st_mode)) return error{errc::invalid_argument, path + " is not a file" + how_to_build};
  if (static_cast<std::size_t>(got) < sizeof header || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
    return error{errc::invalid_argument, path + " is not a shared library (it does not begin like one)" + how_to_build};
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != machine_here)
    return error{errc::invalid_argument,
                 path + " is a library for another kind of processor; build it on a machine like this one"};
  if (header.e_type != ET_DYN)
    return error{errc::invalid_argument, path + " is an object file or a program, not a shared library" + how_to_build};
  return ok();
}

result<void> check_table(const troupe_module& table, const std::string& path) {
  if (table.size < sizeof(troupe_module) || table.abi_version != TROUPE_ABI_VERSION || table.abi_tag == nullptr)
    return error{errc::unsupported, path + " was built for another version of troupe's module table (" +
                                        std::to_string(table.abi_version) + ", here it is " +
                                        std::to_string(TROUPE_ABI_VERSION) +
                                        "); build it again with: module build FILE.cpp"};
  if (table.abi_tag != sdk::abi_tag)
    return error{errc::unsupported, path + " was built with {" + std::string(table.abi_tag).substr(0, 200) +
                                        "}, this troupe with {" + std::string(sdk::abi_tag) +
                                        "}; build it again with: module build FILE.cpp"};
  if (table.job_count == 0 || table.jobs == nullptr)
    return error{errc::invalid_argument, path + " has no job; put TROUPE_JOB(name, pipeline) into its source"};
  for (std::uint32_t i = 0; i < table.job_count; ++i) {
    const auto* job = table.jobs[i];
    if (job != nullptr && job->size >= sizeof(troupe_job) && job->name != nullptr && job->stage_count > stages_max)
      return error{errc::invalid_argument, path + ": job " + std::string(job->name).substr(0, 128) + " has " +
                                               std::to_string(job->stage_count) + " stages, and " +
                                               std::to_string(stages_max) +
                                               " is the limit: fewer rounds, or fewer shuffles in each"};
    if (job == nullptr || job->size < sizeof(troupe_job) || job->name == nullptr || job->stages == nullptr ||
        job->stage_count < 1 || job->stage_count > stages_max || (job->input_count > 0 && job->inputs == nullptr) ||
        job->input_count > inputs_max || (job->output_count > 0 && job->outputs == nullptr) ||
        job->output_count > outputs_max || (job->parameter_count > 0 && job->parameters == nullptr) ||
        job->parameter_count > parameters_max)
      return error{errc::corrupted, path + ": job " + std::to_string(i) + " of its table is damaged"};
    TROUPE_TRY_VOID(check_name("job", job->name));
    for (std::uint32_t earlier = 0; earlier < i; ++earlier)
      if (std::strcmp(job->name, table.jobs[earlier]->name) == 0)
        return error{errc::invalid_argument, path + " has two jobs named " + job->name};
    for (std::uint32_t s = 0; s < job->stage_count; ++s)
      if (job->stages[s].size < sizeof(troupe_stage) || job->stages[s].run == nullptr ||
          job->stages[s].name == nullptr || job->stages[s].branches == nullptr)
        return error{errc::corrupted, path + ": a stage of job " + job->name + " is damaged"};
    for (std::uint32_t n = 0; n < job->output_count; ++n)
      if (job->outputs[n].name == nullptr || job->outputs[n].schema == nullptr)
        return error{errc::corrupted, path + ": an output of job " + job->name + " is damaged"};
    for (std::uint32_t n = 0; n < job->parameter_count; ++n)
      if (job->parameters[n].name == nullptr || job->parameters[n].about == nullptr)
        return error{errc::corrupted, path + ": a parameter of job " + job->name + " is damaged"};
    TROUPE_TRY(const auto shape, shape_of(*job, path));
    if (const auto good = check_stages(shape, job->input_count); !good)
      return error{errc::corrupted, path + ": job " + job->name + ": " + good.error().message()};
  }
  return ok();
}

result<loaded_module> loaded_module::load(const std::string& path) {
  TROUPE_TRY_VOID(check_file(path));
  // A name without a slash would be searched for in the library path.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (handle == nullptr) {
    const char* const why = ::dlerror();
    return error{errc::invalid_argument, path + " cannot be loaded: " + (why != nullptr ? why : "unknown reason")};
  }
  void* const symbol = ::dlsym(handle, TROUPE_MODULE_SYMBOL);
  if (symbol == nullptr)
    return error{errc::invalid_argument, path + " is a library but no troupe module (it has no " TROUPE_MODULE_SYMBOL
                                                "); include <troupe/sdk.hpp> and use TROUPE_JOB"};
  const auto* table = reinterpret_cast<troupe_module_function>(symbol)();
  if (table == nullptr) return error{errc::corrupted, path + ": its " TROUPE_MODULE_SYMBOL " gives nothing"};
  TROUPE_TRY_VOID(check_table(*table, path));
  return loaded_module(table, path);
}

result<const troupe_job*> loaded_module::find_job(std::string_view name) const {
  std::string known;
  for (std::uint32_t i = 0; i < table_->job_count; ++i) {
    if (table_->jobs[i]->name == name) return table_->jobs[i];
    known += (known.empty() ? "" : ", ") + std::string(table_->jobs[i]->name);
  }
  return error{errc::not_found, "no job " + std::string(name) + " in " + path_ + "; it has " + known};
}

result<module_description> loaded_module::describe() const {
  module_description out;
  out.abi = table_->abi_tag;
  for (std::uint32_t i = 0; i < table_->job_count; ++i) {
    const auto& job = *table_->jobs[i];
    const auto where = path_ + ": job " + job.name;
    job_info info;
    info.name = job.name;
    info.stages = job.stage_count;
    TROUPE_TRY(info.input_format, format_of(job.input_format, where));
    TROUPE_TRY(info.output_format, format_of(job.output_format, where));
    TROUPE_TRY(info.input_schema,
               codec::decode<schema>({job.input_schema, job.input_schema_size}, where + ", input schema"));
    TROUPE_TRY(info.output_schema,
               codec::decode<schema>({job.output_schema, job.output_schema_size}, where + ", output schema"));
    TROUPE_TRY(info.shape, shape_of(job, path_));
    for (std::uint32_t n = 0; n < job.input_count; ++n) {
      auto& input = info.inputs.emplace_back();
      TROUPE_TRY(input.format, format_of(job.inputs[n].format, where));
      TROUPE_TRY(input.schema, codec::decode<schema>({job.inputs[n].schema, job.inputs[n].schema_size},
                                                     where + ", schema of input " + std::to_string(n + 1)));
    }
    for (std::uint32_t n = 0; n < job.output_count; ++n) {
      const auto& from = job.outputs[n];
      auto& output = info.outputs.emplace_back();
      output.name = from.name;
      output.branches = from.branches;
      TROUPE_TRY(output.schema,
                 codec::decode<schema>({from.schema, from.schema_size}, where + ", schema of output " + output.name));
    }
    if (job.parameters != nullptr) {
      info.parameters.emplace();
      for (std::uint32_t n = 0; n < job.parameter_count; ++n)
        info.parameters->push_back({job.parameters[n].name, job.parameters[n].about});
    }
    out.jobs.push_back(std::move(info));
  }
  return out;
}

}  // namespace troupe::modules
