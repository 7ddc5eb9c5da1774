#include <troupe/metadata/splits.hpp>

#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

namespace {

struct with_corpus : cluster {
  member_id a = join(1);
  member_id b = join(2);
  with_corpus() {
    must(load_module{make_module('a', "wc", "word_count")});
    must(load_module{make_module('b', "grep", "grep", 1)});
    import("corpus", {{40 * mib, 10 * mib}, {}, { 0, 16 * mib }}, {a});
  }
};

}  // namespace

TEST_CASE("a job's plan follows from its input alone", "[metadata]") {
  with_corpus c;
  const auto id = c.run("word_count", "corpus", "counts");
  const auto& j = *c.state.find_job(id);
  CHECK(j.plan.map_tasks == 5);   // 3 + 1 + 0 + 1
  CHECK(j.plan.partitions == 2);  // 66 MiB
  CHECK(j.stages.size() == 2);
  CHECK(j.supervisor == c.a);
  CHECK(c.state.find_creating("counts")->made_by == id);
  CHECK(c.state.owner_of(segment_id{j.first_segment.value + 2 * attempts_per_task - 1}) == j.output);

  const auto table = split_table::make(c.state, j);
  REQUIRE_OK(table);
  REQUIRE(table->size() == 5);
  const auto& partitions = c.state.find_dataset("corpus")->partitions;
  const auto s = table->at(task_index{2});
  CHECK(s.segment == partitions[0].segments[0].id);
  CHECK((s.from == 32 * mib && s.to == 40 * mib && s.first_offset.value == 0));
  const auto t = table->at(task_index{3});
  CHECK((t.from == 0 && t.to == 10 * mib));
  CHECK(t.first_offset.value == partitions[0].segments[0].records);
  const auto u = table->at(task_index{4});
  CHECK(u.partition.value == 2);
  CHECK((u.from == 0 && u.to == 16 * mib));
  CHECK(c.run("word_count", "corpus", "counts2") == id.next());
  CHECK(c.state.find_job(id.next())->supervisor == c.b);  // the one with fewer
}

TEST_CASE("splits grow with the input, and a small rest makes no task of its own", "[metadata]") {
  CHECK(splits_of(0, 16 * mib) == 0);
  CHECK(splits_of(1, 16 * mib) == 1);
  CHECK(splits_of(20 * mib, 16 * mib) == 1);
  CHECK(splits_of(20 * mib + 1, 16 * mib) == 2);
  CHECK(splits_of(64 * mib + 300, 64 * mib) == 1);
  with_corpus c;
  const std::vector<std::uint64_t> segments(16, 64 * mib + 300);
  c.import("large", {segments}, {c.a});
  const auto& j = *c.state.find_job(c.run("word_count", "large", "counts"));
  CHECK(j.plan.split_bytes == 64 * mib);
  CHECK(j.plan.map_tasks == 16);
  const auto table = split_table::make(c.state, j);
  REQUIRE_OK(table);
  const auto last = table->at(task_index{15});
  CHECK((last.from == 0 && last.to == 64 * mib + 300));
  c.import("middle", {{512 * mib}}, {c.a});
  const auto& half = *c.state.find_job(c.run("word_count", "middle", "counts2"));
  CHECK(half.plan.split_bytes == 32 * mib);
  CHECK(half.plan.map_tasks == 16);
}

TEST_CASE("an empty input makes an empty output", "[metadata]") {
  with_corpus c;
  c.import("nothing", {{}}, {c.a});
  const auto id = c.run("grep", "nothing", "found");
  CHECK(c.state.find_job(id)->plan.map_tasks == 0);
  REQUIRE_OK(c.finish(id));
  CHECK(c.state.find_dataset("found")->partitions.empty());
}

TEST_CASE("a huge input gets larger splits rather than too many tasks", "[metadata]") {
  with_corpus c;
  c.import("huge", {{std::uint64_t{1} << 40}}, {c.a});  // 1 TiB
  const auto id = c.run("grep", "huge", "found");
  const auto& plan = c.state.find_job(id)->plan;
  CHECK(plan.map_tasks == 4096);
  CHECK(plan.split_bytes == 256 * mib);
  CHECK(plan.partitions == plan.map_tasks);
}

TEST_CASE("a job that cannot run is refused with the reason", "[metadata]") {
  with_corpus c;
  create_job good;
  good.job_name = "word_count";
  good.inputs = {"corpus"};
  good.output = "counts";
  auto j = good;
  j.job_name = "unknown";
  CHECK(c.refused(j).code() == errc::not_found);
  j = good;
  j.inputs = {};
  CHECK(c.refused(j).code() == errc::invalid_argument);
  j = good;
  j.inputs = {"corpus", "missing"};
  CHECK(c.refused(j).code() == errc::not_found);
  j = good;
  j.output = "corpus";
  CHECK(c.refused(j).code() == errc::already_exists);
  j = good;
  j.module_hash = "bbbbbb";
  CHECK(c.refused(j).code() == errc::not_found);
  j.module_hash = "aaa";
  CHECK(c.refused(j).code() == errc::invalid_argument);
  j.module_hash = "aaaaaa";
  c.must(j);
  CHECK(c.refused(good).code() == errc::already_exists);  // counts is being written
  j = good;
  j.output = "other";
  c.must(set_member_state{c.a, incarnation{1}, member_state::dead, ""});
  c.must(set_member_state{c.b, incarnation{1}, member_state::suspect, ""});
  CHECK(c.refused(j).code() == errc::unavailable);
}

TEST_CASE("records are read by a schema that fits", "[metadata]") {
  with_corpus c;
  auto m = c.make_module('c', "rec", "rec");
  m.jobs[0].input_format = data_format::records;
  m.jobs[0].input_schema.fields = {{"word", field_type::string, {}}, {"count", field_type::uint64, {}}};
  c.must(load_module{m});
  create_job j;
  j.job_name = "rec";
  j.inputs = {"corpus"};
  j.output = "out";
  CHECK(c.refused(j).code() == errc::failed_precondition);  // lines

  const auto import_records = [&](const std::string& name, std::vector<field> fields) {
    begin_import b;
    b.name = name;
    b.importer = c.a;
    b.format = data_format::records;
    b.schema.fields = std::move(fields);
    const auto begun = c.must(b);
    c.must(commit_import{begun.dataset, {partition{}}});
    j.inputs = {name};
  };
  import_records("short", {{"word", field_type::string, {}}});
  CHECK(c.refused(j).code() == errc::failed_precondition);
  import_records("other", {{"word", field_type::string, {}}, {"count", field_type::int64, {}}});
  CHECK(c.refused(j).code() == errc::failed_precondition);
  import_records(
      "longer",
      {{"word", field_type::string, {}}, {"count", field_type::uint64, {}}, {"more", field_type::boolean, {}}});
  c.must(j);
}

TEST_CASE("the newest load of a module wins, a running one stays", "[metadata]") {
  with_corpus c;
  c.must(load_module{c.make_module('d', "wc", "word_count")});
  CHECK((*c.state.resolve_module("word_count", ""))->hash[0] == 'd');
  c.must(load_module{c.make_module('a', "wc", "word_count")});
  CHECK((*c.state.resolve_module("word_count", ""))->hash[0] == 'a');
  c.must(module_held{std::string(64, 'a'), c.b});
  c.must(module_held{std::string(64, 'a'), c.b});
  CHECK(c.state.find_module(std::string(64, 'a'))->holders == std::vector{c.b});
  const auto id = c.run("word_count", "corpus", "counts");
  CHECK(c.refused(delete_module{"wc"}).code() == errc::failed_precondition);
  c.must(cancel_job{id, ""});
  c.must(delete_module{"wc"});
  CHECK(c.refused(delete_module{"wc"}).code() == errc::not_found);
  CHECK(c.state.modules().size() == 1);
  auto none = c.make_module('e', "e", "e");
  none.jobs.clear();
  CHECK(c.refused(load_module{none}).code() == errc::invalid_argument);
  auto upper = c.make_module('E', "e", "e");
  CHECK(c.refused(load_module{upper}).code() == errc::invalid_argument);
}

TEST_CASE("the first commit of a task wins, and the job's output comes with its last", "[metadata]") {
  with_corpus c;
  const auto id = c.run("word_count", "corpus", "counts");
  c.must(c.task(id, 0, 0, c.a));
  CHECK(c.refused(c.task(id, 0, 0, c.b, 2)).code() == errc::already_exists);
  for (std::uint32_t t = 1; t < 5; ++t) c.must(c.task(id, 0, t, c.b));
  CHECK(c.refused(c.task(id, 0, 5, c.b)).code() == errc::invalid_argument);
  CHECK(c.refused(c.task(id, 2, 0, c.b)).code() == errc::invalid_argument);
  auto wrong = c.task(id, 1, 0, c.a);
  wrong.commit.output->id = wrong.commit.output->id.next();
  CHECK(c.refused(wrong).code() == errc::invalid_argument);
  c.must(c.task(id, 1, 1, c.a));
  CHECK(c.finish(id).error().code() == errc::failed_precondition);
  CHECK(c.state.find_dataset("counts") == nullptr);
  auto empty = c.task(id, 1, 0, c.a);
  empty.commit.output.reset();
  c.must(empty);
  c.now = 9'000;
  REQUIRE_OK(c.finish(id));

  const auto* d = c.state.find_dataset("counts");
  REQUIRE(d != nullptr);
  REQUIRE(d->partitions.size() == 2);
  CHECK(d->partitions[0].segments.empty());
  CHECK(d->partitions[1].segments.size() == 1);
  const auto& j = *c.state.find_job(id);
  CHECK(j.state == job_state::succeeded);
  CHECK(j.stages.empty());
  CHECK(!j.supervisor);
  CHECK(j.finished_at_unix_ms == 9'000);
  CHECK(j.tasks_done == 7);
  CHECK(j.input_bytes == 50);
  CHECK(j.input_records == 10);
  CHECK(j.output_records == 6);
  CHECK(j.attempts == 7);
  CHECK(j.counters.at("seen") == 35);
  CHECK(!c.state.owner_of(segment_id{j.first_segment.value + 1}));  // of an attempt that lost
  CHECK(c.refused(cancel_job{id, ""}).code() == errc::failed_precondition);
}

TEST_CASE("a job may replace its own input", "[metadata]") {
  with_corpus c;
  const auto before = c.state.find_dataset("corpus")->id;
  const auto id = c.run("grep", "corpus", "corpus", true);
  CHECK(c.state.find_dataset("corpus")->id == before);
  for (std::uint32_t t = 0; t < 5; ++t) c.must(c.task(id, 0, t, c.a));
  REQUIRE_OK(c.finish(id));
  CHECK(c.state.find_dataset("corpus")->id == c.state.find_job(id)->output);
  CHECK(c.state.find_dataset(before) == nullptr);
}

TEST_CASE("the loss of a member loses its map outputs and moves its supervisors", "[metadata]") {
  with_corpus c;
  const auto id = c.run("word_count", "corpus", "counts");
  const auto fenced = c.task(id, 0, 4, c.b);
  for (std::uint32_t t = 0; t < 4; ++t) c.must(c.task(id, 0, t, t % 2 == 0 ? c.a : c.b));
  c.must(c.task(id, 1, 0, c.a));
  auto two_copies = c.task(id, 1, 1, c.a);
  two_copies.commit.output->holders = {c.a, c.b};
  c.must(two_copies);
  CHECK(c.state.find_job(id)->supervisor == c.a);
  const auto late = c.task(id, 0, 2, c.a, 2);

  bool restarted = false;
  SECTION("found dead") { c.must(set_member_state{c.a, incarnation{1}, member_state::dead, "killed"}); }
  SECTION("restarted before anyone noticed") {
    c.join(1, 2);
    restarted = true;
  }
  const auto& j = *c.state.find_job(id);
  CHECK(j.supervisor_epoch == epoch{2});
  CHECK(j.supervisor.has_value());
  if (!restarted) CHECK(j.supervisor == c.b);
  CHECK(j.stages[0].committed.size() == 2);
  CHECK(j.stages[0].first_digests.size() == 2);
  // What was written is still there when it restarted with its disk; else only where another copy is.
  CHECK(j.stages[1].committed.size() == (restarted ? 2 : 1));
  CHECK(c.refused(fenced).code() == errc::aborted);  // the old epoch
  auto stale = late;
  stale.epoch = epoch{2};
  CHECK(c.refused(stale).code() == errc::aborted);  // ran on the incarnation that is gone

  auto again = c.task(id, 0, 0, c.b, 2);
  again.commit.digest = {99, 99};
  CHECK(c.refused(again).code() == errc::failed_precondition);  // not deterministic
  c.must(c.task(id, 0, 0, c.b, 2));
  CHECK(c.refused(revoke_task{id, epoch{2}, stage_index{0}, task_index{0}, attempt_number{1}}).code() ==
        errc::not_found);
  c.must(revoke_task{id, epoch{2}, stage_index{0}, task_index{0}, attempt_number{2}});
  CHECK(!c.state.find_job(id)->stages[0].committed.contains(task_index{0}));
}

TEST_CASE("a job without a supervisor gets one as soon as a member is alive", "[metadata]") {
  with_corpus c;
  const auto id = c.run("word_count", "corpus", "counts");
  c.must(set_member_state{c.b, incarnation{1}, member_state::dead, ""});
  c.must(set_member_state{c.a, incarnation{1}, member_state::dead, ""});
  CHECK(!c.state.find_job(id)->supervisor);
  CHECK(c.state.find_job(id)->supervisor_epoch == epoch{2});
  c.join(2, 2);
  CHECK(c.state.find_job(id)->supervisor == c.b);
  CHECK(c.state.find_job(id)->supervisor_epoch == epoch{2});
}

TEST_CASE("jobs in history are bounded, and small", "[metadata]") {
  with_corpus c;
  const auto oldest = c.run("word_count", "corpus", "kept_running");
  for (std::size_t i = 0; i < limits::jobs_in_history_max + 3; ++i) {
    create_job j;
    j.job_name = "grep";
    j.inputs = {"corpus"};
    j.output = "x";
    c.must(cancel_job{c.must(j).job, "no"});
  }
  CHECK(c.state.jobs().size() == limits::jobs_in_history_max + 1);
  CHECK(c.state.find_job(oldest.next()) == nullptr);
  REQUIRE_OK(c.finish(oldest, job_state::failed));
  CHECK(c.state.find_job(oldest) != nullptr);  // its end can still be asked for
  CHECK(c.state.jobs().size() == limits::jobs_in_history_max);
  CHECK(codec::encode(*c.state.find_job(oldest)).size() < 2'000);
}
