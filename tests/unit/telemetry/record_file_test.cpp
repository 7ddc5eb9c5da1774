#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <support/catch.hpp>
#include <troupe/telemetry/journal.hpp>
#include <troupe/telemetry/record_keeper.hpp>
#include <vector>

using namespace troupe;
using namespace troupe::telemetry;

namespace {

struct folder {
  folder() { std::filesystem::create_directories(path); }
  ~folder() { std::filesystem::remove_all(path); }
  [[nodiscard]] std::string file(const std::string& name) const { return (path / name).string(); }
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("troupe_records_" + std::to_string(::getpid()));
};

std::vector<bytes> all_of(const std::string& path) {
  std::vector<bytes> found;
  REQUIRE(record_file::read(path, [&](bytes_view r) { found.emplace_back(r); }));
  return found;
}

void overwrite(const std::string& path, std::streamoff at, std::string_view with) {
  std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
  f.seekp(at);
  f << with;
  REQUIRE(f.good());
}

}  // namespace

TEST_CASE("records are read as they were appended, by whoever opens the file next") {
  const folder f;
  const auto path = f.file("a");
  CHECK(all_of(path).empty());
  {
    auto file = record_file::open(path, 1 << 20);
    REQUIRE(file);
    REQUIRE(file->append("first"));
    REQUIRE(file->append(""));
  }
  auto file = record_file::open(path, 1 << 20);
  REQUIRE(file);
  const bytes zeros(1000, '\0');
  REQUIRE(file->append(zeros));
  CHECK(all_of(path) == std::vector<bytes>{"first", "", zeros});
  CHECK_FALSE(file->append(bytes(65 << 10, 'x')));
}

TEST_CASE("a torn or damaged record is skipped, and those behind it are read") {
  const folder f;
  const auto path = f.file("a");
  auto file = record_file::open(path, 1 << 20);
  REQUIRE(file);
  for (const auto* text : {"one", "two", "three"}) REQUIRE(file->append(text));
  overwrite(path, 8 + 12 + 3 + 12, "X");  // the first byte of «two»
  CHECK(all_of(path) == std::vector<bytes>{"one", "three"});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 2);  // «three» was cut short
  CHECK(all_of(path) == std::vector<bytes>{"one"});
  REQUIRE(file->append("four"));
  CHECK(all_of(path) == std::vector<bytes>{"one", "four"});
}

TEST_CASE("a length that leads beyond the end is not believed") {
  const folder f;
  const auto path = f.file("a");
  auto file = record_file::open(path, 1 << 20);
  REQUIRE(file);
  REQUIRE(file->append("one"));
  REQUIRE(file->append("two"));
  overwrite(path, 8 + 4, "\xff\xff\xff\xff");
  CHECK(all_of(path) == std::vector<bytes>{"two"});
}

TEST_CASE("a file of another version is neither read nor written") {
  const folder f;
  const auto path = f.file("a");
  REQUIRE(record_file::open(path, 1 << 20));
  overwrite(path, 7, "\x09");
  CHECK(record_file::open(path, 1 << 20).error().code() == errc::unsupported);
  CHECK(record_file::read(path, [](bytes_view) { FAIL("read"); }).error().code() == errc::unsupported);
}

TEST_CASE("the newest records stay when a file is full, and its size is bounded") {
  const folder f;
  const auto path = f.file("a");
  constexpr std::uint64_t most = 16 << 10;
  auto file = record_file::open(path, most);
  REQUIRE(file);
  for (int i = 0; i < 5'000; ++i) REQUIRE(file->append("record " + std::to_string(i)));
  const auto kept = all_of(path);
  CHECK(kept.size() > 200);
  for (std::size_t i = 0; i < kept.size(); ++i) REQUIRE(kept[i] == "record " + std::to_string(5'000 - kept.size() + i));
  CHECK(std::filesystem::file_size(path) + std::filesystem::file_size(path + ".old") <= most);
  record_file::remove(path);
  CHECK(std::filesystem::is_empty(f.path));
}

TEST_CASE("a keeper writes what it was given before it ends, and says what it could not keep") {
  const folder f;
  std::vector<std::string> complaints;
  {
    record_keeper keeper({}, [&](const std::string& text) { complaints.push_back(text); });
    for (int i = 0; i < 100; ++i) keeper.append(f.file(std::to_string(i % 20)), "record " + std::to_string(i));
    keeper.append(f.file("gone"), "something");
    keeper.remove(f.file("gone"));
    keeper.append(f.file("missing/folder"), "nowhere");
  }
  CHECK(all_of(f.file("19")) == std::vector<bytes>{"record 19", "record 39", "record 59", "record 79", "record 99"});
  CHECK_FALSE(std::filesystem::exists(f.file("gone")));
  REQUIRE(complaints.size() == 1);
  CHECK(complaints[0].find("missing/folder") != std::string::npos);
}

TEST_CASE("nobody waits for a keeper that is held up: what is too much is dropped, and counted") {
  const folder f;
  std::vector<std::string> complaints;
  std::promise<void> held, go_on;
  record_keeper::options limits;
  limits.waiting_bytes_max = 10'000;
  {
    record_keeper keeper(limits, [&](const std::string& text) {
      complaints.push_back(text);
      if (complaints.size() > 1) return;
      held.set_value();
      go_on.get_future().wait();
    });
    keeper.append(f.file("missing/folder"), "nowhere");
    held.get_future().wait();
    for (int i = 0; i < 1'000; ++i) keeper.append(f.file("a"), bytes(100, 'x'));
    go_on.set_value();
  }
  const auto kept = all_of(f.file("a")).size();
  CHECK(kept > 10);
  CHECK(kept * 100 < 10'000);
}

TEST_CASE("events outlive their node, and ids go on") {
  const folder f;
  const auto path = f.file("events");
  {
    record_keeper keeper({}, [](const std::string& text) { FAIL(text); });
    journal first(3);
    REQUIRE(first.keep(keeper, path));
    for (int i = 1; i <= 5; ++i) first.append("k", "node1", "event " + std::to_string(i), {{"job", "7"}});
  }
  record_keeper keeper({}, [](const std::string& text) { FAIL(text); });
  journal second(3);
  REQUIRE(second.keep(keeper, path));
  CHECK(second.last_id() == 5);
  const auto seen = second.after(0, 10);
  REQUIRE(seen.size() == 3);
  CHECK(seen[0].text == "event 3");
  CHECK(seen[2].fields.at("job") == "7");
  CHECK(second.append("k", "node1", "later") == 6);
}
