#include <boost/json/parse.hpp>
#include <shell/display/job_text.hpp>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <support/catch.hpp>

using namespace troupe;
using namespace troupe::shell;
namespace json = boost::json;

TEST_CASE("columns are aligned by what they take on the screen") {
  ::setlocale(LC_ALL, "C.UTF-8");
  CHECK(aligned({{"NAME", "N"}, {"grün", "7"}, {"x", "123"}}, {false, true}) == "NAME    N\ngrün    7\nx     123\n");
  CHECK(aligned({{"a", ""}}, {false, false}) == "a\n");
}

TEST_CASE("CSV is quoted as RFC 4180 says") {
  CHECK(csv_row({"a", "b,c", "d\"e", "f\ng", ""}) == "a,\"b,c\",\"d\"\"e\",\"f\ng\",\n");
  CHECK(csv_row({""}) == "\"\"\n");
}

TEST_CASE("cells are for people or for programs") {
  const auto value = json::parse(
      R"({"bytes":1536,"at":"2026-11-23T08:58:29.123Z","none":null,"list":["a","b"],"yes":true,"deep":{"x":7},"evil":"a\u001b[2Jb"})");
  const auto cell = [&](const char* path, shown_as how, bool people) {
    return cell_text(member_at(value, path), how, people);
  };
  CHECK(cell("bytes", shown_as::bytes, true) == "1.50 KiB");
  CHECK(cell("bytes", shown_as::bytes, false) == "1536");
  CHECK(cell("at", shown_as::time, true) == "2026-11-23 08:58:29Z");
  CHECK(cell("at", shown_as::time, false) == "2026-11-23T08:58:29.123Z");
  CHECK(cell("none", shown_as::text, true) == "-");
  CHECK(cell("none", shown_as::text, false).empty());
  CHECK(cell("list", shown_as::list, true) == "a b");
  CHECK(cell("yes", shown_as::text, true) == "yes");
  CHECK(cell("deep.x", shown_as::text, true) == "7");
  CHECK(cell("deep.y", shown_as::text, true) == "-");
  CHECK(cell("evil", shown_as::text, true) == "a·[2Jb");
}

TEST_CASE("a record's cells are neither rounded nor flattened") {
  const auto value =
      json::parse(R"({"x":0.1234567890123,"n":1.5,"big":18446744073709551615,"in":{"a":[1,2.5],"b":"c"}})");
  for (const bool people : {true, false}) {
    const auto cell = [&](const char* path) { return cell_text(member_at(value, path), shown_as::value, people); };
    CHECK(cell("x") == "0.1234567890123");
    CHECK(cell("n") == "1.5");
    CHECK(cell("big") == "18446744073709551615");
    CHECK(cell("in") == R"({"a":[1,2.5],"b":"c"})");
  }
  CHECK(cell_text(member_at(value, "x"), shown_as::text, true) == "0.123");
  CHECK(compact(value) == R"({"x":0.1234567890123,"n":1.5,"big":18446744073709551615,"in":{"a":[1,2.5],"b":"c"}})");
}

TEST_CASE("JSON for people is the same JSON") {
  const auto value = json::parse(R"([{"a":1,"b":["x","y"],"c":{},"d":[{"e":"\u00fc\n"}]},2])");
  CHECK(json::parse(pretty(value)) == value);
  CHECK(pretty(json::array{}) == "[]\n");
}

TEST_CASE("durations and counts are short") {
  CHECK(format_duration(0.045) == "45 ms");
  CHECK(format_duration(3.21) == "3.2 s");
  CHECK(format_duration(200) == "3 min 20 s");
  CHECK(format_count(0) == "0");
  CHECK(format_count(999) == "999");
  CHECK(format_count(1000) == "1,000");
  CHECK(format_count(1234567) == "1,234,567");
}

TEST_CASE("a job is told in a line: while it runs, when it has succeeded, when it has failed") {
  api::job job;
  job.id = job_id(7);
  job.name = "word_count";
  CHECK(progress_text(job) == "job 7 (word_count): waiting for its turn");
  job.state = api::job_state::running;
  job.stages = {{"map", {64, 12, 4}, {}}, {"reduce", {8, 0, 0}, {}}};
  job.lost_attempts = 1;
  CHECK(progress_text(job) == "job 7 (word_count): map 12/64 (4 running), reduce 0/8, 1 attempt lost");
  CHECK(stages_text(job).find("12/64  4 running") != std::string::npos);
  auto many = job;
  many.stages = {{"read, combine", {8, 8, 0}}, {"fold", {4, 1, 2}}, {"join", {4, 0, 0}}, {"sort, write", {4, 0, 0}}};
  CHECK(progress_text(many) == "job 7 (word_count): 1 of 4 stages done, fold 1/4 (2 running), 1 attempt lost");
  many.stages[1].numbers.spilled_bytes = 3 << 20;
  CHECK(stage_numbers_text(many).find("3.00 MiB") != std::string::npos);
  api::job_plan plan;
  plan.job = "ranked";
  plan.stages = {{0, "read, combine", {"corpus, a split for each task"}, 8, 2, "a shuffle of 2 partitions", {}}};
  CHECK(plan_text(plan).find("stage 0  read, combine  8 tasks\n    reads   corpus, a split for each task\n") !=
        std::string::npos);
  job.state = api::job_state::succeeded;
  job.started_at = api::timestamp{1000};
  job.finished_at = api::timestamp{4200};
  job.input_records = 1234;
  job.input_bytes = 2048;
  job.output_records = 56;
  job.lost_attempts = 2;
  job.lost_task_seconds = 0.8;
  CHECK(summary_text(job) ==
        "job 7 (word_count) succeeded: 1,234 records (2.00 KiB) in, 56 out, 3.2 s; 2 attempts lost (800 ms of work)");
  job.state = api::job_state::failed;
  job.error = api::job_error{"it threw", "node2", "corpus", 41};
  CHECK(failure_text(job) == "job 7 (word_count) failed: node2, record 41 of corpus: it threw");
  job.error = api::job_error{"no copy is left", {}, {}, {}};
  CHECK(failure_text(job) == "job 7 (word_count) failed: no copy is left");
}
