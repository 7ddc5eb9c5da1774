#include <signal.h>
#include <sys/resource.h>

#include "fixture.hpp"

using namespace worker_tests;

namespace {

/// Sanitizers catch SIGSEGV themselves and end the process where memory runs out: the reason is then in their words.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitized = true;
#else
constexpr bool sanitized = false;
#endif

}  // namespace

TEST_CASE("a failure that the module reports is blamed on it, with the record's offset") {
  node n;
  auto a = n.assignment("report", 0);
  a.inputs.push_back(n.ten_lines());
  const auto failure = n.run(a)->expect_failed();
  CHECK(failure.kind == failure_kind::user_code);
  CHECK(failure.message == "std::runtime_error: no such thing");
  CHECK(failure.offset == 3u);
}

TEST_CASE("an exception that leaves the module fails the attempt, not the worker") {
  node n;
  const auto failure = n.run(n.assignment("escape", 0))->expect_failed();
  CHECK(failure.kind == failure_kind::user_code);
  CHECK(failure.message.find("out of the module") != std::string::npos);
  CHECK(n.pool->tree().size() == 1);
}

TEST_CASE(
    "a segfault costs one attempt: the reason names signal and record, finished output stays, unfinished is freed") {
  node n;
  auto good = n.assignment("copy", 0);
  good.inputs.push_back(n.ten_lines());
  auto first = n.run(good);
  first->expect_finished();
  auto a = n.assignment("segfault", 1);
  a.inputs.push_back(n.ten_lines());
  auto l = n.run(a);
  const auto failure = l->expect_failed();
  CHECK(failure.kind == failure_kind::worker_died);
  if (!sanitized) CHECK(failure.message.find("killed by signal 11 (Segmentation fault) at record 3") == 0);
  CHECK(failure.offset == 3u);
  CHECK(l->worker_pid_ == first->worker_pid_);
  CHECK_FALSE(n.blocks->holds(a.key));
  CHECK(n.blocks->usage().blocks == 3);
  CHECK(n.content(good.key, 1) == "1:line 1\n4:line 4\n7:line 7\n");

  good.key.task = task_index{2};
  auto next = n.run(good);
  next->expect_finished();
  CHECK(next->worker_pid_ != first->worker_pid_);
}

TEST_CASE("what a module prints before it aborts is in the log and in the reason") {
  node n;
  auto l = n.run(n.assignment("abort_loudly", 0));
  const auto failure = l->expect_failed();
  CHECK(failure.kind == failure_kind::worker_died);
  CHECK(failure.message.find("killed by signal 6 (Aborted)") == 0);
  CHECK(failure.message.find("last words") != std::string::npos);
  CHECK(std::find(l->lines_.begin(), l->lines_.end(), "a line before the end") != l->lines_.end());
}

TEST_CASE("what comes last of much that is printed is in the reason") {
  node n;
  const auto failure = n.run(n.assignment("abort_after_much", 0))->expect_failed();
  CHECK(failure.kind == failure_kind::worker_died);
  CHECK(failure.message.find("last words") != std::string::npos);
}

TEST_CASE("a module that prints without end keeps itself busy, not the node") {
  node n;
  auto a = n.assignment("flood", 0);
  a.time_limit_ms = 2000;
  const auto own_time = [] {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    return std::chrono::seconds(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           std::chrono::microseconds(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
  };
  const auto before = own_time();
  auto l = n.run(a);
  CHECK(l->expect_failed().kind == failure_kind::time_limit);
  CHECK(own_time() - before < std::chrono::milliseconds(500));  // all of two seconds without a limit
}

TEST_CASE("a module that ends its process fails the attempt") {
  node n;
  const auto failure = n.run(n.assignment("leave", 0))->expect_failed();
  CHECK(failure.kind == failure_kind::worker_died);
  CHECK(failure.message.find("ended with status 3") == 0);
}

TEST_CASE("a worker that somebody kills fails its attempt") {
  node n;
  auto l = n.run(n.assignment("loop", 0));
  l->wait_line("looping");
  REQUIRE(::kill(static_cast<pid_t>(l->worker_pid_), SIGKILL) == 0);
  const auto failure = l->expect_failed();
  CHECK(failure.kind == failure_kind::worker_died);
  CHECK(failure.message.find("killed by signal 9 (Killed)") == 0);
}

TEST_CASE("a worker that somebody stops is as good as dead") {
  node n;
  auto l = n.run(n.assignment("loop", 0));
  l->wait_line("looping");
  REQUIRE(::kill(static_cast<pid_t>(l->worker_pid_), SIGSTOP) == 0);
  const auto failure = l->expect_failed();
  CHECK(failure.kind == failure_kind::worker_died);
  CHECK(failure.message.find("was stopped (SIGSTOP)") != std::string::npos);
  n.run(n.assignment("produce", 0))->expect_finished();  // with another worker
}

TEST_CASE("a task above its time limit is killed") {
  node n;
  auto a = n.assignment("loop", 0);
  a.time_limit_ms = 300;
  const auto failure = n.run(a)->expect_failed();
  CHECK(failure.kind == failure_kind::time_limit);
  CHECK(failure.message == "ran longer than its limit of 300 ms");
}

TEST_CASE("a task above its memory limit fails of that") {
  node n;
  auto a = n.assignment("eat", 0);
  a.memory_bytes = 64 << 20;
  const auto failure = n.run(a)->expect_failed();
  CHECK(failure.kind == (sanitized ? failure_kind::worker_died : failure_kind::memory_limit));
  if (!sanitized) CHECK(failure.message.find("64.0 MiB") != std::string::npos);
}

TEST_CASE("cancel stops a task that asks the host, and its worker meets no other task") {
  node n;
  auto a = n.assignment("obedient", 0);
  auto l = n.run(a);
  l->wait_line("looping");
  n.pool->cancel(a.key);
  CHECK(l->expect_failed().kind == failure_kind::cancelled);
  auto next = n.assignment("copy", 1);
  next.inputs.push_back(n.ten_lines());
  auto after = n.run(next);
  after->expect_finished();
  CHECK(after->worker_pid_ != l->worker_pid_);
}

TEST_CASE("cancel kills a task that never asks") {
  node n;
  auto a = n.assignment("loop", 0);
  auto l = n.run(a);
  l->wait_line("looping");
  n.pool->cancel(a.key);
  CHECK(l->expect_failed().kind == failure_kind::cancelled);
  const auto pid = static_cast<pid_t>(l->worker_pid_);
  CHECK(::kill(pid, 0) != 0);
}

TEST_CASE("cancel reaches a task that waits for its output to be released") {
  node n;
  auto a = n.assignment("produce", 0);
  a.parameters["chunks"] = "20";
  a.last_stage = true;
  auto l = n.run(a);
  REQUIRE(l->wait([&] { return l->bytes_ >= 3 << 20; }));
  n.pool->cancel(a.key);
  CHECK(l->expect_failed().kind == failure_kind::cancelled);
  l->release_output();
}

TEST_CASE("kill_all ends everything, and the pool goes on") {
  node n(2);
  auto one = n.run(n.assignment("loop", 0));
  auto two = n.run(n.assignment("loop", 1));
  one->wait_line("looping");
  two->wait_line("looping");
  n.pool->kill_all();
  CHECK(one->expect_failed().kind == failure_kind::cancelled);
  CHECK(two->expect_failed().kind == failure_kind::cancelled);
  n.run(n.assignment("copy", 2))->expect_finished();
}

TEST_CASE("a module that misuses the host is told so") {
  node n;
  const auto failure = n.run(n.assignment("misuse", 0))->expect_failed();
  CHECK(failure.kind == failure_kind::user_code);
  CHECK(failure.message.find("to partition 8 of 3") != std::string::npos);
}

TEST_CASE("lines that a task logs without end are cut off") {
  node n;
  auto l = n.run(n.assignment("chatter", 0));
  l->expect_finished();
  REQUIRE(l->lines_.size() == 1001);
  CHECK(l->lines_.back() == "further lines of this attempt are dropped");
}

TEST_CASE("a worker has no descriptors but its own, a minimal environment, and dies first for want of memory") {
  node n;
  auto l = n.run(n.assignment("loop", 0));
  l->wait_line("looping");
  const auto proc = std::filesystem::path("/proc") / std::to_string(l->worker_pid_);
  std::ifstream oom(proc / "oom_score_adj");
  int score = 0;
  oom >> score;
  CHECK(score == 1000);
  std::ifstream environ(proc / "environ", std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(environ)), {});
  CHECK(all.find("HOME=") == std::string::npos);
  CHECK(all.find("PATH=") != std::string::npos);
  for (const auto& entry : std::filesystem::directory_iterator(proc / "fd")) {
    std::error_code ec;
    const auto target = std::filesystem::read_symlink(entry.path(), ec).string();
    INFO(entry.path() << " is " << target);
    const bool known = target == "/dev/null" || target.find("socket:") == 0 || target.find("pipe:") == 0 ||
                       target.find("anon_inode:") == 0 || target.find("/memfd:troupe-") == 0;
    CHECK((known || ec));
  }
  n.pool->kill_all();
  l->expect_failed();
}
