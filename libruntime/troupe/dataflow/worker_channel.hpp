#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <troupe/base/codec.hpp>
#include <troupe/base/result.hpp>
#include <troupe/dataflow/attempt.hpp>
#include <troupe/dataflow/descriptor.hpp>
#include <variant>
#include <vector>

/// Between the task thread of a worker and the pool of its daemon: packets over a SOCK_SEQPACKET socketpair (fd 4 of
/// the worker), which carries descriptors as well. The worker asks, at most one question at a time; the daemon answers.
/// Orders (run, cancel, log lines, the end) go over CAF (fd 3), see actors/dataflow/worker_messages.hpp.
namespace troupe::dataflow {

// Worker to daemon

/// → chunk_given, or stop_task.
struct need_chunk {
  std::uint64_t bytes_min = 0;
};
BOOST_DESCRIBE_STRUCT(need_chunk, (), (bytes_min))

/// No answer.
struct publish_chunk {
  std::uint64_t chunk = 0;
  std::uint32_t partition = 0;
  std::uint64_t bytes = 0;
  std::uint64_t records = 0;
  digest128 digest;
};
BOOST_DESCRIBE_STRUCT(publish_chunk, (), (chunk, partition, bytes, records, digest))

/// The next page of inputs; gives the ones before back. → inputs_given, or stop_task.
struct need_inputs {};
BOOST_DESCRIBE_STRUCT(need_inputs, (), ())

/// Asked at the end: everything published before has been taken note of. → settled.
struct need_settled {};
BOOST_DESCRIBE_STRUCT(need_settled, (), ())

using worker_question = std::variant<need_chunk, publish_chunk, need_inputs, need_settled>;

// Daemon to worker

/// The first packet, with the descriptor of the worker_control page.
struct worker_hello {
  std::uint64_t token = 0;  ///< proves to the pool which worker a CAF message comes from
};
BOOST_DESCRIBE_STRUCT(worker_hello, (), (token))

struct chunk_given {
  std::uint64_t chunk = 0;
  std::uint64_t slab = 0;
  std::uint64_t slab_size = 0;
  std::uint64_t offset = 0;
  std::uint64_t capacity = 0;
  bool transient = false;  ///< the slab holds this chunk only
  bool with_fd = false;    ///< the slab is new to this worker
};
BOOST_DESCRIBE_STRUCT(chunk_given, (), (chunk, slab, slab_size, offset, capacity, transient, with_fd))

struct segment_item {
  std::uint32_t item = 0;  ///< index into task_assignment::inputs; its descriptor always comes along
  std::string name;        ///< of the file, for messages
  std::uint64_t segment = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::uint64_t segment_first_offset = 0;
  std::uint32_t input = 0;
  std::uint32_t format = 0;
  std::uint32_t edge = 0;
};
BOOST_DESCRIBE_STRUCT(segment_item, (), (item, name, segment, from, to, segment_first_offset, input, format, edge))

struct block_item {
  std::uint32_t item = 0;
  block_ref ref;
  std::uint64_t slab = 0;  ///< 0: in a spill file
  std::uint64_t file_size = 0;
  std::uint64_t offset = 0;
  std::uint64_t first_offset = 0;
  std::uint32_t input = 0;
  std::uint32_t format = 0;
  bool with_fd = false;
  bool transient = false;  ///< do not keep the mapping
  std::uint32_t edge = 0;
};
BOOST_DESCRIBE_STRUCT(block_item, (),
                      (item, ref, slab, file_size, offset, first_offset, input, format, with_fd, transient, edge))

struct inputs_given {
  std::vector<std::variant<segment_item, block_item>> items;  ///< at most 32; empty: the input is at its end
};
BOOST_DESCRIBE_STRUCT(inputs_given, (), (items))

struct stop_task {};
BOOST_DESCRIBE_STRUCT(stop_task, (), ())
struct settled {};
BOOST_DESCRIBE_STRUCT(settled, (), ())

using daemon_answer = std::variant<worker_hello, chunk_given, inputs_given, stop_task, settled>;

inline constexpr std::size_t inputs_per_page_max = 32;

// Over CAF, as bytes

/// A task_assignment without its inputs, which the worker asks for one page at a time.
struct task_order {
  attempt_key key;
  std::string module_path;
  std::string module_hash;
  std::string job_name;
  std::map<std::string, std::string> parameters;
  std::uint32_t partitions = 1;
  std::uint64_t seed = 0;
  std::int64_t now_unix_ms = 0;
  std::uint64_t memory_bytes = 0;
  std::uint32_t branch = 0;
  std::uint32_t branch_task = 0;
  std::string scratch_directory;  ///< for files without a name
};
BOOST_DESCRIBE_STRUCT(task_order, (),
                      (key, module_path, module_hash, job_name, parameters, partitions, seed, now_unix_ms, memory_bytes,
                       branch, branch_task, scratch_directory))

/// How a task ended, as the worker says.
struct task_outcome {
  std::optional<attempt_failure> failure;
  std::uint64_t input_bytes = 0;
  std::uint64_t input_records = 0;
  std::map<std::string, std::int64_t> counters;
  std::uint64_t spilled_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(task_outcome, (), (failure, input_bytes, input_records, counters, spilled_bytes))

// Packets

inline constexpr std::size_t packet_bytes_max = 32 << 10;

struct packet {
  bytes data;
  std::vector<descriptor> fds;
  bool closed = false;  ///< the other side is gone
};

/// Sends one packet with copies of `fds` (at most inputs_per_page_max). unavailable: the other side is gone, or (not
/// blocking) does not read.
result<void> send_packet(int socket, bytes_view data, std::span<const int> fds, bool block);
/// Receives one packet. Not blocking and nothing there: an empty packet that is not closed.
result<packet> receive_packet(int socket, bool block);

}  // namespace troupe::dataflow
