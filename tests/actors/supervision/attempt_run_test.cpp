#include <unistd.h>

#include "fake_node.hpp"

#include <actors/supervision/attempt_run.hpp>
#include <actors/supervision/job_logs.hpp>
#include <filesystem>
#include <support/catch.hpp>

using namespace troupe;
using namespace troupe::actors;
using namespace troupe::actors::testing;

namespace {

/// Appends that are answered when the test says so.
struct slow_writer final : data::replicated_writer {
  void append(bytes_view payload, std::uint64_t, done then) override {
    written.emplace_back(payload);
    waiting.push_back(std::move(then));
  }
  void seal(std::function<void(result<data::sealed_output>)> then) override {
    sealed = true;
    data::sealed_output out;
    out.segment.records = written.size();
    then(out);
  }
  void abort() override { aborted = true; }
  void answer(const result<void>& with) {
    auto then = std::move(waiting.front());
    waiting.pop_front();
    then(with);
  }
  std::vector<std::string> written;
  std::deque<done> waiting;
  bool sealed = false;
  bool aborted = false;
};

class one_writer final : public node_ports {
 public:
  void fetch_module(const std::string&, std::vector<member_id>, reply<std::string> then) override {
    module = std::move(then);
  }
  void fetch_map_output(member_id, const dataflow::attempt_key& attempt, std::uint32_t,
                        reply<std::vector<dataflow::block_ref>> then) override {
    fetches.emplace_back(attempt, std::move(then));
  }
  void fetch_segment_range(job_id, dataset_id, const metadata::segment&, std::uint64_t, std::uint64_t,
                           reply<fetched_blocks>) override {}
  [[nodiscard]] std::optional<std::string> local_segment(segment_id) const override { return std::nullopt; }
  std::shared_ptr<data::replicated_writer> open_output(data::output_spec) override {
    ++opened;
    return writer;
  }
  void report_damage(dataset_id, segment_id, member_id, log_index, const std::string&) override {}
  [[nodiscard]] std::uint64_t prefetch_bytes_max() const override { return 0; }
  void discard(const std::vector<dataflow::block_ref>& blocks) override { discarded += blocks.size(); }
  void release_job(job_id) override {}
  void release_attempt(const dataflow::attempt_key&) override {}
  void run(dataflow::task_assignment a, std::shared_ptr<attempt_observer> o) override {
    assignment = std::move(a);
    observer = std::move(o);
  }
  void cancel(const dataflow::attempt_key&) override { ++cancels; }
  [[nodiscard]] std::optional<attempt_progress> progress(const dataflow::attempt_key&) const override {
    return std::nullopt;
  }
  [[nodiscard]] std::vector<worker_info> workers() const override { return {}; }

  std::shared_ptr<slow_writer> writer = std::make_shared<slow_writer>();
  reply<std::string> module;
  std::deque<std::pair<dataflow::attempt_key, reply<std::vector<dataflow::block_ref>>>> fetches;
  dataflow::task_assignment assignment;
  std::shared_ptr<attempt_observer> observer;
  int opened = 0, cancels = 0;
  std::size_t discarded = 0;
};

struct listener final : attempt_listener {
  void attempt_ready(attempt_run& run) override {
    ready = true;
    if (start_at_once) run.run();
  }
  void attempt_left_slot(attempt_run&) override { left = true; }
  void attempt_over(attempt_run&, std::optional<attempt_outcome> o) override {
    over = true;
    outcome = std::move(o);
  }
  void attempt_log(attempt_run&, std::string line) override { log.push_back(std::move(line)); }
  void attempt_fetches(attempt_run& run, const attempt_plan::source& source,
                       node_ports::reply<std::vector<dataflow::block_ref>> then) override {
    (void)run;
    ports.fetch_map_output(source.where, source.key, source.partition, std::move(then));
  }
  explicit listener(node_ports& p) : ports(p) {}
  node_ports& ports;
  bool start_at_once = true, ready = false, left = false, over = false;
  std::optional<attempt_outcome> outcome;
  std::vector<std::string> log;
};

output_chunk chunk_of(const std::shared_ptr<std::string>& text) {
  return {partition_index(0), *text, 1, xxh3_128(*text), text};
}

attempt_plan reduce_plan(std::uint32_t maps) {
  attempt_plan plan;
  plan.assignment.key = {job_id(1), stage_index(1), task_index(0), attempt_number(1)};
  plan.assignment.last_stage = true;
  for (std::uint32_t i = 0; i < maps; ++i)
    plan.sources.push_back(
        {member(static_cast<std::uint8_t>(1 + i % 2)), {job_id(1), stage_index(0), task_index(i), attempt_number(1)}});
  plan.output.emplace();
  return plan;
}

struct reduce_fixture {
  one_writer ports;
  listener hears{ports};
  std::shared_ptr<attempt_run> run;
  explicit reduce_fixture(std::uint32_t maps)
      : run(std::make_shared<attempt_run>(
            reduce_plan(maps), member(1), incarnation(1), ports, [](std::function<void()> f) { f(); }, hears)) {}
  void answer_fetches() {
    while (!ports.fetches.empty()) {
      auto [key, then] = std::move(ports.fetches.front());
      ports.fetches.pop_front();
      then(std::vector<dataflow::block_ref>{{dataflow::block_id(key.task.value + 1), 10, 1, {}}});
    }
  }
};

}  // namespace

TEST_CASE("A reduce has few fetches out at once, and its blocks in the order of maps whatever order they come in") {
  reduce_fixture f(40);
  f.run->prepare();
  CHECK(f.ports.fetches.size() == attempt_run::fetches_outstanding_max);
  f.ports.module(std::string("/m.so"));
  while (!f.ports.fetches.empty()) {  // the newest first
    auto [key, then] = std::move(f.ports.fetches.back());
    f.ports.fetches.pop_back();
    CHECK(f.ports.fetches.size() < attempt_run::fetches_outstanding_max);
    then(std::vector<dataflow::block_ref>{{dataflow::block_id(key.task.value + 1), 10, 1, {}}});
  }
  REQUIRE(f.hears.ready);
  const auto& all = std::get<dataflow::block_range>(f.ports.assignment.inputs.at(0)).blocks;
  REQUIRE(all.size() == 40);
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(all[i].id.value == i + 1);
  f.ports.observer->finished({});
  CHECK(f.hears.over);
  CHECK(f.ports.discarded == 20);  // the other half are this node's own map outputs
  CHECK(f.ports.opened == 0);      // it wrote nothing, so there is no file
}

TEST_CASE("A fetch that fails names its source; what came from elsewhere is given back, also what comes late") {
  reduce_fixture f(3);
  f.run->prepare();
  f.ports.module(std::string("/m.so"));
  auto first = std::move(f.ports.fetches[1]);
  first.second(std::vector<dataflow::block_ref>{{dataflow::block_id(2), 10, 1, {}}});
  f.ports.fetches[0].second(error{errc::not_found, "no such attempt"});
  REQUIRE(f.hears.over);
  const auto& why = std::get<scheduling::failure>(*f.hears.outcome);
  CHECK(why.kind == scheduling::failure_kind::input_lost);
  CHECK(why.code == errc::not_found);
  REQUIRE(why.sources.size() == 1);
  CHECK(why.sources[0].task == task_index(0));
  CHECK(f.ports.discarded == 1);
  CHECK_FALSE(f.hears.ready);
}

TEST_CASE("Output is credited when it is written, and sealed when all of it is") {
  reduce_fixture f(0);
  f.run->prepare();
  f.ports.module(std::string("/m.so"));
  REQUIRE(f.ports.observer);
  std::vector<std::weak_ptr<std::string>> holds;
  for (std::size_t i = 0; i < output_sink::appends_outstanding_max + 5; ++i) {
    auto text = std::make_shared<std::string>("chunk " + std::to_string(i));
    holds.push_back(text);
    f.ports.observer->output(chunk_of(text));
  }
  CHECK(f.ports.opened == 1);
  CHECK(f.ports.writer->waiting.size() == output_sink::appends_outstanding_max);
  dataflow::attempt_result r;
  r.output_records = holds.size();
  f.ports.observer->finished(r);
  CHECK(f.hears.left);
  CHECK_FALSE(f.hears.over);
  CHECK_FALSE(holds[0].expired());
  f.ports.writer->answer(ok());
  CHECK(holds[0].expired());
  while (!f.ports.writer->waiting.empty()) {
    CHECK_FALSE(f.ports.writer->sealed);
    f.ports.writer->answer(ok());
  }
  CHECK(f.ports.writer->sealed);
  REQUIRE(f.hears.over);
  const auto& commit = std::get<metadata::task_commit>(*f.hears.outcome);
  CHECK(commit.where == member(1));
  REQUIRE(commit.output);
  CHECK(f.ports.writer->written.size() == holds.size());
  for (std::size_t i = 0; i < holds.size(); ++i) CHECK(f.ports.writer->written[i] == "chunk " + std::to_string(i));
}

TEST_CASE("Output that cannot be written, or was changed, fails the attempt without blame") {
  reduce_fixture f(0);
  f.run->prepare();
  f.ports.module(std::string("/m.so"));
  auto text = std::make_shared<std::string>("chunk");
  auto chunk = chunk_of(text);
  SECTION("the disk is full") {
    f.ports.observer->output(std::move(chunk));
    f.ports.writer->answer(error{errc::resource_exhausted, "no space left"});
  }
  SECTION("the module wrote to what it had given away") {
    chunk.digest.low ^= 1;                       // NOLINT(bugprone-use-after-move): a run of its own
    f.ports.observer->output(std::move(chunk));  // NOLINT(bugprone-use-after-move)
    CHECK(f.ports.writer->written.empty());
  }
  f.ports.observer->finished({});
  REQUIRE(f.hears.over);
  CHECK(std::get<scheduling::failure>(*f.hears.outcome).kind == scheduling::failure_kind::engine);
  CHECK_FALSE(f.ports.writer->sealed);
}

TEST_CASE("An attempt can be stopped at any time, and keeps its slot until its worker is free") {
  reduce_fixture f(2);
  SECTION("while it fetches") {
    f.run->prepare();
    f.run->stop();
    CHECK(f.hears.over);
    CHECK_FALSE(f.hears.outcome);
    f.answer_fetches();
    CHECK(f.ports.discarded == 1);
  }
  SECTION("while it runs") {
    f.run->prepare();
    f.ports.module(std::string("/m.so"));
    f.answer_fetches();
    auto text = std::make_shared<std::string>("chunk");
    f.ports.observer->output(chunk_of(text));
    f.run->stop();
    CHECK(f.ports.cancels == 1);
    CHECK_FALSE(f.hears.left);
    f.ports.observer->failed({dataflow::failure_kind::cancelled, "cancelled", {}, 0, {}, {}});
    CHECK(f.hears.left);
    CHECK(f.hears.over);
    CHECK_FALSE(f.hears.outcome);
    CHECK(f.ports.writer->aborted);
  }
}

TEST_CASE("A damaged block is traced to the map that made it") {
  reduce_fixture f(4);
  f.run->prepare();
  f.ports.module(std::string("/m.so"));
  f.answer_fetches();
  dataflow::attempt_failure why{dataflow::failure_kind::input_lost, "bad checksum", {}, 0, 0, dataflow::block_id(3)};
  f.ports.observer->failed(why);
  const auto& failure = std::get<scheduling::failure>(*f.hears.outcome);
  CHECK(failure.code == errc::corrupted);
  REQUIRE(failure.sources.size() == 1);
  CHECK(failure.sources[0].task == task_index(2));
}

TEST_CASE("Logs are numbered, paged, and bounded") {
  job_logs logs;
  const auto line = [](int i) { return message::log_line{i, "node1", {}, "line " + std::to_string(i)}; };
  CHECK_FALSE(logs.page({job_id(1), 0, 10}).known);
  for (int i = 1; i <= 12'000; ++i) logs.add(job_id(1), {line(i)}, 0, 0);
  const auto page = logs.page({job_id(1), 0, 10});
  CHECK(page.known);
  CHECK(page.first == 2'001);
  CHECK(page.lines.size() == 10);
  CHECK(page.more);
  CHECK(page.lines[0].text == "line 2001");
  const auto last = logs.page({job_id(1), 11'999, 10});
  CHECK(last.lines.size() == 1);
  CHECK_FALSE(last.more);
  CHECK(logs.page({job_id(1), 12'000, 10}).lines.empty());
  logs.add(job_id(1), {}, 5, 77);
  CHECK(logs.page({job_id(1), 12'000, 10}).lines.at(0).text.find("5 more lines") == 0);
  // A page stays below a message's limit.
  std::vector<message::log_line> long_lines;
  for (int i = 0; i < 50; ++i) long_lines.push_back({0, "node1", {}, std::string(message::text_bytes_max, 'x')});
  logs.add(job_id(2), long_lines, 0, 0);
  CHECK(logs.page({job_id(2), 0, 50}).lines.size() < 13);
  // Other jobs' lines go before memory does.
  for (std::uint64_t j = 3; j < 120; ++j) logs.add(job_id(j), long_lines, 0, 0);
  CHECK_FALSE(logs.page({job_id(1), 0, 10}).known);
  CHECK(logs.page({job_id(119), 0, 10}).known);
}

TEST_CASE("Logs outlive their node, with their numbers, and go with their files") {
  const auto folder = std::filesystem::temp_directory_path() / ("troupe_job_logs_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const auto line = [](int i) { return message::log_line{i, "node1", {}, "line " + std::to_string(i)}; };
  telemetry::record_keeper::options patient;
  patient.waiting_bytes_max = 256 << 20;
  {
    telemetry::record_keeper keeper(patient, [](const std::string& text) { FAIL(text); });
    job_logs logs(keeper, folder.string());
    for (int i = 1; i <= 11'000; ++i) logs.add(job_id(7), {line(i)}, 0, 0);
    logs.add(job_id(8), {line(1)}, 3, 0);
  }
  {
    telemetry::record_keeper keeper(patient, [](const std::string& text) { FAIL(text); });
    job_logs logs(keeper, folder.string());
    const auto page = logs.page({job_id(7), 10'998, 10});
    CHECK(page.known);
    REQUIRE(page.lines.size() == 2);
    CHECK(page.first == 10'999);
    CHECK(page.lines[1].text == "line 11000");
    CHECK(logs.page({job_id(7), 0, 1}).first == 1'001);
    CHECK(logs.page({job_id(8), 0, 10}).lines.size() == 2);
    logs.add(job_id(7), {line(11'001)}, 0, 0);
    CHECK(logs.page({job_id(7), 11'000, 10}).lines.size() == 1);
    std::vector<message::log_line> long_lines(50, {0, "node1", {}, std::string(message::text_bytes_max, 'x')});
    for (std::uint64_t j = 9; j < 120; ++j) logs.add(job_id(j), long_lines, 0, 0);
    CHECK_FALSE(logs.page({job_id(8), 0, 10}).known);
  }
  CHECK_FALSE(std::filesystem::exists(folder / "8.records"));
  CHECK(std::filesystem::exists(folder / "119.records"));
  std::filesystem::remove_all(folder);
}
