#include <troupe/storage/segment_store.hpp>

#include "faulty_operations.hpp"

using namespace troupe;
using namespace troupe::storage;

namespace {

constexpr segment_id fault_id{12};
const bytes payload(10'000, 'p');

}  // namespace

TEST_CASE("a disk that fills up at any byte is an error value and leaves no file") {
  temporary_directory dir;
  faulty_operations disk;
  segment_store store(dir.path(), disk);
  const std::uint64_t needed = [&] {
    auto writer = store.create(fault_id, {});
    REQUIRE_OK(writer);
    for (int i = 0; i < 3; ++i) REQUIRE_OK(writer->append(payload, 1));
    REQUIRE_OK(writer->seal());
    const auto size = std::filesystem::file_size(store.path(fault_id));
    REQUIRE_OK(store.remove(fault_id));
    return size;
  }();
  for (std::uint64_t room = 0; room < needed; room += room < needed - 200 ? 397 : 1) {
    disk.bytes_left = room;
    result<void> outcome = ok();
    {
      auto writer = store.create(fault_id, {});
      if (!writer) {
        outcome = writer.error();
      } else {
        for (int i = 0; i < 3 && outcome; ++i) outcome = writer->append(payload, 1);
        if (outcome) {
          const auto sealed = writer->seal();
          if (!sealed) outcome = sealed.error();
        }
        if (!outcome) CHECK(writer->append(payload, 1).error().code() == errc::failed_precondition);
      }
    }
    REQUIRE_FALSE(outcome);
    CHECK(outcome.error().code() == errc::resource_exhausted);
    CHECK(dir.names().empty());
    CHECK(disk.open_files.empty());
  }
  disk.bytes_left = needed;
  auto writer = store.create(fault_id, {});
  REQUIRE_OK(writer);
  for (int i = 0; i < 3; ++i) REQUIRE_OK(writer->append(payload, 1));
  REQUIRE_OK(writer->seal());
  REQUIRE_OK(store.open(fault_id)->verify());
}

TEST_CASE("room that was asked for and is not there shows at create") {
  temporary_directory dir;
  faulty_operations disk;
  disk.fail_fallocate = true;
  segment_store store(dir.path(), disk);
  segment_info info;
  info.expected_bytes = 1 << 20;
  CHECK(store.create(fault_id, info).error().code() == errc::resource_exhausted);
  CHECK(dir.names().empty());
}

TEST_CASE("reserved room is given back at the seal") {
  temporary_directory dir;
  segment_store store(dir.path());
  segment_info info;
  info.expected_bytes = 8 << 20;
  auto writer = store.create(fault_id, info);
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->append("x\n", 1));
  REQUIRE_OK(writer->seal());
  CHECK(std::filesystem::file_size(store.path(fault_id)) < 8192);
  REQUIRE_OK(store.open(fault_id)->verify());
}

TEST_CASE("short writes and interrupts change nothing in the file") {
  temporary_directory dir;
  faulty_operations disk;
  segment_store plain(dir.path()), store(dir.path(), disk);
  const auto write = [](segment_store& s, segment_id which) {
    auto writer = s.create(which, {});
    REQUIRE_OK(writer);
    for (int i = 0; i < 5; ++i) REQUIRE_OK(writer->append(payload, 2));
    const auto summary = writer->seal();
    REQUIRE_OK(summary);
    return *summary;
  };
  const auto expected = write(plain, fault_id);
  const auto good = *read_file(file_operations::system(), plain.path(fault_id), 1 << 20);
  REQUIRE_OK(plain.remove(fault_id));
  disk.write_bytes_max = 701;
  disk.read_bytes_max = 333;
  disk.interrupt_every = 3;
  CHECK(write(store, fault_id) == expected);
  CHECK(*read_file(file_operations::system(), plain.path(fault_id), 1 << 20) == good);
  REQUIRE_OK(store.open(fault_id)->verify());
}

TEST_CASE("a seal syncs the file and its name; a sync syncs the name once") {
  temporary_directory dir;
  faulty_operations disk;
  segment_store store(dir.path(), disk);
  auto writer = store.create(fault_id, {});
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->append(payload, 1));
  CHECK(disk.fdatasyncs == 0);
  REQUIRE_OK(writer->sync());
  CHECK(disk.fdatasyncs == 1);
  CHECK(disk.fsyncs == 1);
  REQUIRE_OK(writer->sync());
  REQUIRE_OK(writer->seal());
  CHECK(disk.fdatasyncs == 3);
  CHECK(disk.fsyncs == 1);
}

TEST_CASE("a sync that fails at the seal ends the process") {
  temporary_directory dir;
  faulty_operations disk;
  segment_store store(dir.path(), disk);
  auto writer = store.create(fault_id, {});
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->append(payload, 1));
  for (bool* failing : {&disk.fail_fdatasync, &disk.fail_fsync}) {
    *failing = true;
    const auto words = words_of_abort([&] { (void)writer->seal(); });
    CHECK(words.find(dir.path()) != std::string::npos);
    CHECK(words.find("Input/output error") != std::string::npos);
    *failing = false;
  }
}

TEST_CASE("a segment of too many producers refuses the next one and goes on with those it knows") {
  temporary_directory dir;
  segment_store store(dir.path());
  auto writer = store.create(fault_id, {});
  REQUIRE_OK(writer);
  append_info info;
  for (std::size_t i = 0; i < format::producers_per_segment_max; ++i) {
    info.producer = uuid{};
    store_le(reinterpret_cast<char*>(info.producer.octets.data()), i + 1);
    REQUIRE_OK(writer->append("x", 1, info));
  }
  REQUIRE_OK(writer->append("x", 1, info));
  info.producer = uuid::random();
  CHECK(writer->append("x", 1, info).error().code() == errc::resource_exhausted);
  REQUIRE_OK(writer->append("x", 1));
  REQUIRE_OK(writer->seal());
  CHECK(store.open(fault_id)->footer().producers.size() == format::producers_per_segment_max);
}
