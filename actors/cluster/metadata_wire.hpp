#pragma once
#include <boost/describe/class.hpp>
#include <cstdint>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/base/error.hpp>
#include <troupe/base/ids.hpp>
#include <troupe/metadata/commands.hpp>

/// The frames between two members of the metadata service; doc/formats/metadata_protocol.md. Payloads are codec::encode
/// of the structs, save `propose` (an encoded envelope) and `raft` (consensus::encode_message).
namespace troupe::actors::wire {

/// On the wire: numbers stay. 3, 5, 6, 10 and 11 belonged to the protocol before consensus and are not used again.
enum class frame_type : std::uint16_t {
  hello = 1,            ///< dialler: who I am, where I listen, how far my log goes
  welcome = 2,          ///< acceptor: the same of it, and who leads
  fenced = 4,           ///< this incarnation is no member any more; ends the connection
  propose = 7,          ///< to the leader: an encoded envelope
  refused = 8,          ///< that envelope did not get into the log
  answered = 9,         ///< that envelope was applied, by the entry at `applied` or before
  heartbeat = 12,       ///< dialler, every 100 ms
  heartbeat_seen = 13,  ///< its answer
  raft = 14,            ///< a message of consensus
  leader = 15,          ///< «I do not lead; this one does»: the answer to a proposal that came to the wrong place
};

struct leader_hint {
  member_id id;         ///< nil when it is not known
  std::string address;  ///< of its gate
};
BOOST_DESCRIBE_STRUCT(leader_hint, (), (id, address))

struct hello {
  member_id member;
  troupe::incarnation incarnation;
  std::string address;
  troupe::term term;
  log_index last;  ///< of its log
};
BOOST_DESCRIBE_STRUCT(hello, (), (member, incarnation, address, term, last))

struct welcome {
  hello self;
  leader_hint leader;
};
BOOST_DESCRIBE_STRUCT(welcome, (), (self, leader))

struct fenced {
  std::string reason;
};
BOOST_DESCRIBE_STRUCT(fenced, (), (reason))

struct answer {
  request_id id;
  errc code = errc::none;
  std::string message;
  metadata::response response;
  log_index applied;  ///< where the answer is known: nobody reports it before this entry is applied
};
BOOST_DESCRIBE_STRUCT(answer, (), (id, code, message, response, applied))

struct heartbeat {
  std::int64_t sent_ns = 0;  ///< the sender's monotonic clock; comes back as it is
};
BOOST_DESCRIBE_STRUCT(heartbeat, (), (sent_ns))

struct heartbeat_seen {
  std::int64_t sent_ns = 0;
  bool lease = false;  ///< said by the leader: this incarnation counts as a member
  leader_hint leader;
};
BOOST_DESCRIBE_STRUCT(heartbeat_seen, (), (sent_ns, lease, leader))

inline answer make_answer(request_id id, const result<metadata::response>& r, log_index applied) {
  if (r) return {id, errc::none, {}, *r, applied};
  return {id, r.error().code(), r.error().message(), {}, applied};
}
inline result<metadata::response> result_of(answer a) {
  if (a.code == errc::none) return std::move(a.response);
  return error{a.code > errc::internal ? errc::internal : a.code, std::move(a.message)};
}

}  // namespace troupe::actors::wire
