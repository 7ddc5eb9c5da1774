/// A module without troupe around it: `module_alone FILE.so JOB TEXT [SPLIT_BYTES [PARTITIONS [OUTPUT]]]` runs every
/// map task and then every reduce task of a job that reads lines, on one thread, in memory, and prints MB/s of either
/// side. What the engine adds is the difference from this to the whole.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/modules/load.hpp>
#include <vector>

namespace {

struct block {
  const char* data;
  std::uint64_t size;
  std::uint32_t partition;
};

/// Chunks are carved from one warm piece of memory, as a worker's come from its slab.
struct memory_host {
  std::vector<block> input;
  std::vector<block> output;
  std::uint32_t format = TROUPE_LINES;
  std::size_t next = 0;
  std::uint64_t offset = 0;
  char* room = nullptr;
  char* room_end = nullptr;

  static memory_host& of(void* self) { return *static_cast<memory_host*>(self); }
  static int next_block(void* self, troupe_block* out) {
    auto& me = of(self);
    if (me.next == me.input.size()) return 0;
    const auto& b = me.input[me.next++];
    *out = {b.data, b.size, 0, 0, 0, me.format, 0};
    return 1;
  }
  static int open_chunk(void* self, std::uint64_t bytes_min, troupe_chunk* out) {
    auto& me = of(self);
    if (me.room + bytes_min > me.room_end) std::abort();
    *out = {me.room, bytes_min, 0};
    return 0;
  }
  static int publish(void* self, std::uint32_t partition, const troupe_chunk* chunk, std::uint64_t bytes,
                     std::uint64_t) {
    auto& me = of(self);
    me.output.push_back({chunk->data, bytes, partition});
    me.room += bytes;
    return 0;
  }
  static void log(void*, const char* text, std::uint64_t size) {
    std::fprintf(stderr, "log: %.*s\n", static_cast<int>(size), text);
  }
  static void count(void*, const char*, std::uint64_t, std::int64_t) {}
  /// It has the memory that it says: nothing is spilled, and if something is, it is told to stop.
  static int no_scratch(void*, std::uint64_t*) { return -1; }
  troupe_host host() {
    return {sizeof(troupe_host), this,    next_block, open_chunk, publish, log, count, &offset,
            no_scratch,          nullptr, nullptr,    nullptr};
  }
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void run(const troupe_stage& stage, const troupe_task& task, memory_host& host) {
  const auto table = host.host();
  troupe_failure failed{};
  if (stage.run(&task, &table, &failed) == 0) return;
  std::fprintf(stderr, "task %u of stage %u failed: %s\n", task.task, task.stage, failed.message);
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: module_alone FILE.so JOB TEXT [SPLIT_BYTES [PARTITIONS [OUTPUT]]]\n");
    return 2;
  }
  const auto module = troupe::modules::loaded_module::load(argv[1]);
  const auto job = module ? module->find_job(argv[2]) : module.error();
  if (!job) {
    std::fprintf(stderr, "%s\n", job.error().message().c_str());
    return 1;
  }
  const auto split_bytes = static_cast<std::uint64_t>(argc > 4 ? std::atoll(argv[4]) : 16 << 20);
  const auto partitions = static_cast<std::uint32_t>(argc > 5 ? std::atoi(argv[5]) : 4);
  const int fd = open(argv[3], O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (fd < 0 || fstat(fd, &status) != 0) {
    std::perror(argv[3]);
    return 1;
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  const auto* text = static_cast<const char*>(mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0));
  const std::size_t room_bytes = std::size_t{1} << 30;
  auto* room = static_cast<char*>(
      mmap(nullptr, room_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
  if (text == MAP_FAILED || room == MAP_FAILED) {
    std::perror("mmap");
    return 1;
  }
  char* const room_end = room + room_bytes;
  troupe_task task{sizeof(troupe_task),      0, 0, 1,       partitions, 0, nullptr, 1, 0,
                   std::uint64_t{256} << 20, 0, 0, nullptr, 0};
  std::vector<std::vector<block>> shuffled(partitions);
  std::uint64_t shuffle_bytes = 0;
  const auto map_start = std::chrono::steady_clock::now();
  for (std::uint64_t at = 0; at < size; ++task.task) {
    memory_host host;
    host.room = room;
    host.room_end = room_end;
    const auto split_end = std::min(size, at + split_bytes);
    while (at < split_end) {  // blocks as batches are: about 256 KiB, whole lines
      auto end = std::min(size, at + (256 << 10));
      if (end < size)
        end =
            static_cast<std::uint64_t>(static_cast<const char*>(std::memchr(text + end, '\n', size - end)) - text) + 1;
      host.input.push_back({text + at, end - at, 0});
      at = end;
    }
    run((*job)->stages[0], task, host);
    room = host.room;
    for (const auto& b : host.output) {
      shuffled[b.partition].push_back(b);
      shuffle_bytes += b.size;
    }
  }
  const double map_seconds = seconds_since(map_start);
  std::fprintf(stderr,
               "{\"map_seconds\": %.4f, \"map_mb_per_second\": %.1f, \"map_tasks\": %u, \"shuffle_bytes\": %llu",
               map_seconds, static_cast<double>(size) / 1e6 / map_seconds, task.task,
               static_cast<unsigned long long>(shuffle_bytes));
  if ((*job)->stage_count == 2) {
    const auto reduce_start = std::chrono::steady_clock::now();
    std::vector<block> output;
    task.stage = 1;
    for (task.task = 0; task.task < partitions; ++task.task) {
      memory_host host;
      host.format = TROUPE_SHUFFLE;
      host.input = std::move(shuffled[task.task]);
      host.room = room;
      host.room_end = room_end;
      run((*job)->stages[1], task, host);
      room = host.room;
      output.insert(output.end(), host.output.begin(), host.output.end());
    }
    std::fprintf(stderr, ", \"reduce_seconds\": %.4f", seconds_since(reduce_start));
    if (FILE* file = argc > 6 ? std::fopen(argv[6], "w") : nullptr) {  // word and count
      for (const auto& b : output) {
        for (const char *p = b.data, *end = b.data + b.size; p != end;) {
          std::uint64_t record = 0, length = 0, value = 0;
          p = troupe::load_varint(p, end, record);
          p = troupe::load_varint(p, end, length);
          std::fwrite(p, 1, length, file);
          p = troupe::load_varint(p + length, end, value);
          std::fprintf(file, "\t%llu\n", static_cast<unsigned long long>(value));
        }
      }
      std::fclose(file);
    }
  }
  std::fprintf(stderr, "}\n");
  return 0;
}
