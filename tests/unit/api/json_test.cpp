#include <support/catch.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/api/datasets.hpp>
#include <troupe/api/jobs.hpp>
#include <troupe/api/logs.hpp>
#include <troupe/api/modules.hpp>
#include <troupe/base/text.hpp>

using namespace troupe;

namespace {
api::job failed_job() {
  api::job j;
  j.id = job_id(7);
  j.name = "word_count";
  j.inputs = {"corpus"};
  j.outputs = {"counts"};
  j.parameters = {{"min", "3"}};
  j.state = api::job_state::failed;
  j.error = api::job_error{"it threw", "node2", "corpus", 41};
  j.created_at.unix_ms = 1763887109123;
  j.started_at = api::timestamp{1763887109200};
  j.tasks = {20, 4, 1};
  j.stages = {{"map", {16, 4, 1}}, {"reduce", {4, 0, 0}}};
  j.lost_task_seconds = 1.5;
  j.input_bytes = UINT64_MAX;
  j.counters = {{"words", -2}};
  return j;
}
}  // namespace

TEST_CASE("a job survives the way through JSON") {
  const auto text = api::to_text(failed_job());
  const auto back = api::from_text<api::job>(text, "job", api::unknown_members::refused);
  REQUIRE_OK(back);
  CHECK(api::to_text(*back) == text);
  CHECK(back->id == job_id(7));
  CHECK(back->state == api::job_state::failed);
  CHECK(back->error->offset == 41u);
  CHECK(back->started_at->unix_ms == 1763887109200);
  CHECK_FALSE(back->finished_at);
  CHECK(back->input_bytes == UINT64_MAX);
  CHECK(back->counters.at("words") == -2);
}

TEST_CASE("a job has the members that the interface promises") {
  const auto value = api::to_json(failed_job());
  const auto& object = value.get_object();
  for (const auto* name : {"id", "name", "module", "inputs", "outputs", "parameters", "state", "error", "started_at",
                           "finished_at", "tasks", "attempts", "lost_attempts", "lost_task_seconds", "input_bytes",
                           "input_records", "output_records", "counters"})
    CHECK(object.contains(name));
  CHECK(object.at("finished_at").is_null());
  CHECK(object.at("id").to_number<int>() == 7);
  CHECK(object.at("state").get_string() == "failed");
  CHECK(object.at("started_at").get_string() == "2025-11-23T08:38:29.200Z");
  for (const auto* name : {"total", "done", "running"}) CHECK(object.at("tasks").get_object().contains(name));
  for (const auto* name : {"message", "node", "dataset", "offset"})
    CHECK(object.at("error").get_object().contains(name));
  CHECK(api::to_json(api::job{}).get_object().at("error").is_null());
}

TEST_CASE("nodes and datasets have the members that the interface promises") {
  const auto node = api::to_json(api::node{});
  for (const auto* name : {"name", "id", "address", "pid", "state", "incarnation", "cores", "memory_bytes", "version"})
    CHECK(node.get_object().contains(name));
  CHECK(node.at("state").get_string() == "alive");
  api::dataset d;
  d.partitions.emplace_back().copies = {"node1", "node2"};
  const auto dataset = api::to_json(d);
  for (const auto* name : {"name", "format", "copies", "records", "bytes", "partitions"})
    CHECK(dataset.get_object().contains(name));
  CHECK(dataset.at("partitions").get_array()[0].at("copies").get_array().size() == 2);
}

TEST_CASE("what does not fit is named by its path") {
  const auto message = [](const char* text) {
    const auto read = api::from_text<api::job_request>(text, "body", api::unknown_members::refused);
    REQUIRE_FALSE(read);
    CHECK(read.error().code() == errc::invalid_argument);
    return read.error().message();
  };
  CHECK(message(R"({"inputs":["a"],"output":"b"})") == R"(body: "job" is missing)");
  CHECK(message(R"({"job":"j","inputs":["a",2],"output":"b"})") == R"(body.inputs[1]: expected a string, found 2)");
  CHECK(message(R"({"job":"j","inputs":[],"output":"b","copies":-1})") ==
        R"(body.copies: expected a number in range, found -1)");
  CHECK(message(R"({"job":"j","inputs":[],"output":"b","copies":1.5})") ==
        R"(body.copies: expected a number in range, found 1.5E0)");
  CHECK(message(R"({"job":"j","inputs":[],"output":"b","parameters":{"x":1}})") ==
        R"(body.parameters.x: expected a string, found 1)");
  CHECK(message(R"({"job":"j","inputs":[],"output":"b","paramters":{}})") == R"(body: there is no member "paramters")");
  CHECK(message("[]") == "body: expected an object, found []");
  CHECK(message("{").starts_with("body: not JSON: "));
  CHECK(message(std::string(1000, '[').c_str()).starts_with("body: not JSON: "));
}

TEST_CASE("an answer of a newer node is read: unknown members are passed over, absent ones keep their default") {
  const auto read = api::from_text<api::node>(R"({"name":"node1","colour":"red","state":"suspect"})", "node");
  REQUIRE_OK(read);
  CHECK(read->name == "node1");
  CHECK(read->state == api::node_state::suspect);
  CHECK(read->pid == 0);
  const auto wrong = api::from_text<api::node>(R"({"state":"asleep"})", "node");
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().message() == R"(node.state: expected one of alive, suspect, dead, left, found "asleep")");
}

TEST_CASE("times are RFC 3339 in UTC") {
  CHECK(api::parse_timestamp("1970-01-01T00:00:00Z")->unix_ms == 0);
  CHECK(api::parse_timestamp("2026-11-23T08:58:29.123Z")->unix_ms == 1795424309123);
  CHECK(api::parse_timestamp("2026-11-23T08:58:29.1239999Z")->unix_ms == 1795424309123);
  CHECK(api::to_string(api::timestamp{1795424309123}) == "2026-11-23T08:58:29.123Z");
  for (const auto* wrong :
       {"", "2026-11-23", "2026-11-23T08:58:29", "2026-13-23T08:58:29Z", "2026-11-23T08:58:29.Z",
        "2026-11-23T08:58:29+01:00", "2026-11-23T08:58:2xZ", "-026-11-23T08:58:29Z", "9999-12-31T23:59:60Z"})
    CHECK_FALSE(api::parse_timestamp(wrong));
}

TEST_CASE("what cannot be written again is not read: infinite numbers, a name with a zero within") {
  const auto infinite = api::from_text<api::job>(R"({"lost_task_seconds":1e999})", "job");
  REQUIRE_FALSE(infinite);
  CHECK(infinite.error().message() == "job: a number in it is out of range");
  CHECK_FALSE(api::from_text<api::dataset_record>(R"({"record":{"x":[-1e999]}})", "record"));
  CHECK_FALSE(api::from_text<api::node>(R"({"state":"dead\u0000ly"})", "node"));
}

TEST_CASE("what a module says need not be UTF-8, the answer that repeats it is") {
  auto j = failed_job();
  j.error->message = "caught \xff\xc3 in caf\xc3\xa9";
  const auto read = api::from_text<api::job>(api::to_text(j), "job");
  REQUIRE_OK(read);
  CHECK(read->error->message == "caught \xef\xbf\xbd\xef\xbf\xbd in caf\xc3\xa9");
}

TEST_CASE("a schema as deep as schemas may be comes through in the largest answer that holds one") {
  field deep{"x", field_type::uint8, {}};
  for (int level = 1; level < 16; ++level) deep = field{"f", field_type::optional, {deep}};
  api::list<api::module_info> all;
  all.items.emplace_back().jobs.emplace_back().output_schema = {deep};
  const auto read = api::from_text<api::list<api::module_info>>(api::to_text(all), "modules");
  REQUIRE_OK(read);
  CHECK(read->items.front().jobs.front().output_schema == std::vector{deep});
}

namespace twin {
enum class state { queued, running, other };
BOOST_DESCRIBE_ENUM(state, queued, running, other)
}  // namespace twin

TEST_CASE("enums are converted by name") {
  CHECK(api::same_name<api::job_state>(twin::state::running) == api::job_state::running);
  CHECK(api::same_name<api::job_state>(twin::state::other, api::job_state::failed) == api::job_state::failed);
}
