#pragma once
#include <stdint.h>

/// The whole boundary between a module (user code, compiled by anyone) and the worker that runs it: C structs, each
/// beginning with its own size, so that either side may grow at the end. Nothing of C++'s library crosses it. A stage
/// pulls its input block by block and publishes its output chunk by chunk; the loops over records are inside the
/// module.
extern "C" {

enum { TROUPE_ABI_VERSION = 3 };

/// Of a block that a stage reads. `format` is data_format for a dataset, TROUPE_SHUFFLE for what the stage before
/// published (bytes exactly as published).
enum { TROUPE_LINES = 0, TROUPE_RECORDS = 1, TROUPE_BYTES = 2, TROUPE_SHUFFLE = 255 };

struct troupe_block {
  const char* data;  ///< valid until the next call of next_block
  uint64_t size;
  uint64_t records;
  uint64_t first_offset;  ///< of its first record within its partition of the dataset; 0 for a shuffle block
  uint32_t input;         ///< which of the job's inputs
  uint32_t format;
  uint32_t edge;  ///< which of the edges that the task's branch reads; edges come in order
};

struct troupe_chunk {
  char* data;
  uint64_t capacity;
  uint64_t handle;
};

struct troupe_parameter {
  const char* name;
  uint64_t name_size;
  const char* value;
  uint64_t value_size;
};

/// What a task is. Everything here is fixed by the plan: a second attempt gets the same, except for `attempt`.
struct troupe_task {
  uint32_t size;
  uint32_t stage;
  uint32_t task;
  uint32_t attempt;
  uint32_t partitions;  ///< how many the output of this stage has
  uint32_t parameter_count;
  const struct troupe_parameter* parameters;
  uint64_t seed;          ///< of this task, for user code that wants randomness
  int64_t now_unix_ms;    ///< when the job was accepted: the only time that user code should see
  uint64_t memory_bytes;  ///< of the module's own tables and buffers
  uint32_t branch;        ///< of the stage, that the task belongs to
  uint32_t branch_task;   ///< its number within the branch
  /// What the job says it takes (troupe_job), so that reading another is noticed. Null: nobody knows, and any may be
  /// read.
  const struct troupe_declared* declared;
  uint32_t declared_count;
};

/// A parameter that a job takes.
struct troupe_declared {
  const char* name;
  const char* about;  ///< for people
};

/// What the worker offers. Every function is called on the task's thread only.
struct troupe_host {
  uint32_t size;
  void* self;
  /// 1: *out holds the next block; 0: the input is at its end; -1: stop (cancelled, or input lost): clean up and return
  /// 0.
  int (*next_block)(void* self, struct troupe_block* out);
  /// Room for at least `bytes_min` (usually more: up to 1 MiB). Waits while the budget is used up. -1: stop.
  int (*open_chunk)(void* self, uint64_t bytes_min, struct troupe_chunk* out);
  /// Gives `bytes` of a chunk away as output of `partition`; the chunk may not be touched afterwards. Several publishes
  /// of one partition keep their order. -1: stop.
  int (*publish)(void* self, uint32_t partition, const struct troupe_chunk* chunk, uint64_t bytes, uint64_t records);
  void (*log)(void* self, const char* text, uint64_t size);
  void (*count)(void* self, const char* name, uint64_t name_size, int64_t delta);
  /// Shared memory the daemon reads: the module stores the offset of the record it is at (relaxed), so that its death
  /// can be blamed on a record.
  uint64_t* current_offset;
  /// A scratch file for what does not fit into the task's memory; gone with the task. It grows at its end and is read
  /// anywhere. -1: stop (the disk is full, or the task was cancelled).
  int (*scratch_open)(void* self, uint64_t* file);
  int (*scratch_append)(void* self, uint64_t file, const void* data, uint64_t size);
  int (*scratch_read)(void* self, uint64_t file, uint64_t offset, void* data, uint64_t size);
  void (*scratch_close)(void* self, uint64_t file);
};

/// How a stage failed: filled by the module, exceptions never cross.
struct troupe_failure {
  char message[1024];  ///< ends with 0
  uint64_t offset;     ///< of the record within its partition
  int has_offset;
};

/// As edge_kind of base/stages.hpp, which says what they mean.
enum { TROUPE_EDGE_DATASET = 0, TROUPE_EDGE_PARTITIONED = 1, TROUPE_EDGE_BROADCAST = 2, TROUPE_EDGE_FORWARD = 3 };

struct troupe_edge {
  uint32_t kind;
  uint32_t from;       ///< the input's number (0xffffffff: all inputs), or the stage's
  uint32_t partition;  ///< of a broadcast or forward edge
};

struct troupe_branch {
  uint32_t edge_count;
  const struct troupe_edge* edges;
};

struct troupe_stage {
  uint32_t size;
  uint32_t partitions;  ///< of what each task writes; 0: as many as the plan says
  /// Runs the whole task. 0: done (or told to stop); 1: failed, *failure says how.
  int (*run)(const struct troupe_task* task, const struct troupe_host* host, struct troupe_failure* failure);
  const char* name;
  uint32_t branch_count;
  const struct troupe_branch* branches;
};

struct troupe_input {
  uint32_t format;
  const char* schema;  ///< codec bytes of troupe::schema
  uint64_t schema_size;
};

/// One of several datasets that a job writes: by the tasks of some branches of its last stage.
struct troupe_output {
  const char* name;
  const char* schema;  ///< codec bytes of troupe::schema
  uint64_t schema_size;
  uint32_t branches;  ///< how many; outputs have the last stage's branches in order
};

struct troupe_job {
  uint32_t size;
  uint32_t stage_count;
  const char* name;
  uint32_t input_format;
  uint32_t output_format;
  const char* input_schema;  ///< codec bytes of troupe::schema
  uint64_t input_schema_size;
  const char* output_schema;
  uint64_t output_schema_size;
  const struct troupe_stage* stages;
  uint32_t input_count;  ///< 0: any number of inputs, all as above
  const struct troupe_input* inputs;
  uint32_t output_count;  ///< 0: one, as above; else the first is as above
  const struct troupe_output* outputs;
  uint32_t parameter_count;
  const struct troupe_declared* parameters;
};

struct troupe_module {
  uint32_t size;
  uint32_t abi_version;
  const char* abi_tag;  ///< SDK version, compiler, libstdc++, glibc: must equal the worker's own
  uint32_t job_count;
  const struct troupe_job* const* jobs;
};

/// The one symbol that a module exports.
typedef const struct troupe_module* (*troupe_module_function)(void);
#define TROUPE_MODULE_SYMBOL "troupe_module_table"
}
