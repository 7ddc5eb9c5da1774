#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test_node.hpp"

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;
using metadata::member_state;

namespace {

/// A follower in a process of its own, so that signals do to it what they do. Made while this process has one thread.
class follower_process {
 public:
  follower_process(member_id id, cluster_id cluster) : id_(id) {
    seat_.member = id;
    REQUIRE(pipe(to_child_) == 0);
    REQUIRE(pipe(from_child_) == 0);
    pid_ = fork();
    REQUIRE(pid_ >= 0);
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    run(cluster);
    _exit(0);
  }
  ~follower_process() {
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    for (const int fd : {to_child_[0], to_child_[1], from_child_[0], from_child_[1]}) close(fd);
  }
  void join(std::uint16_t first_port) {
    REQUIRE(write(to_child_[1], &first_port, sizeof first_port) == sizeof first_port);
    REQUIRE(next() == 'j');
  }
  void signal(int number) { REQUIRE(::kill(pid_, number) == 0); }
  /// The child's next word: j joined, f fenced.
  char next() {
    char c = 0;
    return read(from_child_[0], &c, 1) == 1 ? c : 0;
  }
  [[nodiscard]] member_id id() const { return id_; }

 private:
  void run(cluster_id cluster) {
    std::uint16_t port = 0;
    if (read(to_child_[0], &port, sizeof port) != sizeof port) return;
    test_node::settings what;
    what.cluster = cluster;
    what.seeds = {"127.0.0.1:" + std::to_string(port)};
    test_node node(seat_, what);
    auto fenced = node.fenced();
    if (!node.join()) return;
    if (write(from_child_[1], "j", 1) != 1) return;
    fenced.wait();
    if (write(from_child_[1], "f", 1) != 1) return;
    pause();
  }
  member_id id_;
  seat seat_;  ///< made before the fork: its folder goes with the parent
  pid_t pid_ = 0;
  int to_child_[2]{};
  int from_child_[2]{};
};

void copy_directory(const seat& from, seat& to) {
  std::filesystem::copy(from.directory->path(), to.directory->path(), std::filesystem::copy_options::recursive);
  to.had_log = true;
}

}  // namespace

TEST_CASE("a killed process is found dead long before its lease ends", "[metadata_service]") {
  test_cluster c;
  follower_process child(member_id::random(), c.id);
  REQUIRE_OK(c.start_first().join());
  child.join(c.first_seat.port);
  const auto begun = std::chrono::steady_clock::now();
  child.signal(SIGKILL);
  REQUIRE(c.first->wait_until(state_of(child.id(), member_state::dead)));
  const auto took = std::chrono::steady_clock::now() - begun;
  INFO(c.first->lines());
  CHECK(took < 800ms);  // a few milliseconds on a quiet machine; the lease is 1 s
  CHECK(c.first->member(child.id())->state_reason.find("process is gone") != std::string::npos);
}

TEST_CASE("a stopped process is found dead when its lease is over, and learns that it is fenced when it wakes",
          "[metadata_service]") {
  test_cluster c;
  follower_process child(member_id::random(), c.id);
  REQUIRE_OK(c.start_first().join());
  child.join(c.first_seat.port);
  const auto begun = std::chrono::steady_clock::now();
  child.signal(SIGSTOP);
  REQUIRE(c.first->wait_until(state_of(child.id(), member_state::suspect)));
  CHECK(std::chrono::steady_clock::now() - begun >= 350ms);
  REQUIRE(c.first->wait_until(state_of(child.id(), member_state::dead)));
  CHECK(std::chrono::steady_clock::now() - begun >= 850ms);
  child.signal(SIGCONT);
  CHECK(child.next() == 'f');
  CHECK(c.first->member(child.id())->state == member_state::dead);
}

TEST_CASE("a restarted leader gives everyone a full lease, and then finds the dead", "[metadata_service]") {
  test_cluster c;
  follower_process child(member_id::random(), c.id);
  REQUIRE_OK(c.start_first().join());
  child.join(c.first_seat.port);
  c.first->kill();
  child.signal(SIGSTOP);
  const auto begun = std::chrono::steady_clock::now();
  c.start_first();
  REQUIRE(c.first->wait_until(state_of(child.id(), member_state::dead)));
  CHECK(std::chrono::steady_clock::now() - begun >= limits::lease_time);
}

TEST_CASE("a copied directory: the later start wins, the earlier is fenced, the same is refused",
          "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
  auto fenced = one->fenced();
  REQUIRE_OK(one->join());
  seat copy;
  copy.member = a.member;
  copy.incarnation = 0;  // its first start will be incarnation 1, as that of the original
  copy_directory(a, copy);
  {
    auto same = c.start(copy);
    // Told by the registration, or at the door by what it had acknowledged and does not have.
    const auto code = same->join().error().code();
    CHECK((code == errc::failed_precondition || code == errc::aborted));
  }
  seat later;
  later.member = a.member;
  later.incarnation = 1;
  copy_directory(a, later);
  auto two = c.start(later);
  REQUIRE_OK(two->join());
  REQUIRE(fenced.wait_for(10s) == std::future_status::ready);
  CHECK(fenced.get().find("later start") != std::string::npos);
  CHECK(one->propose(metadata::noop{}).error().code() == errc::aborted);
  CHECK(c.first->member(a.member)->state == member_state::alive);
}

TEST_CASE("a node that comes back after it was found dead is fenced at the door, and welcome as a later incarnation",
          "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
  REQUIRE_OK(one->join());
  one->kill();
  REQUIRE(c.first->wait_until(state_of(a.member, member_state::dead)));
  seat ghost = a;
  --ghost.incarnation;  // starts as the incarnation that is dead
  {
    auto again = c.start(ghost);
    auto fenced = again->fenced();
    REQUIRE(fenced.wait_for(10s) == std::future_status::ready);
    CHECK(fenced.get().find("found dead") != std::string::npos);
    CHECK(again->join().error().code() == errc::aborted);
  }
  auto reborn = c.start(a);
  const auto joined = reborn->join();
  REQUIRE_OK(joined);
  CHECK(joined->name == "node2");
  CHECK(c.first->member(a.member)->state == member_state::alive);
}

TEST_CASE("a node that leaves is told so, and keeps its answer", "[metadata_service]") {
  test_cluster c;
  REQUIRE_OK(c.start_first().join());
  seat a;
  auto one = c.start(a);
  auto fenced = one->fenced();
  REQUIRE_OK(one->join());
  REQUIRE_OK(one->propose(metadata::set_member_state{a.member, incarnation{1}, member_state::left, "stopped"}));
  CHECK(fenced.get().find("left") != std::string::npos);
  one->kill();
  CHECK(c.first->member(a.member)->state == member_state::left);
}
