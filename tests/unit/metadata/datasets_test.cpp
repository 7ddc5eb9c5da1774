#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

TEST_CASE("a dataset is visible at its commit, whole, and not before", "[metadata]") {
  cluster c;
  const auto m = c.join(1);
  const auto begun = c.begin("corpus", m);
  CHECK(c.state.find_dataset("corpus") == nullptr);
  CHECK(c.state.find_creating("corpus")->id == begun.dataset);
  CHECK(c.state.owner_of(begun.first_segment) == begun.dataset);
  const auto more = c.must(allocate_segments{begun.dataset, 10});
  CHECK(more.first_segment.value == begun.first_segment.value + 64);
  CHECK(c.state.owner_of(segment_id{more.first_segment.value + 9}) == begun.dataset);
  CHECK(!c.state.owner_of(segment_id{more.first_segment.value + 10}));

  c.now = 2'000;
  c.must(commit_import{begun.dataset, {partition{{c.make_segment(more.first_segment, 100, {m})}}, partition{}}});
  const auto* d = c.state.find_dataset("corpus");
  REQUIRE(d != nullptr);
  CHECK(d->state == dataset_state::ready);
  CHECK(d->partitions.size() == 2);
  CHECK(d->created_at_unix_ms == 2'000);
  CHECK(!d->importer);
  CHECK(c.state.find_segment(more.first_segment)->file_bytes == 100);
  CHECK(!c.state.owner_of(begun.first_segment));  // reserved, never used: trash
  CHECK(c.refused(commit_import{begun.dataset, {partition{}}}).code() == errc::failed_precondition);
  CHECK(c.refused(allocate_segments{begun.dataset, 1}).code() == errc::failed_precondition);
}

TEST_CASE("an import that is not right in itself is refused before anything changes", "[metadata]") {
  cluster c;
  const auto m = c.join(1);
  const auto stranger = identity_of<member_id>(77);
  begin_import b;
  b.name = "x";
  b.importer = m;
  auto wrong = b;
  wrong.name = "../x";
  CHECK(c.refused(wrong).code() == errc::invalid_argument);
  wrong = b;
  wrong.importer = stranger;
  CHECK(c.refused(wrong).code() == errc::not_found);
  wrong = b;
  wrong.copies = 0;
  CHECK(c.refused(wrong).code() == errc::invalid_argument);
  wrong = b;
  wrong.segment_ids = segment_ids_max + 1;
  CHECK(c.refused(wrong).code() == errc::invalid_argument);
  wrong = b;
  wrong.format = static_cast<data_format>(17);
  CHECK(c.refused(wrong).code() == errc::invalid_argument);
  wrong = b;
  wrong.schema.fields.push_back({"deep", field_type::string, {}});
  for (int i = 0; i < 40; ++i) wrong.schema.fields.front() = {"deep", field_type::list, {wrong.schema.fields.front()}};
  CHECK(c.refused(wrong).code() == errc::invalid_argument);

  const auto begun = c.must(b);
  const auto other = c.begin("y", m);
  const auto good = c.make_segment(begun.first_segment, 100, {m});
  const auto commit = [&](std::vector<partition> p) {
    return c.refused(commit_import{begun.dataset, std::move(p)}).code();
  };
  CHECK(commit({}) == errc::invalid_argument);
  CHECK(commit({partition{{good, good}}}) == errc::invalid_argument);
  CHECK(commit({partition{{good}}, partition{{c.make_segment(other.first_segment, 1, {m})}}}) ==
        errc::invalid_argument);
  CHECK(commit({partition{{good}}, partition{{c.make_segment(begun.first_segment.next(), 1, {})}}}) ==
        errc::invalid_argument);
  CHECK(commit({partition{{good}}, partition{{c.make_segment(begun.first_segment.next(), 1, {stranger})}}}) ==
        errc::invalid_argument);
  CHECK(commit({partition{{good}}, partition{{c.make_segment(begun.first_segment.next(), 1, {m, m})}}}) ==
        errc::invalid_argument);
  c.must(commit_import{begun.dataset, {partition{{good}}}});
}

TEST_CASE("one writer a name; an existing name only with replace", "[metadata]") {
  cluster c;
  const auto m = c.join(1);
  const auto first = c.begin("x", m);
  begin_import again;
  again.name = "x";
  again.importer = m;
  again.replace = true;
  CHECK(c.refused(again).code() == errc::already_exists);
  c.must(abort_import{first.dataset});
  CHECK(c.refused(abort_import{first.dataset}).code() == errc::not_found);
  const auto old = c.import("x", {{100}}, {m});
  again.replace = false;
  CHECK(c.refused(again).code() == errc::already_exists);
  again.replace = true;
  const auto replacing = c.must(again);
  CHECK(c.state.find_dataset("x")->id == old);  // still the old one
  const auto old_segment = c.state.find_dataset(old)->partitions[0].segments[0].id;
  c.must(commit_import{replacing.dataset, {partition{{c.make_segment(replacing.first_segment, 5, {m})}}}});
  CHECK(c.state.find_dataset("x")->id == replacing.dataset);
  CHECK(c.state.find_dataset(old) == nullptr);  // nobody read it
  CHECK(c.state.find_segment(old_segment) == nullptr);
  CHECK(!c.state.owner_of(old_segment));
}

TEST_CASE("a deleted dataset stays for the jobs that read it, and goes with the last of them", "[metadata]") {
  cluster c;
  const auto m = c.join(1);
  c.must(load_module{c.make_module('a', "wc", "word_count")});
  const auto id = c.import("in", {{100}}, {m});
  const auto segment = c.state.find_dataset(id)->partitions[0].segments[0].id;
  const auto j1 = c.run("word_count", "in", "out1");
  const auto j2 = c.run("word_count", "in", "out2");
  c.must(delete_dataset{"in"});
  CHECK(c.state.find_dataset("in") == nullptr);
  REQUIRE(c.state.find_dataset(id) != nullptr);
  CHECK(c.state.find_dataset(id)->state == dataset_state::deleting);
  CHECK(c.state.find_segment(segment) != nullptr);
  CHECK(c.refused(delete_dataset{"in"}).code() == errc::not_found);
  c.import("in", {{5}}, {m});  // the name is free
  c.must(cancel_job{j1, "enough"});
  CHECK(c.state.find_dataset(id) != nullptr);
  REQUIRE_OK(c.finish(j2, job_state::failed));
  CHECK(c.state.find_dataset(id) == nullptr);
  CHECK(!c.state.owner_of(segment));
  CHECK(c.state.find_dataset("in") != nullptr);
}

TEST_CASE("a damaged copy is taken off, but never the last one", "[metadata]") {
  cluster c;
  const auto a = c.join(1);
  const auto b = c.join(2);
  const auto id = c.import("x", {{100}}, {a, b});
  const auto s = c.state.find_dataset(id)->partitions[0].segments[0].id;
  c.must(report_damage{id, s, a});
  CHECK(c.state.find_segment(s)->holders == std::vector{b});
  CHECK(c.refused(report_damage{id, s, a}).code() == errc::not_found);
  CHECK(c.refused(report_damage{id, s, b}).code() == errc::failed_precondition);
  CHECK(c.refused(report_damage{id, segment_id{999}, b}).code() == errc::not_found);
}
