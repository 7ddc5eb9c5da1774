#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <troupe/sdk/abi.hpp>
#include <troupe/sdk/abi_tag.hpp>

/// Modules that are wrong, or whose code misbehaves while it is loaded; KIND_… says how.
namespace {

int run_nothing(const troupe_task*, const troupe_host*, troupe_failure*) { return 0; }

const troupe_edge edges[] = {{TROUPE_EDGE_DATASET, 0xffffffff, 0}};
const troupe_branch branches[] = {{1, edges}};
const troupe_stage stages[] = {{sizeof(troupe_stage), 0, run_nothing, "map", 1, branches}};
#if defined(KIND_bad_name)
constexpr const char* job_name = "No Name";
#else
constexpr const char* job_name = "job";
#endif
// An empty schema is one byte, the count of its fields.
const troupe_job job{
    sizeof(troupe_job), 1, job_name, TROUPE_LINES, TROUPE_RECORDS, "\0", 1, "\0", 1, stages, 0, nullptr};
const troupe_job* const jobs[] = {&job, &job};

#if defined(KIND_crashes)
const int initialised = (std::abort(), 0);
#elif defined(KIND_exits)
const int initialised = (std::exit(7), 0);
#elif defined(KIND_prints)
const int initialised = std::puts("{\"abi\": \"printed by the module\"}");
#elif defined(KIND_hangs)
const int initialised = [] {
  for (;;) ::pause();
  return 0;
}();
#endif

}  // namespace

#if !defined(KIND_no_table)
extern "C" __attribute__((visibility("default"))) const troupe_module* troupe_module_table() {
  static const troupe_module table {
    sizeof(troupe_module),
#if defined(KIND_other_version)
        TROUPE_ABI_VERSION + 1,
#else
        TROUPE_ABI_VERSION,
#endif
#if defined(KIND_other_abi)
        "troupe 0.0.1, gcc 3, libstdc++ 3 cxx98, glibc 2.2",
#else
        TROUPE_ABI_TAG,
#endif
#if defined(KIND_no_jobs)
        0,
#elif defined(KIND_twice)
        2,
#else
        1,
#endif
        jobs
  };
  return &table;
}
#endif
