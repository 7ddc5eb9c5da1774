#include <signal.h>

#include <chrono>
#include <set>

#include "fixture.hpp"

using namespace worker_tests;

TEST_CASE("a map task's output lies in the block store by partition") {
  node n;
  auto a = n.assignment("copy", 0);
  a.inputs.push_back(n.ten_lines());
  auto l = n.run(a);
  const auto result = l->expect_finished();
  CHECK(result.input_records == 10);
  CHECK(result.output_records == 10);
  CHECK(result.counters.at("lines") == 10);
  CHECK(n.content(a.key, 0) == "0:line 0\n3:line 3\n6:line 6\n9:line 9\n");
  CHECK(n.content(a.key, 1) == "1:line 1\n4:line 4\n7:line 7\n");
  CHECK(n.content(a.key, 2) == "2:line 2\n5:line 5\n8:line 8\n");
  CHECK(l->lines_ == std::vector<std::string>{"copied for the test"});
  CHECK(l->worker_pid_ != 0);
}

TEST_CASE("a second attempt has the same digest, on the same warm worker") {
  node n;
  auto a = n.assignment("copy", 0);
  a.inputs.push_back(n.ten_lines());
  auto first = n.run(a);
  const auto one = first->expect_finished();
  a.key.attempt = attempt_number{2};
  auto second = n.run(a);
  const auto two = second->expect_finished();
  CHECK(one.digest == two.digest);
  CHECK(one.digest != digest128{});
  CHECK(first->worker_pid_ == second->worker_pid_);
  REQUIRE(n.pool->tree().size() == 1);
  CHECK(n.pool->tree()[0].tasks_done == 2);
  CHECK(n.pool->tree()[0].state == worker_state::idle);
}

TEST_CASE("a reducer reads another task's blocks and its last stage's output comes chunk by chunk") {
  node n;
  auto map = n.assignment("copy", 0);
  map.inputs.push_back(n.ten_lines());
  n.run(map)->expect_finished();
  auto reduce = n.assignment("copy", 0);
  reduce.key.stage = stage_index{1};
  reduce.last_stage = true;
  auto blocks = n.blocks->get(map.key, partition_index{1});
  REQUIRE_OK(blocks);
  reduce.inputs.push_back(block_range{*blocks, 255, 0, 0});
  auto l = n.run(reduce);
  const auto result = l->expect_finished();
  CHECK(l->content_ == "1:line 1\n4:line 4\n7:line 7\n");
  CHECK(result.output_records == 3);
  CHECK(l->outstanding() == 1);
}

TEST_CASE("a last stage waits for its output to be released") {
  node n;
  auto a = n.assignment("produce", 0);
  a.parameters["chunks"] = "20";
  a.last_stage = true;
  auto l = n.run(a);
  // The window of the fixture is 3 MiB: three chunks, and the fourth is not opened before one is released.
  REQUIRE(l->wait([&] { return l->bytes_ >= 3 << 20; }));
  CHECK(l->bytes_ == 3 << 20);
  CHECK_FALSE(l->result_.has_value());
  l->release_output();  // and keeps nothing from now on
  CHECK(l->expect_finished().output_bytes == 20 << 20);
}

TEST_CASE("output beyond the budget is spilled and a task on another worker reads all of it") {
  node n(2, 16 << 20);
  auto a = n.assignment("produce", 0);
  a.parameters["chunks"] = "40";
  a.partitions = 1;
  n.run(a)->expect_finished();
  n.blocks->settle();
  CHECK(n.blocks->usage().spilled_bytes > 20 << 20);
  auto reader = n.assignment("gather", 1);
  reader.module_hash = "the same module under another name";  // so that another process has to do it
  reader.last_stage = true;
  reader.partitions = 1;
  auto blocks = n.blocks->get(a.key, partition_index{0});
  REQUIRE_OK(blocks);
  reader.inputs.push_back(block_range{*blocks, 255, 0, 0});
  auto l = std::make_shared<listener>();
  l->keep_output = false;
  n.pool->run(reader, l);
  l->expect_finished();
  REQUIRE(l->content_.size() == 40 << 20);
  for (std::size_t i = 0; i < 40; ++i) CHECK(l->content_[i << 20] == static_cast<char>('a' + i % 26));
  n.blocks->release(job_id{1});
  CHECK(n.blocks->usage().spilled_bytes == 0);
}

TEST_CASE("tasks wait for a worker, and idle workers of another module give way") {
  node n(2);
  const auto input = n.ten_lines();
  std::vector<std::shared_ptr<listener>> all;
  for (std::uint32_t i = 0; i < 12; ++i) {
    auto a = n.assignment("copy", i);
    a.module_hash = "module " + std::to_string(i % 3);
    a.inputs.push_back(input);
    all.push_back(n.run(a));
  }
  std::set<std::uint32_t> pids;
  for (auto& l : all) {
    l->expect_finished();
    pids.insert(l->worker_pid_);
  }
  CHECK(pids.size() >= 3);
  CHECK(n.pool->tree().size() <= 2);
}

TEST_CASE("the same attempt twice at once is refused") {
  node n;
  auto a = n.assignment("obedient", 0);
  auto first = n.run(a);
  first->wait_line("looping");
  auto second = n.run(a);
  CHECK(second->expect_failed().kind == failure_kind::engine);
  n.pool->cancel(a.key);
  CHECK(first->expect_failed().kind == failure_kind::cancelled);
}

TEST_CASE("progress and the tree show what runs") {
  node n;
  auto a = n.assignment("obedient", 4);
  auto l = n.run(a);
  l->wait_line("looping");
  CHECK(n.pool->progress(a.key).has_value());
  const auto tree = n.pool->tree();
  REQUIRE(tree.size() == 1);
  CHECK(tree[0].state == worker_state::busy);
  CHECK(tree[0].actor == "mapper job 1 stage 0 task 4 attempt 1");
  CHECK(tree[0].pid == l->worker_pid_);
  n.pool->cancel(a.key);
  l->expect_failed();
  CHECK_FALSE(n.pool->progress(a.key).has_value());
}

TEST_CASE("a pool that ends kills its workers and tells who waits") {
  auto n = std::make_unique<node>(1);
  auto running = n->run(n->assignment("loop", 0));
  running->wait_line("looping");
  auto queued = n->run(n->assignment("loop", 1));
  const auto pid = static_cast<pid_t>(running->worker_pid_);
  n->pool.reset();
  CHECK(running->expect_failed().kind == failure_kind::cancelled);
  CHECK(queued->expect_failed().kind == failure_kind::cancelled);
  CHECK(::kill(pid, 0) != 0);
}

TEST_CASE("a worker program that is not there is an error at start") {
  node n;
  worker_pool_options options;
  options.worker_program = "/nowhere/troupe-worker";
  auto pool = worker_pool::start(n.system, n.bridge, *n.blocks, options);
  REQUIRE_FALSE(pool.has_value());
  CHECK(pool.error().message().find("/nowhere/troupe-worker") != std::string::npos);
}

TEST_CASE("a module that is none fails the attempt without blame") {
  node n;
  auto a = n.assignment("copy", 0);
  a.module_path = (n.directory.path / "none.so").string();
  std::ofstream(a.module_path) << "not a shared object";
  CHECK(n.run(a)->expect_failed().kind == failure_kind::engine);
}

TEST_CASE("a task on a warm worker takes little more than its messages", "[timing]") {
  node n;
  auto a = n.assignment("copy", 0);
  n.run(a)->expect_finished();
  std::vector<double> ms;
  for (std::uint32_t i = 1; i <= 50; ++i) {
    a.key.task = task_index{i};
    const auto begin = std::chrono::steady_clock::now();
    n.run(a)->expect_finished();
    ms.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(ms.begin(), ms.end());
  WARN("empty task on a warm worker: median " << ms[25] << " ms, longest " << ms.back() << " ms");
  CHECK(ms[25] < 100);
}
