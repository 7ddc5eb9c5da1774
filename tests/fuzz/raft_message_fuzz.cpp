/// Messages between members of the metadata's consensus. Input: a frame's payload.
#include <string>
#include <support/codec_property.hpp>
#include <troupe/consensus/messages.hpp>

namespace troupe::fuzz {

using namespace consensus;

void one_input(bytes_view input) {
  const auto got = decode_message(input);
  if (!got) return;
  TROUPE_INVARIANT(validate(*got).has_value(), "a message that is not valid got in");
  TROUPE_INVARIANT(!describe(*got).empty(), "no words for a message");
  const auto again = encode_message(*got);
  TROUPE_INVARIANT(again.size() <= input.size(), "a message grows when it is encoded again");
  const auto twice = decode_message(again);
  TROUPE_INVARIANT(twice.has_value() && encode_message(*twice) == again, "a message changes when it is encoded again");
}

std::vector<bytes> seeds() {
  std::vector<bytes> made;
  const auto add = [&](message_body body) {
    message m;
    m.from.value.octets[0] = 1;
    m.to.value.octets[0] = 2;
    m.term = term{9};
    m.body = std::move(body);
    made.push_back(encode_message(m));
  };
  configuration members;
  for (std::uint8_t i = 1; i < 6; ++i) (i < 4 ? members.voters : members.learners).insert(member_id{uuid{{i}}});
  add(vote_request{false, true, term{9}, log_index{40}, term{8}});
  add(vote_request{true, false, term{10}, log_index{40}, term{8}});
  add(vote_response{true, true, term{10}});
  append_request append{log_index{40}, term{8}, log_index{39}, 12, {}};
  add(append);
  append.entries.push_back({term{8}, log_index{41}, entry_kind::command, "command"});
  append.entries.push_back({term{9}, log_index{42}, entry_kind::noop, {}});
  append.entries.push_back({term{9}, log_index{43}, entry_kind::configuration, codec::encode(members)});
  add(append);
  add(append_response{true, 12, log_index{40}, log_index{43}, log_index{42}, term{}});
  add(append_response{false, 12, log_index{40}, log_index{}, log_index{30}, term{7}});
  add(snapshot_chunk{log_index{30}, term{7}, members, 100, 10, 12, bytes(20, 's')});
  add(snapshot_progress{log_index{30}, 30, 12});
  add(read_request{4});
  add(read_response{4, true, log_index{43}});
  add(timeout_now{});
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
