#include <fcntl.h>

#include "faulty_operations.hpp"

using namespace troupe;
using namespace troupe::storage;

TEST_CASE("writes and reads are whole in spite of short counts and interrupts") {
  temporary_directory dir;
  faulty_operations disk;
  disk.write_bytes_max = 3;
  disk.read_bytes_max = 5;
  disk.interrupt_every = 4;
  auto f = file::open(disk, dir / "f", O_RDWR | O_CREAT);
  REQUIRE_OK(f);
  const bytes_view parts[] = {"one ", "", "two ", "three"};
  REQUIRE_OK(f->write(parts, 10));
  CHECK(disk.writes > 4);
  CHECK(*f->size() == 23);
  CHECK(*f->read(13, 10) == "one two three");
  CHECK(f->read(14, 10).error().code() == errc::corrupted);
}

TEST_CASE("a write of more parts than one call takes is whole") {
  temporary_directory dir;
  auto f = file::open(file_operations::system(), dir / "f", O_RDWR | O_CREAT);
  REQUIRE_OK(f);
  std::vector<std::string> texts;
  std::string all;
  for (int i = 0; i < 100; ++i) all += texts.emplace_back("part " + std::to_string(i) + ";");
  const std::vector<bytes_view> parts(texts.begin(), texts.end());
  REQUIRE_OK(f->write(parts, 0));
  CHECK(*f->read(all.size(), 0) == all);
}

TEST_CASE("room that was only reserved need not be read: the next data is behind it, or there is none") {
  temporary_directory dir;
  auto f = file::open(file_operations::system(), dir / "f", O_RDWR | O_CREAT);
  REQUIRE_OK(f);
  constexpr std::uint64_t size = 8 << 20, far = 6 << 20;
  REQUIRE_OK(f->reserve(0, size, false));
  REQUIRE_OK(f->write("begin", 0));
  REQUIRE_OK(f->write("far", far));
  CHECK(f->next_data(0, size) == 0);
  // A file system that can't tell says where it was asked: then everything is read, and is zeros.
  const auto next = f->next_data(1 << 20, size);
  CHECK((next == (1 << 20) || (next > (5 << 20) && next <= far)));
  const auto end = f->next_data(far + (1 << 20), size);
  CHECK((end == far + (1 << 20) || end == size));
  CHECK(f->next_data(size, size) == size);
}

TEST_CASE("descriptors do not reach a program that is started") {
  temporary_directory dir;
  auto f = file::open(file_operations::system(), dir / "f", O_RDWR | O_CREAT);
  REQUIRE_OK(f);
  CHECK((::fcntl(f->descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
}

TEST_CASE("a full disk is an error value") {
  temporary_directory dir;
  faulty_operations disk;
  disk.bytes_left = 5;
  auto f = file::open(disk, dir / "f", O_RDWR | O_CREAT);
  REQUIRE_OK(f);
  const auto written = f->write("too much", 0);
  REQUIRE_FALSE(written);
  CHECK(written.error().code() == errc::resource_exhausted);
  CHECK(written.error().message().find(dir / "f") != std::string::npos);
}

TEST_CASE("a failed fdatasync ends the process with a sentence, and is not tried again") {
  temporary_directory dir;
  faulty_operations disk;
  auto f = file::open(disk, dir / "f", O_RDWR | O_CREAT);
  REQUIRE_OK(f);
  disk.fail_fdatasync = true;
  const auto words = words_of_abort([&] { f->sync(); });
  CHECK(words.find("fdatasync " + (dir / "f") + " failed: Input/output error") != std::string::npos);
  const auto words_of_directory = words_of_abort([&] {
    disk.fail_fsync = true;
    (void)sync_directory(disk, dir.path());
  });
  CHECK(words_of_directory.find("fsync " + dir.path()) != std::string::npos);
}

TEST_CASE("a file is replaced as one step") {
  temporary_directory dir;
  faulty_operations disk;
  const auto put = [&](std::string_view text) {
    const bytes_view part = text;
    return replace_file(disk, dir.path(), "f", {&part, 1});
  };
  REQUIRE_OK(put("first"));
  CHECK(disk.fdatasyncs == 1);
  CHECK(disk.fsyncs == 1);
  REQUIRE_OK(put("second, longer"));
  CHECK(*read_file(disk, dir / "f", 100) == "second, longer");
  SECTION("a full disk leaves the old content and nothing else") {
    disk.bytes_left = 3;
    CHECK(put("third").error().code() == errc::resource_exhausted);
  }
  SECTION("so does a rename that fails") {
    disk.fail_rename = true;
    CHECK(put("third").error().code() == errc::io_error);
  }
  SECTION("a fsync of the directory that fails ends the process") {
    CHECK_FALSE(words_of_abort([&] {
                  disk.fail_fsync = true;
                  (void)put("second, longer");
                }).empty());
  }
  CHECK(*read_file(disk, dir / "f", 100) == "second, longer");
  CHECK(dir.names() == std::vector<std::string>{"f"});
  CHECK(disk.open_files.empty());
}

TEST_CASE("a file above its limit is not read, a missing one is not found") {
  temporary_directory dir;
  const bytes_view part = "12345";
  REQUIRE_OK(replace_file(file_operations::system(), dir.path(), "f", {&part, 1}));
  CHECK(read_file(file_operations::system(), dir / "f", 4).error().code() == errc::resource_exhausted);
  CHECK(read_file(file_operations::system(), dir / "g", 4).error().code() == errc::not_found);
}

TEST_CASE("making a directory twice is fine, over a file it is not") {
  temporary_directory dir;
  REQUIRE_OK(make_directory(file_operations::system(), dir / "d"));
  REQUIRE_OK(make_directory(file_operations::system(), dir / "d"));
  const bytes_view part = "x";
  REQUIRE_OK(replace_file(file_operations::system(), dir.path(), "f", {&part, 1}));
  CHECK(make_directory(file_operations::system(), dir / "f").error().code() == errc::failed_precondition);
  CHECK(make_directory(file_operations::system(), dir / "no/d").error().code() == errc::not_found);
}
