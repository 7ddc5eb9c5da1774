#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/base/limits.hpp>
#include <troupe/base/schema.hpp>
#include <troupe/dataflow/attempt.hpp>
#include <troupe/format/segment.hpp>

/// The frames of protocol `block`; doc/formats/block_protocol.md draws the exchanges. A connection carries one request
/// at a time; requests are codec bytes of the structs below. Every request is answered by what it asks for, or by
/// `failure`; after either the connection is ready for the next.
///
///   get_map_output, get_range  →  block, more…, block, more…, end
///   get_module                 →  block, more…, end
///   get_raw                    →  raw…, end
///   pull_segment               →  sealed
///   open_segment               →  opened;  append, more… → appended (each, in order);  seal → sealed
///
/// A writer that closes instead of sealing has aborted: the replica removes the file.
namespace troupe::data::block_protocol {

/// Numbers on the wire: append only.
enum class frame_type : std::uint16_t {
  failure = 1,
  get_map_output,
  get_range,
  get_module,
  get_raw,
  pull_segment,
  open_segment,
  append,  ///< append_head, then the payload's beginning
  seal,    ///< empty
  block,   ///< block_head, then the block's beginning
  more,    ///< what did not fit into the frame before
  raw,     ///< bytes of a batches region
  end,     ///< empty
  opened,
  appended,  ///< empty: one for each append
  sealed,    ///< codec bytes of segment_summary
};

/// Room for a head and a chunk: what goes into one frame at most, so that a chunk of limits::chunk_bytes_max is one
/// frame.
inline constexpr std::size_t piece_bytes_max = limits::chunk_bytes_max;

struct failure {
  errc code = errc::internal;
  std::string message;
};
BOOST_DESCRIBE_STRUCT(failure, (), (code, message))

struct get_map_output {
  dataflow::attempt_key attempt;
  partition_index partition;
};
BOOST_DESCRIBE_STRUCT(get_map_output, (), (attempt, partition))

/// The batches that begin in [from, to), as payloads: whole batches joined up to `block_bytes`.
struct get_range {
  segment_id segment;
  digest128 digest;  ///< of the copy that is wanted: another one is answered by `corrupted`; nil: of an open segment
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::uint64_t bytes_max = 0;  ///< stop after the block that reaches so many payload bytes; 0: no bound
  std::uint32_t block_bytes = limits::chunk_bytes_max;
};
BOOST_DESCRIBE_STRUCT(get_range, (), (segment, digest, from, to, bytes_max, block_bytes))

struct get_module {
  std::string hash;
};
BOOST_DESCRIBE_STRUCT(get_module, (), (hash))

/// The batches region of a segment, byte for byte.
struct get_raw {
  segment_id segment;
  digest128 digest;
};
BOOST_DESCRIBE_STRUCT(get_raw, (), (segment, digest))

/// What the header of a segment's file says, and so every replica of it has to know.
struct open_segment {
  segment_id segment;
  dataset_id dataset;
  partition_index partition;
  data_format format = data_format::lines;
  format::schema_id schema;
  std::int64_t created_at_unix_ms = 0;
  std::uint64_t expected_bytes = 0;  ///< reserved on the disk, so that a full one shows early; 0: nothing is
};
BOOST_DESCRIBE_STRUCT(open_segment, (),
                      (segment, dataset, partition, format, schema, created_at_unix_ms, expected_bytes))

/// Make a copy of a sealed segment by reading it from another member.
struct pull_segment {
  open_segment what;
  format::segment_summary summary;
  member_id from;
};
BOOST_DESCRIBE_STRUCT(pull_segment, (), (what, summary, from))

/// Fixed size, in front of a block's bytes in the same frame.
struct block_head {
  static constexpr std::size_t wire_bytes = 48;
  std::uint64_t size = 0;
  std::uint64_t records = 0;
  digest128 digest;
  record_offset first;     ///< get_range: of the first record, within the segment
  std::uint64_t next = 0;  ///< get_range: where the batch behind this block begins: another holder can go on from there
};
BOOST_DESCRIBE_STRUCT(block_head, (), (size, records, digest, first, next))

struct append_head {
  static constexpr std::size_t wire_bytes = 20;
  std::uint64_t size = 0;  ///< of the payload
  std::uint32_t records = 0;
  std::int64_t append_time_unix_ms = 0;
};
BOOST_DESCRIBE_STRUCT(append_head, (), (size, records, append_time_unix_ms))

}  // namespace troupe::data::block_protocol
