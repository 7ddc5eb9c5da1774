#include "cluster.hpp"

using namespace troupe;
using namespace troupe::consensus;

namespace {

std::vector<message_body> one_of_each() {
  const entry e = command_entry(3, 8, "x");
  return {vote_request{false, false, term{3}, log_index{7}, term{2}},
          vote_response{true, true, term{4}},
          append_request{log_index{7}, term{2}, log_index{6}, 9, {e}},
          append_response{true, 9, log_index{7}, log_index{8}, log_index{8}, {}},
          snapshot_chunk{log_index{7}, term{2}, voters({1, 2}, {3}), 10, 4, 9, "abc"},
          snapshot_progress{log_index{7}, 7, 9},
          read_request{5},
          read_response{5, true, log_index{8}},
          timeout_now{}};
}

}  // namespace

TEST_CASE("every message reads back as written") {
  for (const auto& body : one_of_each()) {
    const auto m = from(1, 2, 3, body);
    const auto raw = encode_message(m);
    const auto back = decode_message(raw);
    REQUIRE_OK(back);
    CHECK(encode_message(*back) == raw);
    CHECK(describe(*back) == describe(m));
  }
}

TEST_CASE("a message that is cut off, too large or of another version is refused") {
  const auto raw = encode_message(from(1, 2, 3, one_of_each()[2]));
  for (std::size_t size = 0; size < raw.size(); ++size) CHECK_FALSE(decode_message(bytes_view(raw).substr(0, size)));
  CHECK_FALSE(decode_message(raw + "x"));
  CHECK(decode_message(bytes(message_bytes_max + 1, '\1')).error().code() == errc::resource_exhausted);
  auto newer = raw;
  newer[0] = 2;
  CHECK(decode_message(newer).error().code() == errc::unsupported);
}

TEST_CASE("the largest entry fits a frame alone") {
  const auto m = from(1, 2, 3, append_request{{}, {}, {}, 1, {command_entry(3, 1, bytes(entry_bytes_max, 'x'))}});
  CHECK(encode_message(m).size() <= message_bytes_max);
  REQUIRE_OK(decode_message(encode_message(m)));
}

TEST_CASE("what no member would send is refused before it reaches the state machine") {
  const auto refused = [](std::uint64_t in_term, message_body body) {
    return !validate(from(1, 2, in_term, std::move(body)));
  };
  CHECK(refused(3, vote_request{false, false, term{4}, log_index{7}, term{2}}));
  CHECK(refused(3, vote_request{false, false, term{3}, log_index{7}, term{4}}));
  CHECK(refused(3, vote_request{false, false, term{3}, log_index{0}, term{2}}));
  CHECK(refused(3, append_request{log_index{7}, term{2}, {}, 0, {command_entry(3, 9, "")}}));
  CHECK(refused(3, append_request{log_index{7}, term{2}, {}, 0, {command_entry(1, 8, "")}}));
  CHECK(refused(3, append_request{log_index{7}, term{2}, {}, 0, {command_entry(4, 8, "")}}));
  CHECK(refused(3, append_request{
                       log_index{7}, term{2}, {}, 0, {{term{3}, log_index{8}, entry_kind::configuration, "rubbish"}}}));
  CHECK(refused(3, append_request{log_index{~std::uint64_t{0}}, term{2}, {}, 0, {}}));
  CHECK(refused(0, append_request{}));
  CHECK(refused(3, append_response{true, 0, {}, log_index{1}, log_index{2}, {}}));
  CHECK(refused(3, snapshot_chunk{log_index{7}, term{2}, voters({1}), 2, 1, 0, "abc"}));
  CHECK(refused(3, snapshot_chunk{log_index{7}, term{2}, voters({}), 3, 0, 0, "abc"}));
  CHECK(refused(3, snapshot_chunk{log_index{7}, term{2}, voters({1}, {1}), 3, 0, 0, "abc"}));
  CHECK_FALSE(validate(from(1, 1, 3, timeout_now{})));
  CHECK_FALSE(validate(from(0, 1, 3, timeout_now{})));
}

TEST_CASE("no bytes bring a member down, whatever they decode to") {
  lone follower({{}, {{}, {}, voters({1, 2, 3}), {}}, {command_entry(1, 1, "a"), command_entry(2, 2, "b")}});
  std::uint64_t random = 1;
  const auto next = [&] { return random = random * 6364136223846793005u + 1442695040888963407u; };
  std::size_t decoded = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto bodies = one_of_each();
    auto raw = encode_message(from(2, 1, 3, bodies[next() % bodies.size()]));
    for (int flips = static_cast<int>(next() % 4); flips > 0; --flips)
      raw[(next() >> 20) % raw.size()] = static_cast<char>(next() >> 33);
    const auto m = decode_message(raw);
    if (!m) continue;
    ++decoded;
    follower.receive(round, *m);
    follower.written(round);
  }
  CHECK(decoded > 1000);
}

TEST_CASE("a payload on the disk carries its kind, a snapshot its configuration") {
  const entry e{term{2}, log_index{5}, entry_kind::configuration, "members"};
  entry back{term{2}, log_index{5}, {}, {}};
  REQUIRE_OK(decode_payload(encode_payload(e), back));
  CHECK(back == e);
  CHECK_FALSE(decode_payload("", back));
  CHECK_FALSE(
      decode_payload("\x7f"
                     "x",
                     back));
  const snapshot s{log_index{5}, term{2}, voters({1, 2}, {3}), std::make_shared<const bytes>("state")};
  snapshot restored;
  REQUIRE_OK(decode_snapshot_state(encode_snapshot_state(s), restored));
  CHECK(restored.members == s.members);
  CHECK(*restored.state == "state");
  CHECK_FALSE(decode_snapshot_state("", restored));
}
