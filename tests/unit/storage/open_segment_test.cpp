#include <fcntl.h>

#include <tests/unit/storage/faulty_operations.hpp>
#include <troupe/storage/open_segment.hpp>
#include <troupe/storage/promise_log.hpp>
#include <troupe/storage/segment_store.hpp>

using namespace troupe;
using namespace troupe::storage;

namespace {

constexpr segment_id open_id{7};

struct folder {
  temporary_directory dir;
  [[nodiscard]] std::string text() const { return dir.path(); }
  [[nodiscard]] std::filesystem::path path() const { return dir.path(); }
};

segment_info info(std::uint64_t expected_bytes = 1 << 16) {
  segment_info out;
  out.cluster = cluster_id{uuid{{1}}};
  out.replica = member_id{uuid{{2}}};
  out.dataset = dataset_id{3};
  out.epoch = epoch{4};
  out.expected_bytes = expected_bytes;
  return out;
}

bytes batch(std::uint64_t first, std::string_view text, std::uint32_t count = 1, std::uint64_t sequence = 0) {
  format::batch_header header;
  header.segment = open_id;
  header.first_offset = record_offset{first};
  header.count = count;
  header.append_time_unix_ms = static_cast<std::int64_t>(1000 + first);
  if (sequence != 0) header.producer.octets[0] = 9;
  header.producer_sequence = sequence;
  return format::encode_batch(header, text);
}

bytes table_batch() {
  format::batch_header header;
  header.segment = open_id;
  header.codec = format::batch_codec::producers;
  uuid producer;
  producer.octets[0] = 5;
  return format::encode_batch(header, format::encode_producer_table({{producer, 44, segment_id{3}, {}, 2, 900}}));
}

open_segment must_create(file_operations& operations, const folder& where) {
  auto made = open_segment::create(operations, where.text(), open_id, info());
  REQUIRE_OK(made);
  return std::move(*made);
}

}  // namespace

TEST_CASE("a segment grows, is read while it grows, and is sealed with all its producers") {
  folder where;
  faulty_operations disk;
  auto open = must_create(disk, where);
  const auto table = table_batch(), first = batch(0, "one\n", 1, 6), second = batch(1, "two\nthree\n", 2, 7);
  REQUIRE_OK(open.append(0, table));
  REQUIRE_OK(open.append(table.size(), first + second));
  open.sync();
  auto read = open.read(record_offset{1}, record_offset{3}, 1 << 20);
  REQUIRE_OK(read);
  CHECK(*read == second);
  read = open.read(record_offset{0}, record_offset{1}, 1 << 20);
  REQUIRE_OK(read);
  CHECK(*read == first);  // the table is no record
  CHECK(open.read(record_offset{3}, record_offset{3}, 100)->empty());
  CHECK(read_batches(disk, where.text() + "/7.seg", open_id, record_offset{0}, record_offset{3}, 1 << 20).value() ==
        first + second);

  const auto sealed = open.seal(3, open.file_bytes(), false);
  REQUIRE_OK(sealed);
  CHECK(sealed->summary.records == 3);
  CHECK(sealed->last_append_unix_ms == 1001);
  REQUIRE(sealed->producers.size() == 2);
  segment_store store(where.text(), disk);
  const auto reader = store.open(open_id);
  REQUIRE_OK(reader);
  REQUIRE_OK(reader->verify());
  CHECK(reader->summary() == sealed->summary);
  const auto footer = read_footer(disk, where.text(), open_id);
  REQUIRE_OK(footer);
  CHECK(footer->producers == sealed->producers);
  // Who reads records of the sealed file gets no table either.
  std::uint64_t records = 0;
  REQUIRE_OK(reader->read_batches(0, ~0ull, [&](const format::batch_view& b) -> result<bool> {
    CHECK(b.header.codec == format::batch_codec::raw);
    records += b.header.count;
    return true;
  }));
  CHECK(records == 3);
}

TEST_CASE("a seal cuts to its length, also what an earlier start left open, and what was sealed before") {
  folder where;
  faulty_operations disk;
  const auto first = batch(0, "one\n"), second = batch(1, "two\n"), third = batch(2, "three\n");
  {
    auto open = must_create(disk, where);
    REQUIRE_OK(open.append(0, first + second + third));
    open.sync();
  }
  segment_store store(where.text(), disk);
  const auto found = store.inspect(open_id);
  REQUIRE_OK(found);
  CHECK(!found->sealed);
  CHECK(found->scan.state == format::scan_state::whole);  // the reserved room is no damage
  CHECK(found->scan.records == 3);
  CHECK(!seal_closed(disk, where.text(), open_id, 2, first.size() + 5));  // no border
  CHECK(!seal_closed(disk, where.text(), open_id, 9, 9000));
  auto sealed = seal_closed(disk, where.text(), open_id, 3, first.size() + second.size() + third.size());
  REQUIRE_OK(sealed);
  sealed = seal_closed(disk, where.text(), open_id, 2, first.size() + second.size());
  REQUIRE_OK(sealed);
  CHECK(sealed->summary.records == 2);
  const auto reader = store.open(open_id);
  REQUIRE_OK(reader);
  REQUIRE_OK(reader->verify());
}

TEST_CASE("a seal that verifies finds rot, one that does not has the sums of what was written") {
  folder where;
  faulty_operations disk;
  auto open = must_create(disk, where);
  const auto first = batch(0, "one\n");
  REQUIRE_OK(open.append(0, first));
  open.sync();
  {
    auto f = file::open(file_operations::system(), where.text() + "/7.seg", O_RDWR);
    REQUIRE_OK(f);
    REQUIRE_OK(f->write("X", format::segment_header_bytes + format::batch_header_bytes));
  }
  CHECK(open.seal(1, first.size(), true).error().code() == errc::corrupted);
  CHECK(open.read(record_offset{0}, record_offset{1}, 100).error().code() == errc::corrupted);
  const auto sealed = open.seal(1, first.size(), false);
  REQUIRE_OK(sealed);
  CHECK(sealed->summary.digest == xxh3_128(first));
}

TEST_CASE("a full disk shows when the segment is created, and leaves nothing") {
  folder where;
  faulty_operations disk;
  disk.bytes_left = 100;
  const auto made = open_segment::create(disk, where.text(), open_id, info());
  REQUIRE(!made);
  CHECK(made.error().code() == errc::resource_exhausted);
  CHECK(std::filesystem::is_empty(where.path()));
  disk.bytes_left = ~std::uint64_t{0};
  auto open = must_create(disk, where);
  disk.bytes_left = 10;
  CHECK(open.append(0, batch(0, "one\n")).error().code() == errc::resource_exhausted);
  segment_store store(where.text(), disk);
  const auto found = store.inspect(open_id);
  REQUIRE_OK(found);
  CHECK(found->scan.state == format::scan_state::torn);
  CHECK(found->scan.records == 0);
}

TEST_CASE("a segment is opened with less room, or none, where the disk has not so much to set aside") {
  folder where;
  faulty_operations disk;
  const auto size = [&] { return std::filesystem::file_size(where.text() + "/7.seg"); };
  disk.fallocate_bytes_max = 300 << 10;
  auto wanted = info();
  wanted.expected_bytes = 4 << 20;
  {
    auto open = open_segment::create(disk, where.text(), open_id, wanted);
    REQUIRE_OK(open);
    CHECK(size() > 64 << 10);
    CHECK(size() <= disk.fallocate_bytes_max);
    REQUIRE_OK(open->append(0, batch(0, "one\n")));
  }
  std::filesystem::remove(where.text() + "/7.seg");
  disk.fail_fallocate = true;
  auto open = open_segment::create(disk, where.text(), open_id, wanted);
  REQUIRE_OK(open);
  CHECK(size() == format::segment_header_bytes);
  const auto first = batch(0, "one\n");
  REQUIRE_OK(open->append(0, first));
  REQUIRE_OK(open->seal(1, first.size(), true));
}

TEST_CASE("a file that was left behind becomes the copy that is listed, or stays exactly as it is") {
  folder where;
  faulty_operations disk;
  const auto first = batch(0, "one\n"), second = batch(1, "two\n"), third = batch(2, "three\n");
  {
    auto open = must_create(disk, where);
    REQUIRE_OK(open.append(0, first + second + third));  // the third was never acknowledged
    open.sync();
  }
  const auto path = where.text() + "/7.seg";
  const auto content = [&] { return *read_file(file_operations::system(), path, 1 << 30); };
  format::segment_summary listed{8, first.size() + second.size(), 2, xxh3_128(first + second)};
  listed.payload_bytes = 4 + 4;
  const auto before = content();
  auto other = listed;
  other.digest = xxh3_128(first + third);
  CHECK(adopt_closed(disk, where.text(), open_id, other).error().code() == errc::corrupted);
  other = listed;
  other.file_bytes -= 1;
  CHECK(adopt_closed(disk, where.text(), open_id, other).error().code() == errc::corrupted);
  CHECK(content() == before);
  CHECK(adopt_closed(disk, where.text(), segment_id{8}, listed).error().code() == errc::not_found);
  REQUIRE_OK(adopt_closed(disk, where.text(), open_id, listed));
  segment_store store(where.text(), disk);
  const auto reader = store.open(open_id);
  REQUIRE_OK(reader);
  CHECK(reader->summary() == listed);
  REQUIRE_OK(reader->verify());
  REQUIRE_OK(adopt_closed(disk, where.text(), open_id, listed));  // once more, after a crash before it was heard of
}

TEST_CASE("promises outlive a start; a torn end is cut, a damaged middle refuses") {
  folder where;
  faulty_operations disk;
  {
    auto log = promise_log::open(disk, where.text());
    REQUIRE_OK(log);
    REQUIRE_OK(log->keep(segment_id{1}, epoch{5}));
    REQUIRE_OK(log->keep(segment_id{2}, epoch{6}));
    REQUIRE_OK(log->keep(segment_id{1}, epoch{3}));  // less than was promised
    REQUIRE_OK(log->keep(segment_id{3}, epoch{7}));
    REQUIRE_OK(log->forget(segment_id{2}));
    CHECK(disk.fdatasyncs >= 3);
  }
  const auto path = where.text() + "/promises";
  {
    auto log = promise_log::open(disk, where.text());
    REQUIRE_OK(log);
    CHECK(log->promises() == std::map<segment_id, epoch>{{segment_id{1}, epoch{5}}, {segment_id{3}, epoch{7}}});
  }
  const auto whole = *read_file(disk, path, 1 << 20);
  const auto write = [&](bytes content) {
    auto f = file::open(file_operations::system(), path, O_RDWR | O_TRUNC);
    REQUIRE_OK(f);
    REQUIRE_OK(f->write(content, 0));
  };
  write(whole + "torn");
  {
    auto log = promise_log::open(disk, where.text());
    REQUIRE_OK(log);
    REQUIRE_OK(log->keep(segment_id{9}, epoch{1}));
  }
  CHECK(promise_log::open(disk, where.text())->promises().size() == 3);
  auto damaged = whole;
  damaged[20] = static_cast<char>(damaged[20] ^ 1);
  write(damaged);
  CHECK(promise_log::open(disk, where.text()).error().code() == errc::corrupted);
  damaged = whole;
  damaged[3] = 'x';
  write(damaged);
  CHECK(promise_log::open(disk, where.text()).error().code() == errc::corrupted);
}

TEST_CASE("promises that were forgotten do not fill the disk") {
  folder where;
  faulty_operations disk;
  auto log = promise_log::open(disk, where.text());
  REQUIRE_OK(log);
  REQUIRE_OK(log->keep(segment_id{1}, epoch{2}));
  for (std::uint64_t i = 10; i < 5000; ++i) {
    REQUIRE_OK(log->keep(segment_id{i}, epoch{1}));
    REQUIRE_OK(log->forget(segment_id{i}));
  }
  CHECK(std::filesystem::file_size(where.path() / "promises") < 4200 * 24);
  CHECK(promise_log::open(disk, where.text())->promises() == std::map<segment_id, epoch>{{segment_id{1}, epoch{2}}});
}

// A take-over waits for both; a call for each batch made it a second.
TEST_CASE("a segment of many small batches is looked at and sealed in few reads") {
  folder where;
  faulty_operations disk;
  auto made = open_segment::create(disk, where.text(), open_id, info(64 << 20));
  REQUIRE_OK(made);
  bytes all;
  std::uint64_t records = 0;
  for (; all.size() < 3 << 20; ++records) all += batch(records, "a small one\n");
  REQUIRE_OK(made->append(0, all));
  made->sync();
  segment_store store(where.text(), disk);
  const auto found = store.inspect(open_id);
  REQUIRE_OK(found);
  CHECK(found->scan.state == format::scan_state::whole);
  CHECK(found->scan.records == records);
  CHECK(found->scan.intact_bytes == all.size());
  CHECK(disk.reads < 100);  // a MiB each
  disk.reads = 0;
  const auto sealed = made->seal(records, all.size(), true);
  REQUIRE_OK(sealed);
  CHECK(sealed->summary.digest == xxh3_128(all));
  CHECK(disk.reads < 20);
}

TEST_CASE("room behind what is known to be written is not read, and rot before it is found") {
  folder where;
  faulty_operations disk;
  auto made = open_segment::create(disk, where.text(), open_id, info(64 << 20));
  REQUIRE_OK(made);
  const auto first = batch(0, "one\n"), second = batch(1, "two\n");
  REQUIRE_OK(made->append(0, first + second));
  made->sync();
  segment_store store(where.text(), disk);
  disk.reads = 0;
  auto found = store.inspect(open_id, record_offset{2}, made->file_bytes());
  REQUIRE_OK(found);
  CHECK(found->scan.state == format::scan_state::whole);
  CHECK(found->scan.intact_bytes == first.size() + second.size());
  CHECK(disk.reads <= 5);  // a system that cannot tell room from data would be read 64 times
  auto f = file::open(disk, where.text() + "/7.seg", O_RDWR);
  REQUIRE_OK(f);
  REQUIRE_OK(f->write("?", format::segment_header_bytes + first.size() + second.size() - 1));
  found = store.inspect(open_id, record_offset{2}, made->file_bytes());
  REQUIRE_OK(found);
  CHECK(found->scan.state == format::scan_state::damaged);
  CHECK(found->scan.records == 1);
}

TEST_CASE("a batch behind a hole is found: what a loss of power left out is no end") {
  folder where;
  faulty_operations disk;
  const auto first = batch(0, "one\n"), far = batch(2, "three\n");
  {
    auto made = open_segment::create(disk, where.text(), open_id, info(1 << 20));
    REQUIRE_OK(made);
    REQUIRE_OK(made->append(0, first));
    made->sync();
    auto f = file::open(disk, where.text() + "/7.seg", O_RDWR);
    REQUIRE_OK(f);
    REQUIRE_OK(f->write(far, format::segment_header_bytes + (200 << 10)));
  }
  segment_store store(where.text(), disk);
  const auto found = store.inspect(open_id);
  REQUIRE_OK(found);
  CHECK(found->scan.state == format::scan_state::damaged);
  CHECK(found->scan.records == 1);
}
