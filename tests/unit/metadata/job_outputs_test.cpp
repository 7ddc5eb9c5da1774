#include <troupe/metadata/splits.hpp>

#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

namespace {

/// Job `fork`: one map stage, whose two branches read every split; the first writes one dataset, the second the other.
module_info fork_module() {
  auto m = cluster::make_module('c', "fork", "fork", 1);
  auto& d = m.jobs[0];
  const stage_branch all{{{edge_kind::dataset, all_inputs, 0}}};
  d.shape = {{"map", {all, all}, 0}};
  d.outputs = {{"good", {{{"line", field_type::string, {}}}}, 1}, {"bad", {{{"why", field_type::uint64, {}}}}, 1}};
  d.output_schema = d.outputs[0].schema;
  d.parameters = {{"least", "the fewest"}, {"most", "the most"}};
  return m;
}

struct with_fork : cluster {
  member_id a = join(1);
  with_fork() {
    must(load_module{fork_module()});
    import("corpus", {{20 * mib}, { 10 * mib }}, {a});
  }
  static create_job wish(std::vector<std::string> outputs) {
    create_job c;
    c.job_name = "fork";
    c.inputs = {"corpus"};
    c.output = outputs.at(0);
    c.more_outputs.assign(outputs.begin() + 1, outputs.end());
    return c;
  }
  job_id begin(std::vector<std::string> outputs, bool replace = false) {
    auto c = wish(std::move(outputs));
    c.replace = replace;
    const auto made = must(c);
    must(start_job{made.job, state.find_job(made.job)->supervisor_epoch});
    return made.job;
  }
  std::string refusal(const command& what) {
    const auto answer = apply(what);
    return answer ? "accepted" : answer.error().message();
  }
};

}  // namespace

TEST_CASE("a job of two outputs: each has the segments of its branches, and both appear at once", "[metadata]") {
  with_fork c;
  const auto id = c.begin({"good_lines", "bad_lines"});
  const auto& j = *c.state.find_job(id);
  REQUIRE(j.plan.stage_tasks.back() == 4);
  const auto spans = output_spans(j);
  REQUIRE(spans.size() == 2);
  CHECK((spans[1].first_task == 2 && spans[1].tasks == 2));
  CHECK(c.state.owner_of(segment_id{j.first_segment.value + attempts_per_task}) == j.output);
  CHECK(c.state.owner_of(segment_id{j.first_segment.value + 2 * attempts_per_task}) == j.more_outputs[0].dataset);
  for (std::uint32_t t = 0; t < 4; ++t) {
    CHECK(c.state.find_dataset("good_lines") == nullptr);
    CHECK(c.state.find_dataset("bad_lines") == nullptr);
    c.must(c.task(id, 0, t, c.a));
  }
  const auto image = c.state.snapshot();
  REQUIRE_OK(state::restore(image));  // in the middle, it is sound
  finish_job end;
  end.job = id;
  end.epoch = j.supervisor_epoch;
  end.outcome = job_state::succeeded;
  c.must(end);
  const auto* good = c.state.find_dataset("good_lines");
  const auto* bad = c.state.find_dataset("bad_lines");
  REQUIRE((good != nullptr && bad != nullptr));
  CHECK((good->partitions.size() == 2 && bad->partitions.size() == 2));
  CHECK(bad->schema.fields[0].name == "why");
  CHECK(bad->partitions[1].segments.at(0).id.value == j.first_segment.value + 3 * attempts_per_task);
  // Replaced together; and what does not succeed leaves neither name.
  const auto again = c.begin({"good_lines", "bad_lines"}, true);
  c.must(cancel_job{again, "enough"});
  CHECK(c.state.find_dataset("bad_lines")->made_by == id);
  CHECK(c.state.find_creating("good_lines") == nullptr);
  CHECK(c.state.find_creating("bad_lines") == nullptr);
  REQUIRE_OK(state::restore(c.state.snapshot()));
}

TEST_CASE("a job of two outputs: names must be as many as outputs, each free and each once", "[metadata]") {
  with_fork c;
  CHECK(c.refusal(with_fork::wish({"one"})).find("writes 2 datasets (good, bad), and 1 name was given") !=
        std::string::npos);
  CHECK(c.refusal(with_fork::wish({"one", "one"})).find("are to be called one") != std::string::npos);
  CHECK(c.refusal(with_fork::wish({"one", "corpus"})).find("exists already") != std::string::npos);
  CHECK(c.state.find_creating("one") == nullptr);
  auto module = fork_module();
  module.jobs[0].outputs[1].branches = 2;
  CHECK(c.refusal(load_module{module}).find("do not fit its last stage") != std::string::npos);
}

TEST_CASE("a parameter that a job does not take is refused with the nearest that it takes", "[metadata]") {
  with_fork c;
  auto wish = with_fork::wish({"one", "two"});
  wish.parameters = {{"leest", "3"}};
  CHECK(c.refusal(wish) == "job fork takes no parameter leest: did you mean least?");
  wish.parameters = {{"colour", "red"}};
  CHECK(c.refusal(wish) == "job fork takes no parameter colour: it takes least, most");
  wish.parameters = {{"most", "3"}, {"troupe.network", "yes"}};
  CHECK(c.refusal(wish) == "accepted");
}
