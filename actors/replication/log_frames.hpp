#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <string>
#include <troupe/base/codec.hpp>
#include <troupe/base/error.hpp>
#include <troupe/metadata/model.hpp>
#include <troupe/replication/types.hpp>
#include <vector>

/// The frames of protocol `log` around replication's messages, and the calls between log planes;
/// doc/formats/log_plane.md is the page. Replication's messages may be lost; a call gets exactly one answer, or its
/// connection ends.
namespace troupe::logs {

inline constexpr std::uint8_t log_frames_version = 1;

/// Numbers on the wire: append only.
enum class frame_type : std::uint16_t {
  hello = 1,  ///< hello; the dialler's first frame
  message,    ///< replication::encode_message
  call,       ///< call_head, then the call's own bytes
  answer,     ///< answer_head, then a part of the answer's bytes, or of a failure
};

/// Appends must not wait behind somebody's reading, so each pair has two connections.
enum class lane : std::uint8_t { replication, clients };
BOOST_DESCRIBE_ENUM(lane, replication, clients)

struct hello {
  std::uint8_t version = log_frames_version;
  logs::lane lane = lane::replication;
};
BOOST_DESCRIBE_STRUCT(hello, (), (version, lane))

enum class call_kind : std::uint16_t {
  append = 1,  ///< append_call, then the payload; answered by append_answer
  ends,        ///< ends_call; ends_answer
  batches,     ///< batches_call; batches of a sealed segment, whole
  check,       ///< check_call; check_answer
};

/// Fixed size, in front of a call.
struct call_head {
  static constexpr std::size_t wire_bytes = 14;
  std::uint64_t number = 0;  ///< the caller's own
  std::uint32_t time_left_ms = 0;
  call_kind kind = call_kind::append;
};
BOOST_DESCRIBE_STRUCT(call_head, (), (number, time_left_ms, kind))

/// Fixed size, in front of each part of an answer.
struct answer_head {
  static constexpr std::size_t wire_bytes = 10;
  std::uint64_t number = 0;
  bool last = true;
  bool failed = false;  ///< the bytes are a failure's
};
BOOST_DESCRIBE_STRUCT(answer_head, (), (number, last, failed))

struct failure {
  errc code = errc::internal;
  std::string message;
};
BOOST_DESCRIBE_STRUCT(failure, (), (code, message))

/// One batch for a partition; whoever is asked leads it, or begins to when that is its part.
struct append_call {
  replication::partition_key where;
  uuid producer;
  std::uint64_t sequence = 0;
  std::uint32_t count = 0;
  std::uint32_t payload_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(append_call, (), (where, producer, sequence, count, payload_bytes))

struct append_answer {
  record_offset first_offset;
  std::uint32_t count = 0;
  bool duplicate = false;
};
BOOST_DESCRIBE_STRUCT(append_answer, (), (first_offset, count, duplicate))

/// How far the partitions of a dataset are that the asked one leads.
struct ends_call {
  dataset_id dataset;
};
BOOST_DESCRIBE_STRUCT(ends_call, (), (dataset))

struct led_end {
  partition_index partition;
  troupe::epoch epoch;
  bool ready = false;  ///< it leads and knows the end; else it is taking over still
  record_offset end;   ///< of the partition
  std::optional<metadata::open_prefix> open;
  std::string refusing;
};
BOOST_DESCRIBE_STRUCT(led_end, (), (partition, epoch, ready, end, open, refusing))

struct ends_answer {
  std::vector<led_end> partitions;
};
BOOST_DESCRIBE_STRUCT(ends_answer, (), (partitions))

/// Whole batches of a sealed segment, from the one that holds record `from` on: about `bytes_max`, at least one.
struct batches_call {
  segment_id segment;
  digest128 digest;  ///< of the copy that is meant
  record_offset from;
  std::uint32_t bytes_max = 0;
};
BOOST_DESCRIBE_STRUCT(batches_call, (), (segment, digest, from, bytes_max))

/// Reads and checks copies that the asked one has. An open one: `digest` is nil, and `records` must be intact.
struct checked_copy {
  segment_id segment;
  digest128 digest;
  record_offset records;
  bool open = false;
};
BOOST_DESCRIBE_STRUCT(checked_copy, (), (segment, digest, records, open))

struct check_call {
  std::vector<checked_copy> copies;
};
BOOST_DESCRIBE_STRUCT(check_call, (), (copies))

struct check_verdict {
  segment_id segment;
  errc code = errc::none;  ///< none: intact
  std::string why;
  std::uint64_t bytes = 0;  ///< that were read
};
BOOST_DESCRIBE_STRUCT(check_verdict, (), (segment, code, why, bytes))

struct check_answer {
  std::vector<check_verdict> verdicts;
};
BOOST_DESCRIBE_STRUCT(check_answer, (), (verdicts))

}  // namespace troupe::logs
