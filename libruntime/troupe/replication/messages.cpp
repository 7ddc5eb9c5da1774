#include <string>
#include <troupe/base/checksum.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/replication/messages.hpp>

namespace troupe::replication {
namespace {

// The head: version, three zeros, crc of what follows in the head, size of the batches behind it, the coded message.
constexpr std::size_t crc_at = 4, tail_at = 8, coded_at = 12;

const shared_bytes* batches_of(const message_body& body) {
  if (const auto* append = std::get_if<append_request>(&body)) return &append->batches;
  if (const auto* read = std::get_if<read_response>(&body)) return &read->batches;
  return nullptr;
}

struct namer {
  std::string operator()(const open_request&) const { return "open"; }
  std::string operator()(const open_response& r) const { return "opened" + why(r.why); }
  std::string operator()(const append_request& r) const {
    return "append " + std::to_string(r.at.records) + "+" + std::to_string(r.size.records) + " visible " +
           to_string(r.visible);
  }
  std::string operator()(const append_response& r) const {
    return "has " + std::to_string(r.written.records) + ", durable " + std::to_string(r.durable.records) + why(r.why);
  }
  std::string operator()(const fence_request&) const { return "fence"; }
  std::string operator()(const fence_response& r) const {
    return "fenced: " + std::to_string(r.intact.records) + (r.sure ? " sure" : " unsure") +
           (r.damaged ? " damaged" : "") + ", floor " + to_string(r.floor) + why(r.why);
  }
  std::string operator()(const seal_request& r) const { return "seal at " + std::to_string(r.length.records); }
  std::string operator()(const seal_response& r) const {
    return "sealed " + std::to_string(r.summary.records) + why(r.why);
  }
  std::string operator()(const producers_request&) const { return "producers?"; }
  std::string operator()(const producers_response& r) const { return "producers" + why(r.why); }
  std::string operator()(const read_request& r) const { return "read from " + to_string(r.from); }
  std::string operator()(const read_response& r) const {
    return "read: " + std::to_string(r.batches.size()) + " bytes, visible " + to_string(r.visible) + why(r.why);
  }
  std::string operator()(const verify_request&) const { return "verify"; }
  std::string operator()(const verify_response& r) const { return "verified" + why(r.why); }
  static std::string why(refusal r) {
    switch (r) {
      case refusal::none:
        return "";
      case refusal::fenced:
        return ", refused: fenced";
      case refusal::closed:
        return ", refused: closed";
      case refusal::not_here:
        return ", refused: not here";
      case refusal::gap:
        return ", refused: a gap";
      case refusal::disk_full:
        return ", refused: disk full";
      case refusal::damaged:
        return ", refused: damaged";
      case refusal::busy:
        return ", refused: busy";
    }
    return "";
  }
};

}  // namespace

bytes encoded_message::joined() const {
  bytes out = head;
  out.append(tail.view());
  return out;
}

encoded_message encode_message(const message& m) {
  encoded_message out;
  if (const auto* batches = batches_of(m.body)) out.tail = *batches;
  out.head.assign(coded_at, '\0');
  out.head[0] = static_cast<char>(message_version);
  store_le(out.head.data() + tail_at, static_cast<std::uint32_t>(out.tail.size()));
  codec::writer(out.head).put(m);
  store_le(out.head.data() + crc_at, crc32c(bytes_view(out.head).substr(tail_at)));
  return out;
}

result<message> decode_message(const std::shared_ptr<const bytes>& frame) {
  const auto refuse = [](errc code, std::string what) { return error{code, "log message: " + std::move(what)}; };
  const bytes_view data = *frame;
  if (data.size() > message_bytes_max)
    return refuse(errc::resource_exhausted, std::to_string(data.size()) + " bytes are more than a frame holds");
  if (data.size() < coded_at) return refuse(errc::corrupted, "cut off");
  if (static_cast<std::uint8_t>(data[0]) != message_version)
    return refuse(errc::unsupported, "version " + std::to_string(static_cast<std::uint8_t>(data[0])) +
                                         ", this program speaks " + std::to_string(message_version));
  const std::size_t tail = load_le<std::uint32_t>(data.data() + tail_at);
  if (data[1] != 0 || data[2] != 0 || data[3] != 0 || tail > data.size() - coded_at)
    return refuse(errc::corrupted, "its head makes no sense");
  const auto head = data.substr(0, data.size() - tail);
  if (crc32c(head.substr(tail_at)) != load_le<std::uint32_t>(data.data() + crc_at))
    return refuse(errc::corrupted, "its checksum does not fit");
  TROUPE_TRY(auto m, codec::decode<message>(head.substr(coded_at), "log message"));
  const shared_bytes batches(frame, head.size(), tail);
  if (auto* append = std::get_if<append_request>(&m.body))
    append->batches = batches;
  else if (auto* read = std::get_if<read_response>(&m.body))
    read->batches = batches;
  else if (tail != 0)
    return refuse(errc::invalid_argument, "batches stand behind what has none");
  TROUPE_TRY_VOID(validate(m));
  return m;
}

std::string describe(const message& m) {
  return std::visit(namer{}, m.body) + " (segment " + to_string(m.segment) + ", epoch " + to_string(m.epoch) + ")";
}

}  // namespace troupe::replication
