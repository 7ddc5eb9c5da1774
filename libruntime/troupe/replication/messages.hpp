#pragma once
#include <string>
#include <troupe/base/limits.hpp>
#include <troupe/format/segment.hpp>
#include <troupe/replication/types.hpp>
#include <variant>

/// What leaders of logs, replicas and readers say to each other over the protocol `log`; doc/formats/log_protocol.md is
/// the page. Delivery may fail, repeat and reorder. An answer repeats the request's number and segment.
namespace troupe::replication {

inline constexpr std::uint8_t message_version = 1;
inline constexpr std::size_t message_bytes_max = limits::frame_bytes_max;
/// Batches in one message, and so of one batch that is appended: a request of a producer for one partition is at most
/// so large. The frame has 4 KiB for the head.
inline constexpr std::size_t batches_bytes_max = std::size_t{1} << 20;

enum class refusal : std::uint8_t {
  none,
  fenced,     ///< it promised a higher epoch: the sender leads no longer
  closed,     ///< the segment is closed here: sealed, fenced, damaged, or the member was started again
  not_here,   ///< no such segment
  gap,        ///< what comes before is missing; the answer says how far it is
  disk_full,  ///< it can't take any more
  damaged,    ///< its bytes are wrong
  busy,       ///< its queues are full: later
};
BOOST_DESCRIBE_ENUM(refusal, none, fenced, closed, not_here, gap, disk_full, damaged, busy)

/// Leader to replica: create the file of a segment that metadata has just opened.
struct open_request {
  data_format format = data_format::lines;
  format::schema_id schema;
  std::int64_t created_at_unix_ms = 0;
  sync_policy sync = sync_policy::batch;
  std::uint64_t expected_bytes = 0;  ///< to be reserved on the disk
};
BOOST_DESCRIBE_STRUCT(open_request, (), (format, schema, created_at_unix_ms, sync, expected_bytes))

struct open_response {
  refusal why = refusal::none;
};
BOOST_DESCRIBE_STRUCT(open_response, (), (why))

/// Whole batches that follow `at`; none: news of the marks only.
struct append_request {
  extent at{};
  extent size{};            ///< of `batches`
  record_offset floor{};    ///< records below are on the disks of all replicas
  record_offset visible{};  ///< the high-water mark: records below may be read
  shared_bytes batches{};   ///< behind the head on the wire; each has its own checksum
};
BOOST_DESCRIBE_STRUCT(append_request, (), (at, size, floor, visible))

/// How far the replica is. Comes whenever that changes, and for every request that changes nothing.
struct append_response {
  refusal why = refusal::none;
  extent written{};
  extent durable{};
  record_offset visible{};  ///< that it knows of
  std::int64_t clock_unix_ms = 0;
};
BOOST_DESCRIBE_STRUCT(append_response, (), (why, written, durable, visible, clock_unix_ms))

/// «Promise durably to refuse epochs below the message's, and say what you have.»
struct fence_request {
  sync_policy sync = sync_policy::batch;
};
BOOST_DESCRIBE_STRUCT(fence_request, (), (sync))

struct fence_response {
  refusal why = refusal::none;  ///< `fenced`: it promised more to somebody else
  troupe::epoch promised{};
  bool sure = false;     ///< it has everything that it ever acknowledged
  bool damaged = false;  ///< bytes are wrong below what was durable; the intact ones before them count
  extent intact{};
  record_offset floor{};
  record_offset visible{};
  std::int64_t last_append_unix_ms = 0;
};
BOOST_DESCRIBE_STRUCT(fence_response, (), (why, promised, sure, damaged, intact, floor, visible, last_append_unix_ms))

/// Close the segment at exactly this length: cut what is behind, write the footer, sync.
struct seal_request {
  extent length{};
  bool verify = false;  ///< read everything again first: fewer than all replicas will hold it
};
BOOST_DESCRIBE_STRUCT(seal_request, (), (length, verify))

struct seal_response {
  refusal why = refusal::none;  ///< `gap`: it has only `written`
  extent written{};
  format::segment_summary summary{};
  std::int64_t last_append_unix_ms = 0;
  bytes producers{};  ///< format::encode_producer_table of its footer
};
BOOST_DESCRIBE_STRUCT(seal_response, (), (why, written, summary, last_append_unix_ms, producers))

/// The producer table of a sealed segment's footer, for a leader that takes over behind it.
struct producers_request {
  std::uint8_t reserved = 0;
};
BOOST_DESCRIBE_STRUCT(producers_request, (), (reserved))

struct producers_response {
  refusal why = refusal::none;
  std::int64_t last_append_unix_ms = 0;
  bytes producers{};
};
BOOST_DESCRIBE_STRUCT(producers_response, (), (why, last_append_unix_ms, producers))

/// A reader, of any replica: whole batches from the one that holds `from` on, below the high-water mark. Nothing there
/// yet: the answer waits up to `wait_ms`, and says so with no batches.
struct read_request {
  record_offset from{};
  std::uint32_t bytes_max = 0;
  std::uint32_t wait_ms = 0;
};
BOOST_DESCRIBE_STRUCT(read_request, (), (from, bytes_max, wait_ms))

struct read_response {
  refusal why = refusal::none;
  record_offset visible{};
  bool sealed = false;     ///< `visible` is the segment's end
  shared_bytes batches{};  ///< behind the head on the wire
};
BOOST_DESCRIBE_STRUCT(read_response, (), (why, visible, sealed))

/// «Read your sealed copy and compare»: before somebody else gives one up, and for `verify`.
struct verify_request {
  digest128 digest;
};
BOOST_DESCRIBE_STRUCT(verify_request, (), (digest))

struct verify_response {
  refusal why = refusal::none;  ///< `damaged` or `not_here`
};
BOOST_DESCRIBE_STRUCT(verify_response, (), (why))

/// Append-only: the index stands on the wire.
using message_body = std::variant<open_request, open_response, append_request, append_response, fence_request,
                                  fence_response, seal_request, seal_response, producers_request, producers_response,
                                  read_request, read_response, verify_request, verify_response>;

struct message {
  cluster_id cluster;
  replica_ref from;  ///< a reader that is no member has a nil id
  replica_ref to;    ///< another start of the receiver refuses it
  partition_key where;
  segment_id segment;
  troupe::epoch epoch{};      ///< the sender's, or the one answered
  std::uint64_t request = 0;  ///< the sender's own number; an answer repeats it
  message_body body;
};
BOOST_DESCRIBE_STRUCT(message, (), (cluster, from, to, where, segment, epoch, request, body))

/// Head and, uncopied, the batches behind it: written to the connection one after the other.
struct encoded_message {
  bytes head{};
  shared_bytes tail{};
  [[nodiscard]] bytes joined() const;
};
encoded_message encode_message(const message& m);

/// Decodes and validates; batches stay in `frame`. `resource_exhausted` above the limit, `unsupported` for another
/// version, `corrupted` or `invalid_argument` for what no member would send. The batches' own checksums are the
/// replica's to check.
result<message> decode_message(const std::shared_ptr<const bytes>& frame);
/// What must hold of any message, whatever the receiver's state.
result<void> validate(const message& m);
/// «append 40+3 of segment 7, epoch 5»; for logs.
std::string describe(const message& m);

}  // namespace troupe::replication
