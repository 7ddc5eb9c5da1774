// Jobs that do what a test needs of a worker, good and bad, written against the C boundary alone.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <troupe/sdk/abi.hpp>
#include <troupe/sdk/abi_tag.hpp>
#include <vector>

namespace {

std::string_view parameter(const troupe_task* task, std::string_view name) {
  for (std::uint32_t i = 0; i < task->parameter_count; ++i)
    if (std::string_view(task->parameters[i].name, task->parameters[i].name_size) == name)
      return {task->parameters[i].value, task->parameters[i].value_size};
  return {};
}

std::uint64_t number_of(const troupe_task* task, std::string_view name, std::uint64_t otherwise) {
  const std::string text(parameter(task, name));
  return text.empty() ? otherwise : std::strtoull(text.c_str(), nullptr, 10);
}

/// Calls f(line, offset) for every line of the input; stops where the host says so.
template <class F>
void each_line(const troupe_host* host, F f) {
  troupe_block block{};
  while (host->next_block(host->self, &block) == 1) {
    std::string_view rest(block.data, block.size);
    std::uint64_t offset = block.first_offset;
    while (!rest.empty()) {
      __atomic_store_n(host->current_offset, offset, __ATOMIC_RELAXED);
      const auto end = rest.find('\n');
      f(rest.substr(0, end), offset++);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
  }
}

int fail(troupe_failure* failure, std::string_view why, std::uint64_t offset) {
  std::snprintf(failure->message, sizeof failure->message, "%.*s", static_cast<int>(why.size()), why.data());
  failure->offset = offset;
  failure->has_offset = 1;
  return 1;
}

int publish(const troupe_host* host, std::uint32_t partition, std::string_view data, std::uint64_t records) {
  troupe_chunk chunk{};
  if (host->open_chunk(host->self, data.size(), &chunk) != 0) return -1;
  std::memcpy(chunk.data, data.data(), data.size());
  return host->publish(host->self, partition, &chunk, data.size(), records);
}

/// Lines by offset modulo partitions, each with its offset before it.
int copy(const troupe_task* task, const troupe_host* host, troupe_failure*) {
  std::vector<std::string> out(task->partitions);
  std::vector<std::uint64_t> records(task->partitions);
  each_line(host, [&](std::string_view line, std::uint64_t offset) {
    const auto p = offset % task->partitions;
    out[p] += std::to_string(offset) + ":" + std::string(line) + "\n";
    ++records[p];
    host->count(host->self, "lines", 5, 1);
  });
  for (std::uint32_t p = 0; p < task->partitions; ++p)
    if (records[p] > 0 && publish(host, p, out[p], records[p]) != 0) return 0;
  const std::string words = "copied for " + std::string(parameter(task, "who"));
  host->log(host->self, words.data(), words.size());
  return 0;
}

/// What came, block by block, unchanged.
int gather(const troupe_task*, const troupe_host* host, troupe_failure*) {
  troupe_block block{};
  while (host->next_block(host->self, &block) == 1)
    if (publish(host, 0, {block.data, block.size}, block.records) != 0) return 0;
  return 0;
}

/// As many chunks of 1 MiB as asked for, each full of its number.
int produce(const troupe_task* task, const troupe_host* host, troupe_failure*) {
  const auto chunks = number_of(task, "chunks", 4);
  for (std::uint64_t i = 0; i < chunks; ++i) {
    troupe_chunk chunk{};
    if (host->open_chunk(host->self, 1 << 20, &chunk) != 0) return 0;
    std::memset(chunk.data, static_cast<int>('a' + i % 26), chunk.capacity);
    if (host->publish(host->self, static_cast<std::uint32_t>(i % task->partitions), &chunk, chunk.capacity, 1) != 0)
      return 0;
  }
  return 0;
}

int report(const troupe_task* task, const troupe_host* host, troupe_failure* failure) {
  const auto at = number_of(task, "at", 3);
  bool failed = false;
  each_line(host, [&](std::string_view, std::uint64_t offset) { failed = failed || offset == at; });
  return failed ? fail(failure, "std::runtime_error: no such thing", at) : 0;
}

int escape(const troupe_task*, const troupe_host*, troupe_failure*) { throw std::runtime_error("out of the module"); }

int segfault(const troupe_task* task, const troupe_host* host, troupe_failure*) {
  const auto at = number_of(task, "at", 3);
  publish(host, 0, "unfinished", 1);
  each_line(host, [&](std::string_view, std::uint64_t offset) {
    if (offset == at) ::raise(SIGSEGV);
  });
  return 0;
}

int abort_loudly(const troupe_task*, const troupe_host*, troupe_failure*) {
  std::fprintf(stderr, "a line before the end\nlast words\n");
  std::abort();
}

/// 2 MiB, then the end: what comes last is what is wanted.
int abort_after_much(const troupe_task*, const troupe_host*, troupe_failure*) {
  for (int i = 0; i < 32 * 1024; ++i) std::fprintf(stderr, "%063d\n", i);
  std::fprintf(stderr, "last words\n");
  std::abort();
}

/// Prints without end.
int flood(const troupe_task*, const troupe_host* host, troupe_failure*) {
  host->log(host->self, "flooding", 8);
  for (;;) std::printf("noise noise noise noise noise noise noise noise noise noise noise noise noise noise noise\n");
}

int leave(const troupe_task*, const troupe_host*, troupe_failure*) { ::_exit(3); }

/// Never asks the host for anything.
int loop(const troupe_task*, const troupe_host* host, troupe_failure*) {
  host->log(host->self, "looping", 7);
  for (;;) __asm__ volatile("" ::: "memory");
}

/// Asks again and again, and stops when told to.
int obedient(const troupe_task*, const troupe_host* host, troupe_failure*) {
  host->log(host->self, "looping", 7);
  for (;;) {
    troupe_chunk chunk{};
    if (host->open_chunk(host->self, 1, &chunk) != 0 || host->publish(host->self, 0, &chunk, 0, 0) != 0) return 0;
  }
}

int eat(const troupe_task*, const troupe_host*, troupe_failure* failure) {
  try {
    std::vector<std::vector<char>> all;
    for (;;) all.emplace_back(8 << 20, 'x');
  } catch (const std::bad_alloc& e) {
    return fail(failure, e.what(), 0);
  }
}

/// Reads its input again after the file was cut short under it: waits for the test to do that.
int reread(const troupe_task* task, const troupe_host* host, troupe_failure*) {
  troupe_block block{};
  if (host->next_block(host->self, &block) != 1) return 0;
  host->log(host->self, "mapped", 6);
  const std::string flag(parameter(task, "flag"));
  while (::access(flag.c_str(), F_OK) != 0) {
  }
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < block.size; ++i) sum += static_cast<unsigned char>(block.data[i]);
  host->count(host->self, "sum", 3, static_cast<std::int64_t>(sum));
  return 0;
}

int misuse(const troupe_task* task, const troupe_host* host, troupe_failure*) {
  publish(host, task->partitions + 5, "x", 1);
  return 0;
}

int chatter(const troupe_task*, const troupe_host* host, troupe_failure*) {
  for (int i = 0; i < 5000; ++i) host->log(host->self, "again", 5);
  return 0;
}

const troupe_edge of_input[] = {{TROUPE_EDGE_DATASET, 0xffffffff, 0}};
const troupe_edge of_first[] = {{TROUPE_EDGE_PARTITIONED, 0, 0}};
const troupe_branch first[] = {{1, of_input}};
const troupe_branch second[] = {{1, of_first}};
#define STAGE(f) \
  { sizeof(troupe_stage), 0, f, #f, 1, first }
#define GATHER \
  { sizeof(troupe_stage), 0, gather, "gather", 1, second }
const troupe_stage stages[][2] = {
    {STAGE(copy), GATHER},         {STAGE(gather), GATHER},  {STAGE(produce), GATHER},
    {STAGE(report), GATHER},       {STAGE(escape), GATHER},  {STAGE(segfault), GATHER},
    {STAGE(abort_loudly), GATHER}, {STAGE(leave), GATHER},   {STAGE(loop), GATHER},
    {STAGE(obedient), GATHER},     {STAGE(eat), GATHER},     {STAGE(reread), GATHER},
    {STAGE(misuse), GATHER},       {STAGE(chatter), GATHER}, {STAGE(abort_after_much), GATHER},
    {STAGE(flood), GATHER}};
const char* const names[] = {
    "copy", "gather",   "produce", "report", "escape", "segfault", "abort_loudly",     "leave",
    "loop", "obedient", "eat",     "reread", "misuse", "chatter",  "abort_after_much", "flood"};
constexpr std::size_t count = sizeof names / sizeof *names;

}  // namespace

extern "C" __attribute__((visibility("default"))) const troupe_module* troupe_module_table() {
  static troupe_job jobs[count];
  static const troupe_job* pointers[count];
  static const char no_fields[] = "\0";  // codec bytes of a schema without fields
  for (std::size_t i = 0; i < count; ++i) {
    jobs[i] = {sizeof(troupe_job),
               2,
               names[i],
               TROUPE_LINES,
               TROUPE_LINES,
               no_fields,
               1,
               no_fields,
               1,
               stages[i],
               0,
               nullptr,
               0,
               nullptr,
               0,
               nullptr};
    pointers[i] = &jobs[i];
  }
  static const troupe_module table{sizeof(troupe_module), TROUPE_ABI_VERSION, TROUPE_ABI_TAG, count, pointers};
  return &table;
}
