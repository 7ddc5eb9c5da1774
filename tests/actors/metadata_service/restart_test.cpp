#include "test_node.hpp"

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;

namespace {

/// A disk that counts syncs, and can be full.
class tricky_disk : public storage::file_operations {
 public:
  int fdatasync(int fd) override {
    ++syncs;
    return file_operations::fdatasync(fd);
  }
  ssize_t pwritev(int fd, const iovec* parts, int count, off_t position) override {
    if (full) {
      errno = ENOSPC;
      return -1;
    }
    return file_operations::pwritev(fd, parts, count, position);
  }
  int fallocate(int fd, int mode, off_t position, off_t size) override {
    if (full) {
      errno = ENOSPC;
      return -1;
    }
    return file_operations::fallocate(fd, mode, position, size);
  }
  std::atomic<int> syncs{0};
  std::atomic<bool> full{false};
};

}  // namespace

TEST_CASE("a holder that restarts has the same state, from its log alone and from a snapshot", "[metadata_service]") {
  test_cluster c;
  const bool with_snapshot = GENERATE(false, true);
  if (with_snapshot) c.limits.snapshot_entries = 40;
  REQUIRE_OK(c.start_holder().join());
  for (int i = 0; i < 100; ++i) REQUIRE_OK(c.holder->propose(module(i, 500)));
  const auto before = c.holder->node().read([](const auto& s) { return std::pair(s.modules(), s.applied()); });
  c.holder->kill();
  c.start_holder();
  const auto again = c.holder->join();
  REQUIRE_OK(again);
  CHECK(again->name == "node1");
  const auto after = c.holder->node().read([](const auto& s) { return std::pair(s.modules(), s.applied()); });
  CHECK(after.first == before.first);
  CHECK(after.second == before.second.next());  // its own registration
  CHECK(std::filesystem::exists(c.directory.path() + "/snapshot") == with_snapshot);
}

TEST_CASE("followers outlive a restart of the holder: they keep their state, reconnect, and are not found dead",
          "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_holder().join());
  seat a;
  auto one = c.start_follower(a);
  REQUIRE_OK(one->join());
  REQUIRE_OK(one->propose(module(1)));
  std::atomic<int> replaced{0};
  const auto end = one->node().observe([&](log_index, const metadata::command& what, const auto&, const auto&) {
    if (std::holds_alternative<metadata::noop>(what)) ++replaced;
  });
  for (int round = 0; round < 3; ++round) {
    c.holder->kill();
    CHECK(one->node().read([](const auto& s) { return s.modules().size(); }) == 1);
    c.start_holder();
    REQUIRE_OK(one->propose(module(1), {}, 20'000));
    REQUIRE_OK(c.holder->join());
  }
  end();
  CHECK(replaced == 0);  // entries were enough, no snapshot came
  const auto me = c.holder->member(a.member);
  REQUIRE(me);
  CHECK(me->state == metadata::member_state::alive);
  CHECK(me->incarnation.value == 1);
  REQUIRE_OK(one->barrier());
  CHECK(one->image() == c.holder->image());
}

TEST_CASE("requests survive restarts of the holder, each with one effect", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_holder().join());
  seat a;
  auto one = c.start_follower(a);
  REQUIRE_OK(one->join());
  std::vector<std::future<result<metadata::response>>> answers;
  const auto begin = [&](int n) {
    metadata::begin_import import;
    import.name = "d" + std::to_string(n);
    import.importer = a.member;
    auto promise = std::make_shared<std::promise<result<metadata::response>>>();
    answers.push_back(promise->get_future());
    one->node().propose(import, {}, 25'000, [promise](auto r) { promise->set_value(std::move(r)); });
  };
  int n = 0;
  for (int round = 0; round < 4; ++round) {
    for (int i = 0; i < 100; ++i) begin(n++);
    answers[static_cast<std::size_t>(n - 60)].wait();  // some are done, some are not
    c.holder->kill();
    for (int i = 0; i < 20; ++i) begin(n++);  // while nobody is there
    c.start_holder();
  }
  std::set<dataset_id> made;
  for (auto& f : answers) {
    const auto r = f.get();
    REQUIRE_OK(r);
    CHECK(made.insert(r->dataset).second);
  }
  CHECK(c.holder->node().read([](const auto& s) { return s.datasets().size(); }) == static_cast<std::size_t>(n));
}

TEST_CASE("a follower far behind gets a snapshot in parts, a near one gets entries", "[metadata_service]") {
  test_cluster c;
  c.limits.recent_entries_max = 50;
  REQUIRE_OK(c.start_holder().join());
  for (int i = 0; i < 900; ++i) REQUIRE_OK(c.holder->propose(module(i, 4'000)));
  CHECK(c.holder->image().size() > 3'000'000);  // parts of 1 MiB
  seat a;
  auto one = c.start_follower(a);
  REQUIRE_OK(one->join());
  REQUIRE_OK(one->barrier());
  CHECK(one->image() == c.holder->image());
}

TEST_CASE("many requests share a sync", "[metadata_service]") {
  test_cluster c;
  tricky_disk disk;
  c.files = &disk;
  REQUIRE_OK(c.start_holder().join());
  seat a;
  auto one = c.start_follower(a);
  REQUIRE_OK(one->join());
  disk.syncs = 0;
  std::vector<std::future<result<metadata::response>>> answers;
  for (int i = 0; i < 2'000; ++i) {
    auto promise = std::make_shared<std::promise<result<metadata::response>>>();
    answers.push_back(promise->get_future());
    one->node().propose(metadata::noop{}, {}, 20'000, [promise](auto r) { promise->set_value(std::move(r)); });
  }
  for (auto& f : answers) REQUIRE_OK(f.get());
  CHECK(disk.syncs < 1'000);
  CHECK(disk.syncs > 0);
}

TEST_CASE("a full disk refuses commands, and takes them again when it has room", "[metadata_service]") {
  test_cluster c;
  tricky_disk disk;
  c.files = &disk;
  REQUIRE_OK(c.start_holder().join());
  seat a;
  auto one = c.start_follower(a);
  REQUIRE_OK(one->join());
  disk.full = true;
  CHECK(c.holder->propose(module(1)).error().code() == errc::resource_exhausted);
  CHECK(one->propose(module(2)).error().code() == errc::resource_exhausted);
  disk.full = false;
  REQUIRE_OK(c.holder->propose(module(3)));
  REQUIRE_OK(one->propose(module(4)));
  c.holder->kill();
  c.start_holder();
  REQUIRE_OK(c.holder->join());
  CHECK(c.holder->node().read([](const auto& s) { return s.modules().size(); }) == 2);
}
