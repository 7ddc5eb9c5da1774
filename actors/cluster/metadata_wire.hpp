#pragma once
#include <boost/describe/class.hpp>
#include <cstdint>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/error.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/metadata/commands.hpp>
#include <vector>

/// The frames between a follower and the holder of the metadata log; doc/formats/metadata_protocol.md. Payloads are
/// codec::encode of the structs.
namespace troupe::actors::wire {

/// On the wire: numbers stay.
enum class frame_type : std::uint16_t {
  hello = 1,            ///< follower: who I am, how far I am
  welcome = 2,          ///< holder: entries or a snapshot follow
  redirect = 3,         ///< not the holder, or no room: try there; ends the connection
  fenced = 4,           ///< this incarnation is no member any more; ends the connection
  snapshot = 5,         ///< a part of one
  entries = 6,          ///< committed ones, in order
  propose = 7,          ///< follower: an encoded envelope
  refused = 8,          ///< that envelope did not get into the log
  answered = 9,         ///< that envelope was applied long before
  barrier = 10,         ///< follower: how far must I be for a read that sees all that was committed by now?
  barrier_at = 11,      ///< that far; comes behind those entries
  heartbeat = 12,       ///< follower, every 100 ms
  heartbeat_seen = 13,  ///< its answer
};

struct hello {
  member_id member;
  troupe::incarnation incarnation;
  log_index applied;
};
BOOST_DESCRIBE_STRUCT(hello, (), (member, incarnation, applied))

struct welcome {
  member_id holder;
  std::string address;
  log_index committed;
};
BOOST_DESCRIBE_STRUCT(welcome, (), (holder, address, committed))

struct redirect {
  std::string address;  ///< of the holder; empty when it is not known
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(redirect, (), (address, reason))

struct fenced {
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(fenced, (), (reason))

struct snapshot_part {
  log_index index;  ///< of the last entry in it
  std::uint64_t total_bytes = 0;
  std::uint64_t position = 0;  ///< of this part
  bytes data;
};
BOOST_DESCRIBE_STRUCT(snapshot_part, (), (index, total_bytes, position, data))

struct entries {
  log_index first;
  std::vector<bytes> envelopes;
};
BOOST_DESCRIBE_STRUCT(entries, (), (first, envelopes))

struct answer {
  request_id id;
  errc code = errc::none;
  std::string message;
  metadata::response response;
};
BOOST_DESCRIBE_STRUCT(answer, (), (id, code, message, response))

struct barrier {
  std::uint64_t number = 0;
};
BOOST_DESCRIBE_STRUCT(barrier, (), (number))

struct barrier_at {
  std::uint64_t number = 0;
  log_index index;
};
BOOST_DESCRIBE_STRUCT(barrier_at, (), (number, index))

struct heartbeat {
  std::int64_t sent_ns = 0;  ///< the follower's monotonic clock; comes back as it is
};
BOOST_DESCRIBE_STRUCT(heartbeat, (), (sent_ns))

struct heartbeat_seen {
  std::int64_t sent_ns = 0;
  bool lease = false;  ///< this incarnation counts as a member
  log_index committed;
};
BOOST_DESCRIBE_STRUCT(heartbeat_seen, (), (sent_ns, lease, committed))

/// Of a part of a snapshot, or of the entries in one frame.
inline constexpr std::size_t part_bytes_max = 1 << 20;

inline answer make_answer(request_id id, const result<metadata::response>& r) {
  if (r) return {id, errc::none, {}, *r};
  return {id, r.error().code(), r.error().message(), {}};
}
inline result<metadata::response> result_of(answer a) {
  if (a.code == errc::none) return std::move(a.response);
  return error{a.code > errc::internal ? errc::internal : a.code, std::move(a.message)};
}

}  // namespace troupe::actors::wire
