#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <shell/commands/export_target.hpp>
#include <shell/commands/import_source.hpp>
#include <shell/interrupts.hpp>
#include <support/catch.hpp>
#include <troupe/base/random.hpp>

using namespace troupe;
using namespace troupe::shell;
namespace fs = std::filesystem;

namespace {

struct folder {
  fs::path path = fs::temp_directory_path() / ("troupe-shell-" + random_hex(6));
  folder() {
    fs::create_directory(path);
    interrupts::install();
  }
  ~folder() { fs::remove_all(path); }
  std::string file(const std::string& name, const std::string& content) const {
    std::ofstream(path / name, std::ios::binary) << content;
    return (path / name).string();
  }
  std::string read(const std::string& name) const {
    std::ifstream in(path / name, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::size_t entries() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(path), fs::directory_iterator()));
  }
};

std::string all_of(import_source& source, std::size_t piece) {
  std::string out, buffer(piece, 0);
  for (;;) {
    const auto got = source.read_some(buffer);
    REQUIRE_OK(got);
    if (*got == 0) return out;
    out.append(buffer, 0, *got);
  }
}

}  // namespace

TEST_CASE("files follow each other, and no two records run together") {
  const folder f;
  const std::vector<std::string> files{f.file("a", "1\n2"), f.file("empty", ""), f.file("b", "3\n"), f.file("c", "4")};
  for (const std::size_t piece : {1u, 3u, 100u}) {
    auto source = import_source::open(files, {});
    REQUIRE(source.has_value());
    CHECK(source->bytes_total() == 7u);
    CHECK(all_of(*source, piece) == "1\n2\n3\n4");
  }
  auto raw = import_source::open(files, {.lines = false});
  REQUIRE(raw.has_value());
  CHECK(raw->bytes_total() == 6u);
  CHECK(all_of(*raw, 100) == "1\n23\n4");
}

TEST_CASE("an unreadable source is refused before anything is sent") {
  const folder f;
  const auto good = f.file("a", "1\n");
  const auto missing = import_source::open({good, (f.path / "none").string()}, {});
  REQUIRE_FALSE(missing.has_value());
  CHECK(missing.error().message.find("none: No such file or directory") != std::string::npos);
  const auto directory = import_source::open({f.path.string()}, {});
  REQUIRE_FALSE(directory.has_value());
  CHECK(directory.error().message.find("is a directory") != std::string::npos);
  CHECK(import_source::open({"-", "-"}, {}).error().status == status::usage);
}

TEST_CASE("a file that shrinks is an error, one that grows is imported as it was") {
  const folder f;
  const auto name = f.file("a", "0123456789\n");
  auto source = import_source::open({name}, {});
  REQUIRE(source.has_value());
  std::ofstream(name, std::ios::app) << "more\n";
  CHECK(all_of(*source, 4) == "0123456789\n");
  auto again = import_source::open({name}, {});
  REQUIRE(again.has_value());
  fs::resize_file(name, 3);
  std::string buffer(100, 0);
  auto short_read = again->read_some(buffer);
  if (short_read) short_read = again->read_some(buffer);
  REQUIRE_FALSE(short_read);
  CHECK(short_read.error().message().find("became shorter") != std::string::npos);
}

TEST_CASE("files of /proc, whose size is said to be 0, are read") {
  auto source = import_source::open({"/proc/self/status"}, {});
  REQUIRE(source.has_value());
  CHECK_FALSE(source->bytes_total());
  CHECK(all_of(*source, 4096).find("Pid:") != std::string::npos);
}

TEST_CASE("an exported file appears whole or not at all") {
  const folder f;
  const auto path = (f.path / "out.tsv").string();
  {
    auto target = export_target::open(path);
    REQUIRE(target.has_value());
    REQUIRE_OK(target->write("half"));
    CHECK_FALSE(fs::exists(path));
  }
  CHECK(f.entries() == 0);
  f.file("out.tsv", "old");
  {
    auto target = export_target::open(path);
    REQUIRE(target.has_value());
    REQUIRE_OK(target->write("new "));
    CHECK(f.read("out.tsv") == "old");
    REQUIRE_OK(target->write("text"));
    REQUIRE_OK(target->finish());
    CHECK(target->bytes() == 8);
  }
  CHECK(f.read("out.tsv") == "new text");
  CHECK(f.entries() == 1);
  CHECK_FALSE(export_target::open(f.path.string()).has_value());
  CHECK_FALSE(export_target::open((f.path / "no" / "such").string()).has_value());
}

TEST_CASE("a full device is an error") {
  auto target = export_target::open("/dev/full");
  REQUIRE(target.has_value());
  const auto written = target->write("x");
  REQUIRE_FALSE(written);
  CHECK(written.error().code() == errc::resource_exhausted);
}

TEST_CASE("compressed files are read as they were before, and damage in them is seen") {
  const folder f;
  std::string text;
  for (int i = 0; i < 200'000; ++i) text += "line " + std::to_string(i * 7919 % 100'003) + "\n";
  const auto plain = f.file("plain", text);
  for (const std::string tool : {"gzip", "zstd"}) {
    const auto packed = (f.path / ("packed." + tool)).string();
    // Two members, one after the other, as `cat a.gz b.gz` makes them.
    REQUIRE(std::system(
                (tool + " -c " + plain + " > " + packed + " && " + tool + " -c " + plain + " >> " + packed).c_str()) ==
            0);
    for (const std::size_t piece : {std::size_t{1'000}, std::size_t{1} << 20}) {
      auto source = import_source::open({packed}, {});
      REQUIRE(source.has_value());
      CHECK_FALSE(source->bytes_total());
      const auto got = all_of(*source, piece);
      CHECK(got.size() == 2 * text.size());
      CHECK(got == text + text);
    }
    const auto stored = f.read("packed." + tool);
    const auto cut = f.file("cut", stored.substr(0, stored.size() - 100));
    auto damaged = stored;
    damaged[stored.size() / 4] = static_cast<char>(damaged[stored.size() / 4] ^ 0x55);
    const auto flipped = f.file("flipped", damaged);
    for (const auto& bad : {cut, flipped}) {
      auto source = import_source::open({bad}, {});
      REQUIRE(source.has_value());
      std::string buffer(1 << 16, 0);
      result<std::size_t> got = std::size_t{1};
      while (got && *got != 0) got = source->read_some(buffer);
      REQUIRE_FALSE(got);
      CHECK(got.error().message().find(bad) != std::string::npos);
    }
  }
}

TEST_CASE("of several files with a header that of the first stays, and a line is known by its file") {
  const folder f;
  const std::vector<std::string> files{f.file("a", "n,\"w\nx\"\n1,a\n"), f.file("b", "n,\"w\nx\"\n2,b"),
                                       f.file("c", "n,w\n")};
  for (const std::size_t piece : {1u, 4u, 100u}) {
    auto source = import_source::open(files, {.counts_lines = true, .header = true});
    REQUIRE(source.has_value());
    CHECK(all_of(*source, piece) == "n,\"w\nx\"\n1,a\n2,b\n");
    CHECK(source->place_of_line(3) == files[0] + ", line 3");
    CHECK(source->place_of_line(4) == files[1] + ", line 3");
  }
}
