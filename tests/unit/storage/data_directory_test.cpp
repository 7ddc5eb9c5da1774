#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <troupe/base/process.hpp>
#include <troupe/storage/data_directory.hpp>

#include "faulty_operations.hpp"

using namespace troupe;
using namespace troupe::storage;

namespace {

storage::identity sample() {
  return {cluster_id::random(), member_id::random(), "node \"one\"",
          "127.0.0.1:9000",     incarnation{~0ull},  {"127.0.0.1:9001", "127.0.0.1:9002"}};
}

void overwrite(const std::string& path, bytes_view text) {
  auto f = file::open(file_operations::system(), path, O_RDWR | O_CREAT | O_TRUNC);
  REQUIRE_OK(f);
  REQUIRE_OK(f->write(text, 0));
}

}  // namespace

TEST_CASE("a data directory has its folders, for its owner alone") {
  temporary_directory dir;
  auto data = data_directory::open(dir / "data");
  REQUIRE_OK(data);
  for (const auto& folder : {data->raft(), data->segments(), data->modules(), data->spill(), data->logs()}) {
    struct stat info {};
    REQUIRE(::stat(folder.c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
  }
  CHECK(*data->free_bytes() > 0);
}

TEST_CASE("a data directory belongs to one process at a time") {
  temporary_directory dir;
  {
    const auto first = data_directory::open(dir / "data");
    REQUIRE_OK(first);
    const auto second = data_directory::open(dir / "data");
    REQUIRE_FALSE(second);
    CHECK(second.error().code() == errc::failed_precondition);
    CHECK(second.error().message().find("process " + std::to_string(::getpid())) != std::string::npos);
  }
  REQUIRE_OK(data_directory::open(dir / "data"));
}

TEST_CASE("the data directory of a killed process is free once it has gone") {
  temporary_directory dir;
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const auto child = ::fork();
  if (child == 0) {
    const auto held = data_directory::open(dir / "data");
    const char told = held ? 'y' : 'n';
    if (::write(pipe[1], &told, 1) != 1) ::_exit(1);
    for (;;) ::pause();
  }
  char told = 0;
  REQUIRE(::read(pipe[0], &told, 1) == 1);
  CHECK(told == 'y');
  CHECK_FALSE(is_ending(child));
  REQUIRE_FALSE(data_directory::open(dir / "data"));
  ::kill(child, SIGKILL);
  CHECK(is_ending(child));
  REQUIRE_OK(data_directory::open(dir / "data"));
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(is_ending(child));
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST_CASE("an identity reads back as written, and a new directory has none") {
  temporary_directory dir;
  auto data = data_directory::open(dir / "data");
  REQUIRE_OK(data);
  CHECK(data->load_identity()->has_value() == false);
  auto who = sample();
  for (int i = 0; i < 2; ++i) {
    REQUIRE_OK(data->save_identity(who));
    const auto back = data->load_identity();
    REQUIRE_OK(back);
    CHECK(back->value() == who);
    who.seeds.clear();
    who.incarnation = incarnation{7};
  }
}

TEST_CASE("an identity that makes no sense is refused, never replaced") {
  temporary_directory dir;
  auto data = data_directory::open(dir / "data");
  REQUIRE_OK(data);
  REQUIRE_OK(data->save_identity(sample()));
  const auto path = data->path() + "/identity.json";
  const auto good = *read_file(file_operations::system(), path, 1 << 20);
  for (std::size_t size = 0; size + 2 < good.size(); ++size) {
    overwrite(path, bytes_view(good).substr(0, size));
    const auto back = data->load_identity();
    REQUIRE_FALSE(back);
    CHECK(back.error().code() == errc::corrupted);
    CHECK(back.error().message().find(path) != std::string::npos);
  }
  overwrite(path, R"({"version":2})");
  CHECK(data->load_identity().error().code() == errc::unsupported);
  for (const char* key : {"cluster_id", "member_id", "name", "address", "incarnation", "seeds"}) {
    auto bad = good;
    bad.replace(bad.find(key), 2, "xx");
    overwrite(path, bad);
    CHECK(data->load_identity().error().code() == errc::corrupted);
  }
}

TEST_CASE("a full disk keeps the identity that was") {
  temporary_directory dir;
  faulty_operations disk;
  auto data = data_directory::open(dir / "data", disk);
  REQUIRE_OK(data);
  const auto who = sample();
  REQUIRE_OK(data->save_identity(who));
  disk.bytes_left = 20;
  CHECK(data->save_identity(sample()).error().code() == errc::resource_exhausted);
  CHECK(data->load_identity()->value() == who);
}

TEST_CASE("spill files of an earlier life are purged") {
  temporary_directory dir;
  auto data = data_directory::open(dir / "data");
  REQUIRE_OK(data);
  CHECK(*data->purge_spill() == 0);
  overwrite(data->spill() + "/a", "x");
  overwrite(data->spill() + "/b", "y");
  CHECK(*data->purge_spill() == 2);
  CHECK(std::filesystem::is_empty(data->spill()));
}

TEST_CASE("what a node has left in its directory is found, so that no other begins in it") {
  temporary_directory dir;
  auto data = data_directory::open(dir / "data");
  REQUIRE_OK(data);
  CHECK(data->holds_data()->empty());
  overwrite(data->spill() + "/a", "x");
  CHECK(data->holds_data()->empty());
  overwrite(data->segments() + "/1.seg", "x");
  CHECK(*data->holds_data() == "segments/1.seg");
}
