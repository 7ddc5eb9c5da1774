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

TEST_CASE("a node that restarts has the same state, from its log alone and from a snapshot", "[metadata_service]") {
  test_cluster c;
  const bool with_snapshot = GENERATE(false, true);
  if (with_snapshot) c.limits.snapshot_entries = 40;
  REQUIRE_OK(c.start_first().join());
  for (int i = 0; i < 100; ++i) REQUIRE_OK(c.first->propose(module(i, 500)));
  const auto before = c.first->node().read([](const auto& s) { return std::pair(s.modules(), s.applied()); });
  c.first->kill();
  c.start_first();
  const auto again = c.first->join();
  REQUIRE_OK(again);
  CHECK(again->name == "node1");
  const auto after = c.first->node().read([](const auto& s) { return std::pair(s.modules(), s.applied()); });
  CHECK(after.first == before.first);
  CHECK(after.second.value == before.second.value + 2);  // a new term's first entry, and its registration
  CHECK(std::filesystem::exists(c.first_seat.directory->path() + "/snapshot") == with_snapshot);
}

TEST_CASE("learners outlive a restart of the only voter: they keep their state, reconnect, and are not found dead",
          "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
  REQUIRE_OK(one->join());
  REQUIRE_OK(one->propose(module(1)));
  std::atomic<int> replaced{0};
  const auto end = one->node().observe([&](log_index, const metadata::command& what, const auto&, const auto&) {
    if (std::holds_alternative<metadata::noop>(what)) ++replaced;
  });
  for (int round = 0; round < 3; ++round) {
    c.first->kill();
    CHECK(one->node().read([](const auto& s) { return s.modules().size(); }) == 1);
    c.start_first();
    REQUIRE_OK(one->propose(module(1), {}, 20'000));
    REQUIRE_OK(c.first->join());
  }
  end();
  CHECK(replaced == 0);  // entries were enough, no snapshot came
  const auto me = c.first->member(a.member);
  REQUIRE(me);
  CHECK(me->state == metadata::member_state::alive);
  CHECK(me->incarnation.value == 1);
  REQUIRE_OK(one->barrier());
  CHECK(one->image() == c.first->image());
}

TEST_CASE("requests survive restarts of the leader, each with one effect", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
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
    c.first->kill();
    for (int i = 0; i < 20; ++i) begin(n++);  // while nobody is there
    c.start_first();
  }
  std::set<dataset_id> made;
  for (auto& f : answers) {
    const auto r = f.get();
    REQUIRE_OK(r);
    CHECK(made.insert(r->dataset).second);
  }
  CHECK(c.first->node().read([](const auto& s) { return s.datasets().size(); }) == static_cast<std::size_t>(n));
}

TEST_CASE("a follower far behind gets a snapshot in parts, a near one gets entries", "[metadata_service]") {
  test_cluster c;
  c.limits.snapshot_entries = 200;
  c.limits.entries_kept = 50;
  REQUIRE_OK(c.start_first().join());
  for (int i = 0; i < 900; ++i) REQUIRE_OK(c.first->propose(module(i, 4'000)));
  CHECK(c.first->image().size() > 3'000'000);  // parts of 1 MiB
  seat a;
  auto one = c.start(a);
  REQUIRE_OK(one->join());
  REQUIRE_OK(one->barrier());
  CHECK(one->image() == c.first->image());
}

TEST_CASE("many requests share a sync", "[metadata_service]") {
  tricky_disk disk;  // outlives the nodes, whose files close with them
  test_cluster c;
  c.files = &disk;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
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
  tricky_disk disk;  // outlives the nodes, whose files close with them
  test_cluster c;
  c.files = &disk;
  REQUIRE_OK(c.start_first().join());
  REQUIRE_OK(c.first->propose(module(1)));
  disk.full = true;
  // The first one finds it out; nobody knows whether it will be done. The others are told.
  CHECK(c.first->propose(module(2), {}, 300).error().code() == errc::unavailable);
  const auto id = request_id::random();
  CHECK(!c.first->propose(module(3), id, 300));
  disk.full = false;
  REQUIRE_OK(c.first->propose(module(3), id, 20'000));
  REQUIRE_OK(c.first->propose(module(4), {}, 20'000));
  c.first->kill();
  c.start_first();
  REQUIRE_OK(c.first->join());
  const auto modules = c.first->node().read([](const auto& s) { return s.modules().size(); });
  CHECK(modules == 4);
}

TEST_CASE("a leader whose disk is full gives way, and who asks meanwhile is answered by the next",
          "[metadata_service]") {
  tricky_disk disk;
  test_cluster c;
  c.files = &disk;
  REQUIRE_OK(c.start_first().join());
  seat seats[2];
  std::unique_ptr<test_node> others[2];
  for (int i = 0; i < 2; ++i) {
    others[i] = c.start(seats[i]);
    REQUIRE_OK(others[i]->join());
  }
  REQUIRE(wait_for_voters(*c.first, 3));
  disk.full = true;
  for (int i = 1; i <= 20; ++i) {
    REQUIRE_OK(others[i % 2]->propose(module(i), {}, 20'000));
    std::this_thread::sleep_for(30ms);  // before, while and after it finds that its disk is full
  }
  disk.full = false;
  REQUIRE_OK(c.first->propose(module(21), {}, 20'000));
  REQUIRE(others[0]->wait_until([](const auto& s) { return s.modules().size() == 21; }));
}

TEST_CASE("a log that is gone is not begun anew, and neither is one without its votes", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  REQUIRE_OK(c.first->propose(module(1)));
  c.first->kill();
  const auto open = [&] {
    telemetry::logger log;
    telemetry::metrics metrics;
    log.to_function([](std::string_view) {});
    metadata_options o;
    o.bootstrap = true;
    o.had_log = c.first_seat.had_log;
    o.log_directory = c.first_seat.directory->path();
    o.self = {c.id, c.first_seat.member, incarnation{9}, token};
    const auto opened = metadata_node::open(std::move(o), log, metrics);
    return opened ? ok() : result<void>(opened.error());
  };
  REQUIRE_OK(open());
  const auto folder = c.first_seat.directory->path();
  std::filesystem::rename(folder + "/hard_state", folder + "/away");
  CHECK(open().error().code() == errc::corrupted);
  CHECK(open().error().message().find("joins as a new one") != std::string::npos);
  std::filesystem::rename(folder + "/away", folder + "/hard_state");
  REQUIRE_OK(open());
  std::filesystem::remove_all(folder);
  std::filesystem::create_directory(folder);
  CHECK(open().error().code() == errc::corrupted);
  CHECK(open().error().message().find("is gone") != std::string::npos);
}
