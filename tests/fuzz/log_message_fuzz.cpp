/// Messages between leaders, replicas and readers of logs. Input: a frame's payload.
#include <memory>
#include <string>
#include <support/codec_property.hpp>
#include <troupe/format/batch.hpp>
#include <troupe/replication/messages.hpp>

namespace troupe::fuzz {

using namespace replication;

void one_input(bytes_view input) {
  const auto got = decode_message(std::make_shared<const bytes>(input));
  if (!got) {
    TROUPE_INVARIANT(!got.error().message().empty(), "a refusal without words");
    return;
  }
  TROUPE_INVARIANT(validate(*got).has_value(), "a message that is not valid got in");
  TROUPE_INVARIANT(!describe(*got).empty(), "no words for a message");
  const auto again = encode_message(*got).joined();
  TROUPE_INVARIANT(again.size() <= input.size(), "a message grows when it is encoded again");
  const auto twice = decode_message(std::make_shared<const bytes>(again));
  TROUPE_INVARIANT(twice.has_value() && encode_message(*twice).joined() == again,
                   "a message changes when it is encoded again");
  // What a replica does with batches that nobody has checked yet.
  const auto* append = std::get_if<append_request>(&got->body);
  if (append == nullptr) return;
  format::batch_cursor cursor(append->batches.view(), got->segment);
  cursor.give_tables();
  format::batch_view batch;
  std::size_t seen = 0;
  for (;;) {
    const auto more = cursor.next(batch);
    if (!more || !*more) break;
    seen += format::batch_header_bytes + batch.payload.size();
    TROUPE_INVARIANT(seen <= append->batches.size(), "more batches than bytes");
  }
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  const auto add = [&](message_body body, bool from_reader = false) {
    message m;
    m.cluster.value.octets[0] = 9;
    if (!from_reader) m.from = {member_id{uuid{{1}}}, incarnation{3}};
    m.to = {member_id{uuid{{2}}}, incarnation{4}};
    m.where = {dataset_id{5}, partition_index{1}};
    m.segment = segment_id{7};
    m.epoch = troupe::epoch{6};
    m.request = 12;
    m.body = std::move(body);
    made.push_back(encode_message(m).joined());
  };
  format::batch_header header;
  header.segment = segment_id{7};
  header.first_offset = record_offset{4};
  header.count = 2;
  const auto batch = format::encode_batch(header, "some\nlines\n");
  add(open_request{data_format::lines, {}, 1'700'000'000'000, sync_policy::batch, 64 << 20});
  add(open_response{refusal::busy});
  add(append_request{{4, 200}, {2, batch.size()}, record_offset{3}, record_offset{4}, shared_bytes(batch)});
  add(append_request{{4, 200}, {}, record_offset{3}, record_offset{4}, {}});
  add(append_response{refusal::gap, {4, 200}, {3, 150}, record_offset{3}, 1'700'000'000'000});
  add(fence_request{sync_policy::seal});
  add(fence_response{refusal::none, troupe::epoch{6}, true, false, {4, 200}, record_offset{3}, record_offset{4}, 17});
  add(seal_request{{4, 200}, true});
  add(seal_response{refusal::gap, {3, 150}, {}, 0, {}});
  format::producer_table table;
  format::merge(table, {uuid{{8}}, 3, segment_id{7}, record_offset{4}, 2, 17});
  add(seal_response{refusal::none, {4, 200}, {}, 17, format::encode_producer_table(table)});
  add(producers_request{});
  add(producers_response{refusal::none, 17, format::encode_producer_table(table)});
  add(read_request{record_offset{2}, 1000, 30}, true);
  add(read_response{refusal::none, record_offset{6}, false, shared_bytes(batch)});
  add(verify_request{digest128{3, 4}});
  add(verify_response{refusal::damaged});
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
