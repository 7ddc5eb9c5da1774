#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <support/catch.hpp>
#include <troupe/telemetry/log.hpp>

using namespace troupe::telemetry;
using namespace std::chrono_literals;

namespace {
std::string slurp(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

struct scratch_folder {
  std::string path = "/tmp/troupe_log_test.XXXXXX";
  scratch_folder() { REQUIRE(::mkdtemp(path.data()) != nullptr); }
  ~scratch_folder() {
    for (const char* name : {"/log", "/log.1"}) ::unlink((path + name).c_str());
    ::rmdir(path.c_str());
  }
};
}  // namespace

TEST_CASE("a line has time, level, room and text, and can't be forged") {
  logger log;
  std::vector<std::string> lines;
  log.to_function([&](std::string_view line) { lines.emplace_back(line); });
  log.warning("gate", "one\ntwo \x1b[31m");
  log.debug("gate", "below the level");
  REQUIRE(lines.size() == 1);
  CHECK(lines[0].substr(23) == "Z warning gate: one\\x0atwo \\x1b[31m");
  CHECK(lines[0][10] == 'T');
}

TEST_CASE("the level can be changed, and is read from text") {
  logger log;
  int count = 0;
  log.to_function([&](std::string_view) { ++count; });
  log.set_level(*parse_level("error"));
  log.warning("x", "no");
  log.error("x", "yes");
  CHECK(count == 1);
  CHECK(parse_level("loud").error().code() == troupe::errc::invalid_argument);
}

TEST_CASE("a file is appended to and rolled at its size") {
  const scratch_folder folder;
  const auto path = folder.path + "/log";
  {
    logger log;
    REQUIRE_OK(log.to_file(path, 200));
    log.info("room", "first");
  }
  logger log;
  REQUIRE_OK(log.to_file(path, 200));
  log.info("room", "second");
  CHECK(slurp(path).find("first") != std::string::npos);
  CHECK(slurp(path).find("second") != std::string::npos);
  log.info("room", std::string(150, 'x'));
  log.info("room", "last");
  CHECK(slurp(path + ".1").find("xxx") != std::string::npos);
  CHECK(slurp(path).find("last") != std::string::npos);
  CHECK(slurp(path).find("xxx") == std::string::npos);
}

TEST_CASE("a file that can't be opened is said so") {
  logger log;
  const auto opened = log.to_file("/nowhere/at/all");
  REQUIRE(!opened);
  CHECK(opened.error().message().find("/nowhere/at/all") != std::string::npos);
}

TEST_CASE("a rate limit lets one through per interval and reports the rest with the next") {
  rate_limit limit(10s);
  const rate_limit::time_point start{};
  CHECK(!limit.due());
  CHECK(limit.pass(start) == 1u);
  for (int i = 1; i <= 9; ++i) CHECK(!limit.pass(start + i * 1s));
  CHECK(limit.due() == start + 10s);
  CHECK(!limit.flush(start + 9999ms));
  CHECK(limit.flush(start + 10s) == 9u);
  CHECK(!limit.due());
  CHECK(!limit.flush(start + 30s));
  CHECK(limit.pass(start + 30s) == 1u);
}
