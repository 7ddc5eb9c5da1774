#pragma once
#include <boost/describe/class.hpp>
#include <cstdint>
#include <string_view>
#include <troupe/base/limits.hpp>
#include <troupe/base/result.hpp>
#include <troupe/consensus/types.hpp>
#include <variant>

/// What members say to each other; doc/formats/raft_messages.md is the page. Delivery may fail, repeat and reorder:
/// nothing here counts on it.
namespace troupe::consensus {

inline constexpr std::uint8_t message_version = 1;
inline constexpr std::size_t message_bytes_max = limits::frame_bytes_max;
inline constexpr std::size_t entry_bytes_max = std::size_t{1} << 20;  ///< of one payload, so that it fits a frame alone
inline constexpr std::size_t message_entries_max = 4096;  ///< more is rubbish: a batch ends at its bytes long before
inline constexpr std::size_t configuration_members_max = limits::members_max;
inline constexpr std::uint64_t snapshot_bytes_max = std::uint64_t{1} << 30;

/// «Would you elect me for `for_term`?» `pre`: only a question (§9.6). `forced`: the leader itself asked for it, so its
/// followers need not wait it out.
struct vote_request {
  bool pre = false;
  bool forced = false;
  troupe::term for_term;
  log_index last_index;
  troupe::term last_term;
};
BOOST_DESCRIBE_STRUCT(vote_request, (), (pre, forced, for_term, last_index, last_term))

struct vote_response {
  bool pre = false;
  bool granted = false;
  troupe::term for_term;
};
BOOST_DESCRIBE_STRUCT(vote_response, (), (pre, granted, for_term))

/// Entries prev_index + 1 … or none (a heartbeat). `round` grows with every broadcast and comes back: it dates the
/// follower's loyalty.
struct append_request {
  log_index prev_index;
  troupe::term prev_term;
  log_index commit;
  std::uint64_t round = 0;
  std::vector<entry> entries;
};
BOOST_DESCRIBE_STRUCT(append_request, (), (prev_index, prev_term, commit, round, entries))

/// accepted: the log agrees with the leader's up to `verified` and is durable up to `match` (≤ verified).
/// rejected: it does not have `prev_index` with its term; `match` is where to look next, `hint_term` the term there.
struct append_response {
  bool accepted = false;
  std::uint64_t round = 0;
  log_index prev_index;  ///< of the request
  log_index verified;
  log_index match;
  troupe::term hint_term;
};
BOOST_DESCRIBE_STRUCT(append_response, (), (accepted, round, prev_index, verified, match, hint_term))

/// A part of a snapshot. The receiver takes them in order and answers what it wants next; when it has all and they are
/// durable, an append_response.
struct snapshot_chunk {
  log_index last_index;
  troupe::term last_term;
  configuration members;
  std::uint64_t total = 0;   ///< bytes of the whole state
  std::uint64_t offset = 0;  ///< of `data` in it
  std::uint64_t round = 0;
  bytes data;
};
BOOST_DESCRIBE_STRUCT(snapshot_chunk, (), (last_index, last_term, members, total, offset, round, data))

struct snapshot_progress {
  log_index last_index;
  std::uint64_t next_offset = 0;
  std::uint64_t round = 0;
};
BOOST_DESCRIBE_STRUCT(snapshot_progress, (), (last_index, next_offset, round))

/// A member that does not lead asks for the index that a linearizable read has to wait for (§6.4).
struct read_request {
  std::uint64_t id = 0;
};
BOOST_DESCRIBE_STRUCT(read_request, (), (id))

struct read_response {
  std::uint64_t id = 0;
  bool granted = false;
  log_index index;
};
BOOST_DESCRIBE_STRUCT(read_response, (), (id, granted, index))

/// «Campaign now»: the leader gives way (§3.10).
struct timeout_now {
  std::uint8_t reserved = 0;
};
BOOST_DESCRIBE_STRUCT(timeout_now, (), (reserved))

/// Append-only: the index stands on the wire.
using message_body = std::variant<vote_request, vote_response, append_request, append_response, snapshot_chunk,
                                  snapshot_progress, read_request, read_response, timeout_now>;

struct message {
  cluster_id cluster;
  member_id from;
  member_id to;
  troupe::term term;  ///< the sender's
  message_body body;
};
BOOST_DESCRIBE_STRUCT(message, (), (cluster, from, to, term, body))

/// At most message_bytes_max bytes for what `raft` sends.
bytes encode_message(const message& m);
/// Decodes and validates. `resource_exhausted` above the limit, `unsupported` for another version, `corrupted` or
/// `invalid_argument` for what no member would send.
result<message> decode_message(bytes_view data);
/// What must hold of any message, whatever the receiver's state: ids are set, indices follow each other, terms never go
/// back, sizes are within limits.
result<void> validate(const message& m);
/// Says «append 5…9 of term 3 from 1a2b»; for logs.
std::string describe(const message& m);

/// An entry's payload as the log on disk and snapshots hold it: one byte of kind before it.
bytes encode_payload(const entry& e);
result<void> decode_payload(bytes_view data, entry& into);
/// A snapshot's state as the snapshot file holds it: configuration, then the state machine's bytes.
bytes encode_snapshot_state(const snapshot& s);
result<void> decode_snapshot_state(bytes_view data, snapshot& into);

result<void> validate(const configuration& members);

}  // namespace troupe::consensus
