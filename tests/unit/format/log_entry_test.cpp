#include <support/catch.hpp>
#include <troupe/format/log_entry.hpp>

using namespace troupe;
using namespace troupe::format;

namespace {

/// Entries first, first + 1 … in groups: each group was written after the group before was synced.
bytes log_of(log_index first, const std::vector<std::vector<std::string>>& groups) {
  bytes out;
  auto next = first;
  for (const auto& group : groups) {
    const log_index durable{next.value - 1};
    for (const auto& payload : group) {
      append_log_entry(out, {term{2}, next, durable, payload});
      next = next.next();
    }
  }
  return out;
}

bytes flipped(bytes data, std::size_t at) {
  data[at] = static_cast<char>(data[at] ^ 0x40);
  return data;
}

}  // namespace

TEST_CASE("a log file's header and entries read back as written") {
  const log_file_header header{cluster_id::random(), log_index{31}};
  const auto raw = encode_log_file_header(header);
  REQUIRE(raw.size() == log_file_header_bytes);
  CHECK(*decode_log_file_header(raw) == header);
  bytes entry;
  append_log_entry(entry, {term{3}, log_index{4}, log_index{2}, "payload"});
  REQUIRE(entry.size() == log_entry_header_bytes + 7);
  const auto followed = entry + "what follows";
  const auto back = decode_log_entry(followed);
  REQUIRE_OK(back);
  CHECK(back->term == term{3});
  CHECK(back->index == log_index{4});
  CHECK(back->durable == log_index{2});
  CHECK(back->payload == "payload");
}

TEST_CASE("no flipped bit and no cut of header, entry, hard state or snapshot passes") {
  const auto header = encode_log_file_header({cluster_id::random(), log_index{1}});
  bytes entry;
  append_log_entry(entry, {term{3}, log_index{4}, log_index{2}, "payload"});
  const auto state = encode_hard_state({term{9}, member_id::random()});
  const auto snapshot = encode_snapshot_header({cluster_id::random(), log_index{7}, term{2}, "state"}) + "state";
  REQUIRE_OK(decode_hard_state(state));
  REQUIRE_OK(decode_snapshot(snapshot));
  const auto check = [](const bytes& good, auto decode) {
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      auto bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
      CHECK_FALSE(decode(bad));
    }
    for (std::size_t size = 0; size < good.size(); ++size) CHECK_FALSE(decode(good.substr(0, size)));
  };
  check(header, [](const bytes& d) { return decode_log_file_header(d).has_value(); });
  check(entry, [](const bytes& d) { return decode_log_entry(d).has_value(); });
  check(state, [](const bytes& d) { return decode_hard_state(d).has_value(); });
  check(snapshot, [](const bytes& d) { return decode_snapshot(d).has_value(); });
  CHECK_FALSE(decode_snapshot(snapshot + "x"));
}

TEST_CASE("hard state and snapshot read back as written") {
  const hard_state state{term{9}, member_id::random()};
  CHECK(*decode_hard_state(encode_hard_state(state)) == state);
  const auto cluster = cluster_id::random();
  const auto file = encode_snapshot_header({cluster, log_index{7}, term{2}, "all of it"}) + "all of it";
  const auto back = decode_snapshot(file);
  REQUIRE_OK(back);
  CHECK(back->cluster == cluster);
  CHECK(back->index == log_index{7});
  CHECK(back->term == term{2});
  CHECK(back->state == "all of it");
}

TEST_CASE("a scan gives every entry and its place") {
  const auto data = log_of(log_index{5}, {{"a"}, {"bb", ""}, {"c"}});
  for (const auto& tail : {bytes(), bytes(4096, '\0')}) {
    const auto scan = scan_log(data + tail, log_index{5});
    REQUIRE_OK(scan);
    REQUIRE(scan->entries.size() == 4);
    CHECK(scan->entries[1].position == 33);
    CHECK(scan->entries[1].payload_bytes == 2);
    CHECK(scan->intact_bytes == data.size());
    CHECK_FALSE(scan->torn);
  }
}

TEST_CASE("a cut tail is torn, whatever its length") {
  const auto data = log_of(log_index{1}, {{"first"}, {"second"}});
  const std::size_t second = 32 + 5;
  for (std::size_t size = second + 1; size < data.size(); ++size) {
    const auto scan = scan_log(bytes_view(data).substr(0, size), log_index{1});
    REQUIRE_OK(scan);
    CHECK(scan->entries.size() == 1);
    CHECK(scan->intact_bytes == second);
    CHECK(scan->torn);
  }
}

TEST_CASE("a bad entry that was synced before a later one is damage, at every byte") {
  const auto data = log_of(log_index{1}, {{"first"}, {"second"}, {"third"}});
  const std::size_t third = 2 * 32 + 11;
  for (std::size_t at = 0; at < third; ++at) {
    const auto scan = scan_log(flipped(data, at), log_index{1});
    REQUIRE_FALSE(scan);
    CHECK(scan.error().code() == errc::corrupted);
    CHECK(scan.error().message().find(at < 37 ? "entry 1 " : "entry 2 ") != std::string::npos);
  }
  for (std::size_t at = third; at < data.size(); ++at) {
    const auto scan = scan_log(flipped(data, at), log_index{1});
    REQUIRE_OK(scan);
    CHECK(scan->torn);
    CHECK(scan->entries.size() == 2);
  }
}

TEST_CASE("of a group that was never synced the disk may have kept any page: torn, not damaged") {
  const auto data = log_of(log_index{1}, {{"first"}, {"second", "third", "fourth"}});
  const auto scan = scan_log(flipped(data, 37 + 33), log_index{1});
  REQUIRE_OK(scan);
  CHECK(scan->torn);
  CHECK(scan->entries.size() == 1);
  CHECK(scan->intact_bytes == 37);
}
