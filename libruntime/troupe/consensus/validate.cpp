#include <string>
#include <troupe/base/codec.hpp>
#include <troupe/consensus/messages.hpp>

/// The checks that stand between the wire and the state machine: a fuzzer must not find a state that `raft` did not
/// expect.
namespace troupe::consensus {
namespace {

/// Far beyond anything reachable, far below where adding one would wrap.
constexpr std::uint64_t number_max = std::uint64_t{1} << 62;

error refuse(std::string_view why) { return {errc::invalid_argument, "consensus message: " + std::string(why)}; }

bool plausible(log_index i) { return i.value < number_max; }

struct checker {
  const message& m;

  result<void> operator()(const vote_request& r) const {
    if (r.last_term > m.term || !plausible(r.last_index)) return refuse("the candidate's log is ahead of its term");
    if (r.for_term.value != m.term.value + (r.pre ? 1 : 0)) return refuse("a vote for another term than the next");
    if (r.last_index.value == 0 ? r.last_term.value != 0 : r.last_term.value == 0)
      return refuse("index and term of the last entry do not fit");
    return ok();
  }
  result<void> operator()(const vote_response& r) const {
    if (r.for_term.value > m.term.value + 1) return refuse("an answer about a term to come");
    return ok();
  }
  result<void> operator()(const append_request& r) const {
    if (r.prev_term > m.term || !plausible(r.prev_index) || !plausible(r.commit))
      return refuse("an append ahead of its term");
    if (r.entries.size() > message_entries_max) return refuse("too many entries");
    auto index = r.prev_index;
    auto before = r.prev_term;
    for (const auto& e : r.entries) {
      index = index.next();
      if (e.index != index) return refuse("entries with gaps");
      if (e.term < before || e.term > m.term || e.term.value == 0) return refuse("terms of entries go back");
      if (e.payload.size() > entry_bytes_max) return refuse("an entry that is too large");
      if (e.kind > entry_kind::configuration) return refuse("an entry of an unknown kind");
      if (e.kind == entry_kind::configuration) {
        const auto members = codec::decode<configuration>(e.payload, "configuration");
        if (!members) return members.error();
        TROUPE_TRY_VOID(validate(*members));
      }
      before = e.term;
    }
    return ok();
  }
  result<void> operator()(const append_response& r) const {
    if (!plausible(r.verified) || !plausible(r.match) || !plausible(r.prev_index) || r.hint_term > m.term)
      return refuse("an acknowledgement of what cannot be");
    if (r.accepted && r.match > r.verified) return refuse("durable beyond what was compared");
    return ok();
  }
  result<void> operator()(const snapshot_chunk& r) const {
    if (r.last_index.value == 0 || !plausible(r.last_index) || r.last_term.value == 0 || r.last_term > m.term)
      return refuse("a snapshot of nothing, or ahead of its term");
    if (r.total > snapshot_bytes_max || r.offset > r.total || r.data.size() > r.total - r.offset)
      return refuse("a part outside of its snapshot");
    if (r.data.empty() && r.total != 0) return refuse("an empty part");
    return validate(r.members);
  }
  result<void> operator()(const snapshot_progress& r) const {
    if (!plausible(r.last_index) || r.next_offset > snapshot_bytes_max) return refuse("a place outside of a snapshot");
    return ok();
  }
  result<void> operator()(const read_request&) const { return ok(); }
  result<void> operator()(const read_response& r) const {
    if (!plausible(r.index)) return refuse("an index that cannot be");
    return ok();
  }
  result<void> operator()(const timeout_now& r) const {
    if (r.reserved != 0) return refuse("a reserved byte is set");
    return ok();
  }
};

}  // namespace

result<void> validate(const configuration& members) {
  if (members.voters.empty()) return refuse("a configuration without voters");
  if (members.voters.size() + members.learners.size() > configuration_members_max)
    return refuse("a configuration with too many members");
  for (const auto& id : members.voters)
    if (id.is_nil() || members.learners.contains(id))
      return refuse("a voter without id, or one that is also a learner");
  for (const auto& id : members.learners)
    if (id.is_nil()) return refuse("a learner without id");
  return ok();
}

result<void> validate(const message& m) {
  if (m.from.is_nil() || m.to.is_nil() || m.from == m.to) return refuse("from nobody, to nobody, or to itself");
  if (m.term.value >= number_max) return refuse("a term that cannot be");
  // Only a question, or a member that has just started, comes from term 0.
  if (m.term.value == 0 &&
      (std::holds_alternative<append_request>(m.body) || std::holds_alternative<snapshot_chunk>(m.body) ||
       std::holds_alternative<timeout_now>(m.body)))
    return refuse("a leader of term 0");
  return std::visit(checker{m}, m.body);
}

}  // namespace troupe::consensus
