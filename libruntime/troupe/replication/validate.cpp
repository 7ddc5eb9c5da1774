#include <string>
#include <troupe/format/producer_table.hpp>
#include <troupe/replication/messages.hpp>

/// What must hold of a message whoever sent it: enums are known, sizes agree and are within limits.
namespace troupe::replication {
namespace {

constexpr std::uint64_t number_max = std::uint64_t{1} << 62;

error wrong(std::string what) { return {errc::invalid_argument, "log message: " + std::move(what)}; }

result<void> check_why(refusal why) {
  if (why > refusal::busy) return wrong("a refusal that this build does not know");
  return ok();
}

result<void> check_extent(const extent& e) {
  // A record takes a byte at least, a batch has one record at least; the first batch is a table without any.
  if (e.records > number_max || e.bytes > number_max || e.records > e.bytes) return wrong("a place that cannot be");
  return ok();
}

result<void> check_mark(record_offset mark) {
  if (mark.value > number_max) return wrong("a mark that cannot be");
  return ok();
}

result<void> check_table(const bytes& producers, refusal why) {
  if (why != refusal::none && producers.empty()) return ok();
  TROUPE_TRY(const auto table, format::decode_producer_table(producers));
  (void)table;
  return ok();
}

struct checker {
  result<void> operator()(const open_request& r) const {
    if (r.format > data_format::bytes || r.sync > sync_policy::seal) return wrong("an unknown format or sync policy");
    if (r.expected_bytes > number_max) return wrong("a size that cannot be");
    return ok();
  }
  result<void> operator()(const open_response& r) const { return check_why(r.why); }
  result<void> operator()(const append_request& r) const {
    TROUPE_TRY_VOID(check_extent(r.at));
    TROUPE_TRY_VOID(check_mark(r.floor));
    TROUPE_TRY_VOID(check_mark(r.visible));
    if (r.batches.size() > batches_bytes_max || r.size.bytes != r.batches.size() || r.size.records > r.size.bytes)
      return wrong("batches of " + std::to_string(r.batches.size()) + " bytes, announced as " +
                   std::to_string(r.size.bytes));
    if (r.size.bytes == 0 && r.size.records != 0) return wrong("records without bytes");
    return ok();
  }
  result<void> operator()(const append_response& r) const {
    TROUPE_TRY_VOID(check_why(r.why));
    TROUPE_TRY_VOID(check_extent(r.written));
    TROUPE_TRY_VOID(check_mark(r.visible));
    if (r.durable.records > r.written.records || r.durable.bytes > r.written.bytes)
      return wrong("more is durable than was written");
    return ok();
  }
  result<void> operator()(const fence_request& r) const {
    if (r.sync > sync_policy::seal) return wrong("an unknown sync policy");
    return ok();
  }
  result<void> operator()(const fence_response& r) const {
    TROUPE_TRY_VOID(check_why(r.why));
    TROUPE_TRY_VOID(check_extent(r.intact));
    TROUPE_TRY_VOID(check_mark(r.visible));
    if (r.sure && r.damaged) return wrong("sure and damaged");
    return check_mark(r.floor);
  }
  result<void> operator()(const seal_request& r) const { return check_extent(r.length); }
  result<void> operator()(const seal_response& r) const {
    TROUPE_TRY_VOID(check_why(r.why));
    TROUPE_TRY_VOID(check_extent(r.written));
    const auto& s = r.summary;
    if (s.payload_bytes > s.file_bytes || s.file_bytes > number_max || s.records > s.file_bytes)
      return wrong("a sealed segment that cannot be");
    return check_table(r.producers, r.why);
  }
  result<void> operator()(const producers_request& r) const {
    if (r.reserved != 0) return wrong("a reserved byte is not zero");
    return ok();
  }
  result<void> operator()(const producers_response& r) const {
    TROUPE_TRY_VOID(check_why(r.why));
    return check_table(r.producers, r.why);
  }
  result<void> operator()(const read_request& r) const { return check_mark(r.from); }
  result<void> operator()(const verify_request&) const { return ok(); }
  result<void> operator()(const verify_response& r) const { return check_why(r.why); }
  result<void> operator()(const read_response& r) const {
    TROUPE_TRY_VOID(check_why(r.why));
    return check_mark(r.visible);
  }
};

}  // namespace

result<void> validate(const message& m) {
  if (m.cluster.is_nil() || m.to.member.is_nil()) return wrong("no cluster, or nobody that it is for");
  const bool from_reader = std::holds_alternative<read_request>(m.body);
  if (m.from.member.is_nil() && !from_reader) return wrong("nobody sent it");
  if (m.segment.value == 0 || m.segment.value > number_max || m.epoch.value > number_max)
    return wrong("a segment or an epoch that cannot be");
  return std::visit(checker{}, m.body);
}

}  // namespace troupe::replication
