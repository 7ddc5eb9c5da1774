#include <string>
#include <troupe/base/codec.hpp>
#include <troupe/consensus/messages.hpp>

namespace troupe::consensus {

bytes encode_message(const message& m) {
  bytes out;
  out.push_back(static_cast<char>(message_version));
  codec::writer(out).put(m);
  return out;
}

result<message> decode_message(bytes_view data) {
  if (data.size() > message_bytes_max)
    return error{errc::resource_exhausted, "a consensus message of " + std::to_string(data.size()) +
                                               " bytes, at most " + std::to_string(message_bytes_max) + " are read"};
  if (data.empty()) return error{errc::corrupted, "an empty consensus message"};
  if (static_cast<std::uint8_t>(data.front()) != message_version)
    return error{errc::unsupported, "a consensus message of version " +
                                        std::to_string(static_cast<std::uint8_t>(data.front())) +
                                        "; run the same version of troupe on every node"};
  auto decoded = codec::decode<message>(data.substr(1), "consensus message");
  if (!decoded) return decoded.error();
  TROUPE_TRY_VOID(validate(*decoded));
  return decoded;
}

bytes encode_payload(const entry& e) {
  bytes out;
  out.reserve(e.payload.size() + 1);
  out.push_back(static_cast<char>(e.kind));
  out.append(e.payload);
  return out;
}

result<void> decode_payload(bytes_view data, entry& into) {
  if (data.empty() || static_cast<std::uint8_t>(data.front()) > static_cast<std::uint8_t>(entry_kind::configuration))
    return error{errc::corrupted, "log entry " + to_string(into.index) + ": its kind is unknown; use a newer troupe"};
  into.kind = static_cast<entry_kind>(data.front());
  into.payload.assign(data.substr(1));
  return ok();
}

bytes encode_snapshot_state(const snapshot& s) {
  bytes out;
  codec::writer(out).put(s.members);
  if (s.state) out.append(*s.state);
  return out;
}

result<void> decode_snapshot_state(bytes_view data, snapshot& into) {
  codec::reader in(data);
  if (!in.get(into.members)) return error{errc::corrupted, "snapshot: its configuration does not decode"};
  TROUPE_TRY_VOID(validate(into.members));
  into.state = std::make_shared<const bytes>(data.substr(data.size() - in.left()));
  return ok();
}

namespace {

std::string_view word(bool yes, std::string_view text) { return yes ? text : std::string_view{}; }

struct describer {
  std::string operator()(const vote_request& r) const {
    return std::string(word(r.pre, "pre-")) + std::string(word(r.forced, "forced ")) + "vote? for term " +
           to_string(r.for_term) + ", log " + to_string(r.last_index) + "/" + to_string(r.last_term);
  }
  std::string operator()(const vote_response& r) const {
    return std::string(word(r.pre, "pre-")) + "vote " + (r.granted ? "granted" : "refused") + " for term " +
           to_string(r.for_term);
  }
  std::string operator()(const append_request& r) const {
    return "append " + std::to_string(r.entries.size()) + " behind " + to_string(r.prev_index) + "/" +
           to_string(r.prev_term) + ", commit " + to_string(r.commit) + ", round " + std::to_string(r.round);
  }
  std::string operator()(const append_response& r) const {
    return std::string(r.accepted ? "accepted" : "rejected") + " behind " + to_string(r.prev_index) + ", verified " +
           to_string(r.verified) + ", match " + to_string(r.match) + ", round " + std::to_string(r.round);
  }
  std::string operator()(const snapshot_chunk& r) const {
    return "snapshot " + to_string(r.last_index) + "/" + to_string(r.last_term) + " at " + std::to_string(r.offset) +
           " of " + std::to_string(r.total);
  }
  std::string operator()(const snapshot_progress& r) const {
    return "snapshot " + to_string(r.last_index) + " wants " + std::to_string(r.next_offset);
  }
  std::string operator()(const read_request& r) const { return "read? " + std::to_string(r.id); }
  std::string operator()(const read_response& r) const {
    return "read " + std::to_string(r.id) + (r.granted ? " at " + to_string(r.index) : " refused");
  }
  std::string operator()(const timeout_now&) const { return "campaign now"; }
};

}  // namespace

std::string describe(const message& m) {
  return std::visit(describer{}, m.body) + " (term " + to_string(m.term) + ", " + m.from.value.short_string() + " to " +
         m.to.value.short_string() + ")";
}

}  // namespace troupe::consensus
