#include <fcntl.h>

#include <troupe/storage/metadata_log.hpp>

#include "faulty_operations.hpp"

using namespace troupe;
using namespace troupe::storage;

namespace {

const auto cluster = cluster_id::random();

log_entry entry(std::uint64_t index, std::uint64_t of_term = 1) {
  return {term{of_term}, log_index{index}, "entry " + std::to_string(index) + " of term " + std::to_string(of_term)};
}
std::vector<log_entry> group(std::uint64_t from, std::uint64_t to, std::uint64_t of_term = 1) {
  std::vector<log_entry> out;
  for (auto i = from; i <= to; ++i) out.push_back(entry(i, of_term));
  return out;
}

metadata_log open(const temporary_directory& dir, file_operations& disk = file_operations::system()) {
  auto log = metadata_log::open(dir / "raft", cluster, disk);
  REQUIRE_OK(log);
  return std::move(*log);
}

/// Everything the log holds, read back.
std::vector<log_entry> all(const metadata_log& log) {
  const auto found = log.entries(log.first(), log.last(), ~0ull);
  REQUIRE_OK(found);
  return *found;
}

bytes content(const temporary_directory& dir) {
  return *read_file(file_operations::system(), dir / "raft/log", 1 << 26);
}
void overwrite_log(const temporary_directory& dir, bytes_view text) {
  auto f = file::open(file_operations::system(), dir / "raft/log", O_RDWR | O_TRUNC);
  REQUIRE_OK(f);
  REQUIRE_OK(f->write(text, 0));
}

}  // namespace

TEST_CASE("a new log is empty, and what is appended is there after a restart") {
  temporary_directory dir;
  {
    auto log = open(dir);
    CHECK(log.first() == log_index{1});
    CHECK(log.last() == log_index{0});
    CHECK(log.last_term() == term{0});
    CHECK(log.state() == hard_state{});
    REQUIRE_OK(log.append(group(1, 3)));
    REQUIRE_OK(log.append(group(4, 4, 2)));
    REQUIRE_OK(log.save_state({term{2}, member_id{}}));
    CHECK(log.last() == log_index{4});
    CHECK(log.term_at(log_index{3}) == term{1});
    CHECK_FALSE(log.term_at(log_index{5}).has_value());
  }
  const auto log = open(dir);
  auto expected = group(1, 3);
  expected.push_back(entry(4, 2));
  CHECK(all(log) == expected);
  CHECK(log.last_term() == term{2});
  CHECK(log.state().term == term{2});
  CHECK_FALSE(log.tail_was_cut());
}

TEST_CASE("a group is synced once") {
  temporary_directory dir;
  faulty_operations disk;
  auto log = open(dir, disk);
  const auto before = disk.fdatasyncs;
  REQUIRE_OK(log.append(group(1, 100)));
  CHECK(disk.fdatasyncs == before + 1);
}

TEST_CASE("entries come in pieces of the size that is asked for") {
  temporary_directory dir;
  auto log = open(dir);
  REQUIRE_OK(log.append(group(1, 50)));
  const auto some = log.entries(log_index{10}, log_index{50}, 50);
  REQUIRE_OK(some);
  CHECK(*some == group(10, 11));
  CHECK(log.entries(log_index{10}, log_index{50}, 0)->size() == 1);
  CHECK(*log.entries(log_index{50}, log_index{50}) == group(50, 50));
  CHECK(log.entries(log_index{51}, log_index{50})->empty());
  CHECK(log.entries(log_index{50}, log_index{51}).error().code() == errc::not_found);
  CHECK(log.entries(log_index{0}, log_index{1}).error().code() == errc::not_found);
}

TEST_CASE("an append that does not follow is refused") {
  temporary_directory dir;
  auto log = open(dir);
  REQUIRE_OK(log.append(group(1, 2, 5)));
  CHECK(log.append(group(2, 3, 5)).error().code() == errc::invalid_argument);
  CHECK(log.append(group(4, 4, 5)).error().code() == errc::invalid_argument);
  CHECK(log.append(group(3, 3, 4)).error().code() == errc::invalid_argument);
  CHECK(log.append(std::vector{entry(3, 5), entry(5, 5)}).error().code() == errc::invalid_argument);
  CHECK(log.append({}).has_value());
  CHECK(all(log) == group(1, 2, 5));
}

TEST_CASE("a follower cuts what the leader does not have, and goes on") {
  temporary_directory dir;
  {
    auto log = open(dir);
    REQUIRE_OK(log.append(group(1, 10)));
    REQUIRE_OK(log.truncate_from(log_index{6}));
    CHECK(log.last() == log_index{5});
    REQUIRE_OK(log.append(group(6, 7, 3)));
    REQUIRE_OK(log.truncate_from(log_index{8}));
    CHECK(log.truncate_from(log_index{0}).error().code() == errc::invalid_argument);
  }
  auto expected = group(1, 5);
  for (auto& e : group(6, 7, 3)) expected.push_back(e);
  CHECK(all(open(dir)) == expected);
}

TEST_CASE("a torn tail is cut at every length, and the log goes on behind it") {
  temporary_directory dir;
  {
    auto log = open(dir);
    REQUIRE_OK(log.append(group(1, 2)));
    REQUIRE_OK(log.append(group(3, 3)));
  }
  (void)open(dir);  // takes the preallocated room off
  const auto good = content(dir);
  const auto third = good.size() - 32 - entry(3).payload.size();
  for (auto size = third; size < good.size(); ++size) {
    overwrite_log(dir, bytes_view(good).substr(0, size));
    auto log = open(dir);
    CHECK(log.last() == log_index{2});
    CHECK(log.tail_was_cut() == (size != third));
    CHECK(std::filesystem::file_size(dir / "raft/log") == third);
    REQUIRE_OK(log.append(group(3, 4, 2)));
    auto expected = group(1, 2);
    for (auto& e : group(3, 4, 2)) expected.push_back(e);
    CHECK(all(log) == expected);
  }
}

TEST_CASE("damage of what was acknowledged is refused with a sentence, and the file stays") {
  temporary_directory dir;
  {
    auto log = open(dir);
    for (std::uint64_t i = 1; i <= 3; ++i) REQUIRE_OK(log.append(group(i, i)));
  }
  (void)open(dir);
  const auto good = content(dir);
  const auto third = good.size() - 32 - entry(3).payload.size();
  for (std::size_t at = 0; at < third; ++at) {
    auto bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 2);
    overwrite_log(dir, bad);
    const auto log = metadata_log::open(dir / "raft", cluster);
    REQUIRE_FALSE(log);
    CHECK(log.error().code() == errc::corrupted);
    CHECK(log.error().message().find(dir / "raft/log") != std::string::npos);
    CHECK(content(dir) == bad);
  }
}

TEST_CASE("entries at or below a snapshot can be purged, later ones stay") {
  temporary_directory dir;
  {
    auto log = open(dir);
    REQUIRE_OK(log.append(group(1, 20)));
    CHECK(log.purge_before(log_index{2}).error().code() == errc::invalid_argument);
    REQUIRE_OK(log.save_snapshot(log_index{15}, term{1}, "state at 15"));
    CHECK(log.first() == log_index{1});
    const auto size = log.log_bytes();
    REQUIRE_OK(log.purge_before(log_index{11}));
    CHECK(log.log_bytes() < size);
    CHECK(log.purge_before(log_index{17}).error().code() == errc::invalid_argument);
    CHECK(all(log) == group(11, 20));
    CHECK(log.entries(log_index{10}, log_index{11}).error().code() == errc::not_found);
    REQUIRE_OK(log.append(group(21, 22)));
    CHECK(log.truncate_from(log_index{15}).error().code() == errc::invalid_argument);
    CHECK(log.save_snapshot(log_index{14}, term{1}, "older").error().code() == errc::invalid_argument);
  }
  auto log = open(dir);
  CHECK(all(log) == group(11, 22));
  CHECK(log.snapshot_index() == log_index{15});
  CHECK(log.load_snapshot()->value() == log_snapshot{log_index{15}, term{1}, "state at 15"});
  REQUIRE_OK(log.save_snapshot(log_index{22}, term{1}, "all"));
  REQUIRE_OK(log.purge_before(log_index{23}));
  CHECK(log.first() == log_index{23});
  CHECK(log.last() == log_index{22});
  CHECK(log.last_term() == term{1});
  auto again = open(dir);
  CHECK(again.last() == log_index{22});
  CHECK(again.term_at(log_index{22}) == term{1});
  REQUIRE_OK(again.append(group(23, 24)));
  CHECK(all(open(dir)) == group(23, 24));
}

TEST_CASE("a leader's snapshot beyond the log, or at odds with it, starts the log anew") {
  temporary_directory dir;
  auto log = open(dir);
  REQUIRE_OK(log.append(group(1, 5)));
  SECTION("beyond") { REQUIRE_OK(log.save_snapshot(log_index{40}, term{3}, "theirs")); }
  SECTION("at odds") { REQUIRE_OK(log.save_snapshot(log_index{4}, term{3}, "theirs")); }
  const auto at = log.snapshot_index().value;
  for (int round = 0; round < 2; ++round) {
    CHECK(log.first() == log_index{at + 1});
    CHECK(log.last() == log_index{at});
    CHECK(log.last_term() == term{3});
    log = open(dir);
  }
  REQUIRE_OK(log.append(group(at + 1, at + 2, 3)));
  CHECK(all(open(dir)) == group(at + 1, at + 2, 3));
}

TEST_CASE("a crash between a leader's snapshot and the new log is mended at start") {
  temporary_directory dir, other;
  {
    auto log = open(dir);
    REQUIRE_OK(log.append(group(1, 5)));
    auto leader = open(other);
    REQUIRE_OK(leader.append(group(1, 40, 2)));
    REQUIRE_OK(leader.save_snapshot(log_index{40}, term{2}, "theirs"));
  }
  std::filesystem::copy_file(other / "raft/snapshot", dir / "raft/snapshot");
  const auto log = open(dir);
  CHECK(log.first() == log_index{41});
  CHECK(log.last_term() == term{2});
}

TEST_CASE("a log that begins behind its snapshot's end is refused: promises are missing") {
  temporary_directory dir;
  {
    auto log = open(dir);
    REQUIRE_OK(log.append(group(1, 9)));
    REQUIRE_OK(log.save_snapshot(log_index{6}, term{1}, "state"));
    REQUIRE_OK(log.purge_before(log_index{7}));
  }
  std::filesystem::remove(dir / "raft/snapshot");
  CHECK(metadata_log::open(dir / "raft", cluster).error().code() == errc::corrupted);
}

TEST_CASE("files of another cluster, and damaged ones, are refused") {
  temporary_directory dir;
  {
    auto log = open(dir);
    REQUIRE_OK(log.append(group(1, 2)));
    REQUIRE_OK(log.save_snapshot(log_index{2}, term{1}, "state"));
    REQUIRE_OK(log.save_state({term{1}, member_id::random()}));
  }
  CHECK(metadata_log::open(dir / "raft", cluster_id::random()).error().code() == errc::failed_precondition);
  for (const auto* name : {"raft/snapshot", "raft/hard_state"}) {
    const auto good = *read_file(file_operations::system(), dir / name, 1 << 20);
    auto bad = good;
    bad.back() = static_cast<char>(bad.back() ^ 1);
    const auto put = [&](const bytes& text) {
      auto f = file::open(file_operations::system(), dir / name, O_RDWR | O_TRUNC);
      REQUIRE_OK(f);
      REQUIRE_OK(f->write(text, 0));
    };
    put(bad);
    const auto log = metadata_log::open(dir / "raft", cluster);
    REQUIRE_FALSE(log);
    CHECK(log.error().code() == errc::corrupted);
    CHECK(log.error().message().find(name) != std::string::npos);
    put(good);
  }
  (void)open(dir);
}

TEST_CASE("a full disk leaves the log as it was, at every byte, and it goes on when there is room") {
  temporary_directory dir;
  faulty_operations disk;
  disk.fail_fallocate = true;
  auto log = open(dir, disk);
  REQUIRE_OK(log.append(group(1, 2)));
  const auto size = std::filesystem::file_size(dir / "raft/log");
  for (std::uint64_t room = 0; room < 100; ++room) {
    disk.bytes_left = room;
    CHECK(log.append(group(3, 5)).error().code() == errc::resource_exhausted);
    CHECK(std::filesystem::file_size(dir / "raft/log") == size);
    CHECK(log.last() == log_index{2});
  }
  CHECK(log.save_snapshot(log_index{2}, term{1}, bytes(1000, 's')).error().code() == errc::resource_exhausted);
  CHECK(log.save_state({term{1}, member_id{}}).error().code() == errc::resource_exhausted);
  CHECK(log.snapshot_index() == log_index{0});
  CHECK(log.state() == hard_state{});
  disk.bytes_left = ~0ull;
  REQUIRE_OK(log.append(group(3, 5)));
  CHECK(all(open(dir)) == group(1, 5));
}

TEST_CASE("a failed sync ends the process") {
  temporary_directory dir;
  faulty_operations disk;
  auto log = open(dir, disk);
  disk.fail_fdatasync = true;
  CHECK(words_of_abort([&] { (void)log.append(group(1, 1)); }).find("raft/log") != std::string::npos);
  CHECK(words_of_abort([&] { (void)log.save_state({term{1}, member_id{}}); }).find("hard_state") != std::string::npos);
}
