#include <fcntl.h>

#include <troupe/storage/segment_store.hpp>

#include "faulty_operations.hpp"

using namespace troupe;
using namespace troupe::storage;
using troupe::format::scan_state;

namespace {

constexpr segment_id id{12};

bytes payload_of(std::size_t i) { return "line " + std::to_string(i) + bytes(i * 37 % 900, 'x') + "\n"; }

segment_info info_of() {
  segment_info info;
  info.cluster = cluster_id::random();
  info.replica = member_id::random();
  info.dataset = dataset_id{3};
  return info;
}

format::segment_summary write_sealed(segment_store& store, std::size_t batches, const segment_info& info = info_of(),
                                     segment_id which = id) {
  auto writer = store.create(which, info);
  REQUIRE_OK(writer);
  for (std::size_t i = 0; i < batches; ++i) REQUIRE_OK(writer->append(payload_of(i), 1));
  const auto summary = writer->seal();
  REQUIRE_OK(summary);
  return *summary;
}

void flip(const std::string& path, std::uint64_t at) {
  auto f = file::open(file_operations::system(), path, O_RDWR);
  REQUIRE_OK(f);
  auto byte = *f->read(1, at);
  byte[0] = static_cast<char>(byte[0] ^ 1);
  REQUIRE_OK(f->write(byte, at));
}

void truncate(const std::string& path, std::uint64_t size) {
  auto f = file::open(file_operations::system(), path, O_RDWR);
  REQUIRE_OK(f);
  REQUIRE_OK(f->truncate(size));
}

}  // namespace

TEST_CASE("a sealed segment reads back, batch by batch") {
  temporary_directory dir;
  segment_store store(dir.path());
  const auto summary = write_sealed(store, 200);
  CHECK(summary.records == 200);
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  CHECK(reader->summary() == summary);
  CHECK(reader->header().dataset == dataset_id{3});
  REQUIRE_OK(reader->verify());
  std::size_t i = 0;
  std::uint64_t position = 0;
  REQUIRE_OK(reader->read_batches(0, ~0ull, [&](const format::batch_view& batch) -> result<bool> {
    CHECK(batch.position == position);
    CHECK(batch.header.first_offset.value == i);
    CHECK(batch.payload == payload_of(i));
    position = batch.end();
    ++i;
    return true;
  }));
  CHECK(i == 200);
  CHECK(position == summary.file_bytes);
}

TEST_CASE("copies differ in the header only") {
  temporary_directory dir;
  segment_store store(dir.path());
  const auto one = write_sealed(store, 20, info_of(), segment_id{1});
  REQUIRE(std::filesystem::exists(store.path(segment_id{1})));
  const auto first = *read_file(file_operations::system(), store.path(segment_id{1}), 1 << 20);
  REQUIRE_OK(store.remove(segment_id{1}));
  CHECK(write_sealed(store, 20, info_of(), segment_id{1}) == one);
  const auto second = *read_file(file_operations::system(), store.path(segment_id{1}), 1 << 20);
  CHECK(first.substr(4096) == second.substr(4096));
  CHECK(first.substr(0, 4096) != second.substr(0, 4096));
}

TEST_CASE("a batch encoded elsewhere is appended as it is, after a look at it") {
  temporary_directory dir, other;
  segment_store store(dir.path()), copies(other.path());
  const auto summary = write_sealed(store, 30);
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  auto copy = copies.create(id, info_of());
  REQUIRE_OK(copy);
  REQUIRE_OK(reader->read_batches(0, ~0ull, [&](const format::batch_view& batch) -> result<bool> {
    const bytes_view raw(batch.payload.data() - format::batch_header_bytes,
                         format::batch_header_bytes + batch.payload.size());
    auto bad = bytes(raw);
    bad.back() = static_cast<char>(bad.back() ^ 1);
    CHECK(copy->append_encoded(bad).error().code() == errc::corrupted);
    CHECK(copy->append_encoded(raw.substr(0, raw.size() - 1)).error().code() == errc::corrupted);
    TROUPE_TRY_VOID(copy->append_encoded(raw));
    CHECK(copy->append_encoded(raw).error().code() == errc::corrupted);  // its offset has gone by
    return true;
  }));
  CHECK(*copy->seal() == summary);
}

TEST_CASE("read_batches gives batches that begin in the range, whatever the buffer cuts") {
  temporary_directory dir;
  segment_store store(dir.path());
  auto writer = store.create(id, info_of());
  REQUIRE_OK(writer);
  std::vector<std::uint64_t> positions;
  for (const std::size_t size : {10u, 327'000u, 400'000u, 3'000'000u, 1u, 1u, 327'608u, 327'580u, 50u, 500u}) {
    positions.push_back(writer->file_bytes());
    REQUIRE_OK(writer->append(bytes(size, 'y'), 1));
  }
  const auto summary = writer->seal();
  REQUIRE_OK(summary);
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  auto borders = positions;
  borders.push_back(summary->file_bytes);
  for (const auto from : borders)
    for (const auto to : borders)
      for (const std::uint64_t shift : {0, 1}) {
        std::vector<std::uint64_t> found, expected;
        for (const auto p : positions)
          if (p >= from + shift && p < to + shift) expected.push_back(p);
        REQUIRE_OK(reader->read_batches(from + shift, to + shift, [&](const format::batch_view& batch) -> result<bool> {
          found.push_back(batch.position);
          return true;
        }));
        CHECK(found == expected);
        const auto range = reader->range(from + shift, to + shift);
        REQUIRE_OK(range);
        CHECK(range->records == expected.size());
        if (expected.empty()) continue;
        CHECK(range->begin == expected.front());
        CHECK(range->end == *(std::find(borders.begin(), borders.end(), expected.back()) + 1));
        bytes raw(static_cast<std::size_t>(range->end - range->begin), '\0');
        REQUIRE_OK(reader->read_raw(range->begin, raw.data(), raw.size()));
        format::batch_cursor cursor(raw, id);
        format::batch_view batch;
        std::size_t count = 0;
        while (*cursor.next(batch)) ++count;
        CHECK(count == expected.size());
      }
}

TEST_CASE("a reader stops when it is told to, and passes an error on") {
  temporary_directory dir;
  segment_store store(dir.path());
  write_sealed(store, 20);
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  int calls = 0;
  REQUIRE_OK(reader->read_batches(0, ~0ull, [&](const auto&) -> result<bool> { return ++calls < 3; }));
  CHECK(calls == 3);
  const auto failed = reader->read_batches(0, ~0ull, [](const auto&) -> result<bool> {
    return error{errc::cancelled, "enough"};
  });
  CHECK(failed.error().code() == errc::cancelled);
}

TEST_CASE("a record is found by its offset") {
  temporary_directory dir;
  segment_store store(dir.path());
  auto writer = store.create(id, info_of());
  REQUIRE_OK(writer);
  std::vector<std::uint64_t> positions;
  for (int i = 0; i < 100; ++i) {
    positions.push_back(writer->file_bytes());
    REQUIRE_OK(writer->append(bytes(1000, 'z'), 10));
  }
  REQUIRE_OK(writer->seal());
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  for (std::uint64_t offset = 0; offset < 1000; ++offset)
    CHECK(*reader->position_of(record_offset{offset}) == positions[offset / 10]);
  CHECK(reader->position_of(record_offset{1000}).error().code() == errc::invalid_argument);
}

TEST_CASE("a mapped segment shows the same batches") {
  temporary_directory dir;
  segment_store store(dir.path());
  const auto summary = write_sealed(store, 50);
  auto opened = mapped_segment::open(store.path(id), id);
  REQUIRE_OK(opened);
  const mapped_segment mapped = std::move(*opened);
  mapped.will_read(0, ~0ull);
  CHECK(mapped.view().footer.summary == summary);
  auto cursor = mapped.view().cursor(1);
  REQUIRE_OK(cursor);
  format::batch_view batch;
  std::size_t i = 1;
  for (; *cursor->next(batch); ++i) CHECK(batch.payload == payload_of(i));
  CHECK(i == 50);
  CHECK(mapped_segment::open(store.path(id), segment_id{13}).error().code() == errc::corrupted);
  CHECK(mapped_segment::open(dir / "99.seg", segment_id{99}).error().code() == errc::not_found);
}

TEST_CASE("without a seal nothing stays") {
  temporary_directory dir;
  segment_store store(dir.path());
  {
    auto writer = store.create(id, info_of());
    REQUIRE_OK(writer);
    REQUIRE_OK(writer->append("x\n", 1));
    CHECK(store.create(id, info_of()).error().code() == errc::already_exists);
    CHECK(store.open(id).error().code() == errc::failed_precondition);
    const segment_writer moved = std::move(*writer);
    CHECK(dir.names() == std::vector<std::string>{"12.seg"});
  }
  CHECK(dir.names().empty());
  CHECK(store.open(id).error().code() == errc::not_found);
}

TEST_CASE("a sealed writer refuses to go on") {
  temporary_directory dir;
  segment_store store(dir.path());
  auto writer = store.create(id, info_of());
  REQUIRE_OK(writer);
  CHECK(writer->append("", 0).error().code() == errc::invalid_argument);
  REQUIRE_OK(writer->append("x\n", 1));
  REQUIRE_OK(writer->seal());
  CHECK(writer->append("x\n", 1).error().code() == errc::failed_precondition);
  CHECK(writer->seal().error().code() == errc::failed_precondition);
  CHECK(writer->sync().error().code() == errc::failed_precondition);
  CHECK(store.open(id)->summary().records == 1);
}

TEST_CASE("list names what is there and nothing else; remove may be repeated") {
  temporary_directory dir;
  segment_store store(dir.path());
  for (const std::uint64_t n : {30u, 4u, 100u}) write_sealed(store, 1, info_of(), segment_id{n});
  for (const auto* other : {"x.seg", "007.seg", "4.seg.new", "5", ".seg", "99999999999999999999999.seg"}) {
    const bytes_view part = "x";
    REQUIRE_OK(replace_file(file_operations::system(), dir.path(), other, {&part, 1}));
  }
  CHECK(*store.list() == std::vector<segment_id>{segment_id{4}, segment_id{30}, segment_id{100}});
  REQUIRE_OK(store.remove(segment_id{30}));
  REQUIRE_OK(store.remove(segment_id{30}));
  CHECK(*store.list() == std::vector<segment_id>{segment_id{4}, segment_id{100}});
}

TEST_CASE("every flipped byte of a sealed file is found: at open or by verify") {
  temporary_directory dir;
  segment_store store(dir.path());
  const auto summary = write_sealed(store, 5);
  const auto size = std::filesystem::file_size(store.path(id));
  for (std::uint64_t at = 0; at < size; at += at < 4000 ? 61 : 1) {
    flip(store.path(id), at);
    const auto reader = store.open(id);
    if (at >= 4096 && at < 4096 + summary.file_bytes) {
      REQUIRE_OK(reader);
      const auto verified = reader->verify();
      REQUIRE_FALSE(verified);
      CHECK(verified.error().code() == errc::corrupted);
      CHECK(verified.error().message().find(store.path(id)) != std::string::npos);
    } else {
      CHECK_FALSE(reader);
    }
    flip(store.path(id), at);
  }
  REQUIRE_OK(store.open(id)->verify());
}

TEST_CASE("a sealed file that was cut is never taken for whole") {
  temporary_directory dir;
  segment_store store(dir.path());
  write_sealed(store, 3);
  for (auto size = std::filesystem::file_size(store.path(id)); size-- > 0;) {
    truncate(store.path(id), size);
    CHECK_FALSE(store.open(id));
    CHECK_FALSE(mapped_segment::open(store.path(id), id));
  }
}

TEST_CASE("verify compares with the footer, not only with itself") {
  temporary_directory dir;
  segment_store store(dir.path());
  write_sealed(store, 2, info_of(), segment_id{1});
  auto first = *read_file(file_operations::system(), store.path(segment_id{1}), 1 << 20);
  // The same batches, once with another append time: each fits its checksum, the digest tells them apart.
  auto writer = store.create(id, info_of());
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->append("a\n", 1));
  REQUIRE_OK(writer->seal());
  format::batch_header header;
  header.segment = id;
  header.count = 1;
  header.append_time_unix_ms = 1;
  auto f = file::open(file_operations::system(), store.path(id), O_RDWR);
  REQUIRE_OK(f);
  REQUIRE_OK(f->write(format::encode_batch(header, "a\n"), 4096));
  const auto reader = store.open(id);
  REQUIRE_OK(reader);
  REQUIRE_OK(reader->read_batches(0, ~0ull, [](const auto&) -> result<bool> { return true; }));
  CHECK(reader->verify().error().message().find("digest") != std::string::npos);
}

TEST_CASE("an unsealed file is whole, torn or damaged") {
  temporary_directory dir;
  segment_store store(dir.path());
  auto writer = store.create(id, info_of());
  REQUIRE_OK(writer);
  append_info info;
  for (std::size_t i = 0; i < 4; ++i) {
    REQUIRE_OK(writer->append(payload_of(i), 1, info));
    info.high_water_mark = writer->next_offset();
  }
  REQUIRE_OK(writer->sync());
  const auto end = 4096 + writer->file_bytes();
  const auto last = end - 72 - payload_of(3).size();
  CHECK(store.inspect(id)->scan.state == scan_state::whole);
  CHECK_FALSE(store.inspect(id)->sealed);
  CHECK(store.inspect(id, record_offset{5})->scan.state == scan_state::damaged);
  SECTION("a flipped byte in the middle is damage") {
    flip(store.path(id), 4096 + 80);
    const auto found = store.inspect(id);
    REQUIRE_OK(found);
    CHECK(found->scan.state == scan_state::damaged);
    CHECK(found->scan.intact_bytes == 79);  // the first batch
    CHECK(found->scan.high_water_mark == record_offset{3});
  }
  SECTION("a cut tail is torn, down to what was known to be durable") {
    truncate(store.path(id), end - 1);
    CHECK(store.inspect(id)->scan.state == scan_state::torn);
    CHECK(store.inspect(id)->scan.records == 3);
    truncate(store.path(id), last - 1);
    CHECK(store.inspect(id)->scan.records == 2);
    CHECK(store.inspect(id)->scan.state == scan_state::torn);
    CHECK(store.inspect(id, record_offset{3})->scan.state == scan_state::damaged);
    truncate(store.path(id), 100);
    CHECK(store.inspect(id)->scan.state == scan_state::torn);
  }
  SECTION("after the seal it says so") {
    REQUIRE_OK(writer->seal());
    CHECK(store.inspect(id)->sealed);
    CHECK(store.inspect(id)->scan.records == 4);
    flip(store.path(id), last + 75);
    CHECK(store.inspect(id)->scan.state == scan_state::damaged);
  }
}

TEST_CASE("a replacement takes the place of a file when it is whole, and not before") {
  temporary_directory directory;
  faulty_operations disk;
  segment_store store(directory.path(), disk);
  const auto before = write_sealed(store, 3);
  const auto begin = [&](std::size_t batches) {
    auto writer = store.create_replacement(id, info_of());
    REQUIRE_OK(writer);
    for (std::size_t i = 0; i < batches; ++i) REQUIRE_OK(writer->append(payload_of(i), 1));
    return std::move(*writer);
  };
  const auto is_the_old_one = [&] {
    const auto reader = store.open(id);
    return reader && reader->summary() == before && reader->verify();
  };
  { auto given_up = begin(5); }
  CHECK(directory.names() == std::vector<std::string>{"12.seg"});
  CHECK(begin(5).seal(before).error().code() == errc::corrupted);  // other bytes than were expected
  CHECK(is_the_old_one());
  {
    auto full = begin(1);
    disk.bytes_left = 10;
    CHECK(full.append(payload_of(1), 1).error().code() == errc::resource_exhausted);
    disk.bytes_left = ~std::uint64_t{0};
  }
  {
    auto stuck = begin(5);
    disk.fail_rename = true;
    CHECK(!stuck.seal());
    disk.fail_rename = false;
  }
  CHECK(is_the_old_one());
  CHECK(directory.names() == std::vector<std::string>{"12.seg"});
  auto writer = begin(5);
  CHECK(is_the_old_one());
  CHECK(store.list()->size() == 1);
  const auto after = writer.seal();
  REQUIRE_OK(after);
  CHECK(store.open(id)->summary() == *after);
  CHECK(directory.names() == std::vector<std::string>{"12.seg"});
  // What a crash leaves of one goes at the next start.
  REQUIRE_OK(replace_file(file_operations::system(), directory.path(), "13.seg.new", {}));
  CHECK(*store.remove_unfinished() == 1);
  CHECK(directory.names() == std::vector<std::string>{"12.seg"});
}
