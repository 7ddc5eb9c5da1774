/// What modules say about themselves: the JSON of `troupe-worker --inspect` (a process in which the module's own code
/// has run), and the table and schemas behind it. The first byte says which.
#include <sys/mman.h>
#include <unistd.h>

#include <string>
#include <support/codec_property.hpp>
#include <troupe/modules/description.hpp>
#include <troupe/modules/load.hpp>
#include <troupe/sdk/abi_tag.hpp>

namespace troupe::fuzz {
namespace {

using namespace modules;

void check_json(bytes_view text) {
  const auto read = parse_json(text);
  if (!read) return;
  const auto again = parse_json(to_json(*read));
  TROUPE_INVARIANT(again.has_value(), "a description does not parse again: " + again.error().message());
  TROUPE_INVARIANT(*again == *read, "a description changes on its way");
}

/// A file that claims to be a shared library: only looked at, never loaded.
void check_library(bytes_view content) {
  static const int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
  TROUPE_INVARIANT(fd >= 0 && ::ftruncate(fd, 0) == 0, "no memory for a file");
  TROUPE_INVARIANT(::pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()), "no room");
  const auto fits = check_file("/proc/self/fd/" + std::to_string(fd));
  TROUPE_INVARIANT(fits.has_value() || !fits.error().message().empty(), "refused without a word");
}

/// A table as a module would lay it out, its numbers and names from the input. Strings end with a zero, as the ABI
/// says.
void check_table_of(bytes_view input) {
  codec::reader in(input);
  struct {
    std::uint32_t size = 0, abi_version = 0, job_count = 0;
    bool own_tag = false;
  } head;
  if (!in.get(head.size) || !in.get(head.abi_version) || !in.get(head.job_count) || !in.get(head.own_tag)) return;
  std::vector<std::string> names;
  std::vector<troupe_job> jobs;
  if (!in.get(names)) return;
  static const troupe_edge of_input[] = {{TROUPE_EDGE_DATASET, 0xffffffff, 0}};
  static const troupe_edge of_first[] = {{TROUPE_EDGE_PARTITIONED, 0, 0}};
  static const troupe_branch first[] = {{1, of_input}}, second[] = {{1, of_first}};
  static const troupe_stage stages[2] = {
      {sizeof(troupe_stage), 0, [](auto*, auto*, auto*) { return 0; }, "map", 1, first},
      {sizeof(troupe_stage), 0, [](auto*, auto*, auto*) { return 0; }, "reduce", 1, second}};
  for (const auto& name : names) {
    troupe_job job{};
    if (!in.get(job.size) || !in.get(job.stage_count)) return;
    job.name = name.c_str();
    job.stages = job.stage_count <= 2 ? stages : nullptr;
    jobs.push_back(job);
  }
  std::vector<const troupe_job*> list;
  for (const auto& job : jobs) list.push_back(&job);
  const std::string tag(head.own_tag ? std::string(sdk::abi_tag) : std::string(300, 't'));
  troupe_module table{};
  table.size = head.size;
  table.abi_version = head.abi_version;
  table.abi_tag = tag.c_str();
  table.job_count = std::min<std::uint32_t>(head.job_count, static_cast<std::uint32_t>(list.size()));
  table.jobs = list.empty() ? nullptr : list.data();
  const auto good = check_table(table, "module.so");
  if (!good) return;
  TROUPE_INVARIANT(table.size >= sizeof table && table.job_count > 0, "a table that cannot be was taken");
  for (const auto& job : jobs)
    TROUPE_INVARIANT(&job - jobs.data() >= table.job_count || (job.stage_count >= 1 && job.stage_count <= 2),
                     "a job without stages was taken");
}

bytes table_seed(std::vector<std::string> names) {
  bytes out;
  codec::writer writer(out);
  writer.put(static_cast<std::uint32_t>(sizeof(troupe_module)));
  writer.put(static_cast<std::uint32_t>(TROUPE_ABI_VERSION));
  writer.put(static_cast<std::uint32_t>(names.size()));
  writer.put(true);
  writer.put(names);
  for (std::size_t i = 0; i < names.size(); ++i) {
    writer.put(static_cast<std::uint32_t>(sizeof(troupe_job)));
    writer.put(static_cast<std::uint32_t>(1 + i % 2));
  }
  return out;
}

}  // namespace

void one_input(bytes_view input) {
  if (input.empty()) return;
  const auto rest = input.substr(1);
  switch (input[0]) {
    case 0:
      return check_json(rest);
    case 1:
      return check_library(rest);
    case 2:
      return check_table_of(rest);
    default:
      return check_codec<schema>(rest);
  }
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  field deep{"x", field_type::uint8, {}};
  for (int i = 1; i < 16; ++i) deep = field{"f", field_type::optional, {deep}};  // as deep as schemas may be
  module_description description;
  description.abi = sdk::abi_tag;
  description.jobs.push_back({"word_count",
                              data_format::lines,
                              {},
                              data_format::records,
                              {{{"word", field_type::string, {}}, {"count", field_type::uint64, {}}}},
                              2,
                              classic_stages(2),
                              {{data_format::records, {{{"x", field_type::int8, {}}}}}}});
  made.push_back('\0' + to_json(description));
  description.jobs.push_back({"deep", data_format::records, {{deep}}, data_format::bytes, {}, 1, classic_stages(1)});
  made.push_back('\0' + to_json(description));
  TROUPE_INVARIANT(parse_json(to_json(description)).has_value(), "a description of a schema as deep as it may be");
  made.push_back('\0' + to_json(error{errc::unsupported, "built with «another» compiler"}));
  made.push_back(
      "\x01\x7f"
      "ELF\x02\x01\x01" +
      bytes(9, '\0') + bytes("\x03\x00\x3e\x00\x01\x00\x00\x00", 8) + bytes(60, '\0'));
  made.push_back('\x02' + table_seed({"word_count", "grep"}));
  made.push_back('\x03' + codec::encode(schema{{deep, {"r", field_type::record, {{"a", field_type::string, {}}}}}}));
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
