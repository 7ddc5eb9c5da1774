#include "cluster.hpp"

using namespace troupe;
using namespace troupe::metadata;
using namespace troupe::metadata::testing;

TEST_CASE("members without a name are called node1, node2 and so on, and keep their name", "[metadata]") {
  cluster c;
  CHECK(c.must(register_member{make_member(9)}).text == "node1");
  CHECK(c.must(register_member{make_member(1)}).text == "node2");
  auto named = make_member(5);
  named.name = "node3";
  c.must(register_member{named});
  CHECK(c.must(register_member{make_member(2)}).text == "node4");
  CHECK(c.must(register_member{make_member(9, 2)}).text == "node1");
  CHECK(c.state.find_member("node4")->id == identity_of<member_id>(2));
}

TEST_CASE("a name belongs to one member", "[metadata]") {
  cluster c;
  c.join(1);
  auto other = make_member(2);
  other.name = "node1";
  CHECK(c.refused(register_member{other}).code() == errc::already_exists);
  other.name = "Not A Name";
  CHECK(c.refused(register_member{other}).code() == errc::invalid_argument);
}

TEST_CASE("a clone, with the same or a lower incarnation, is refused", "[metadata]") {
  cluster c;
  c.join(1, 5);
  CHECK(c.refused(register_member{make_member(1, 5)}).code() == errc::failed_precondition);
  CHECK(c.refused(register_member{make_member(1, 4)}).code() == errc::failed_precondition);
  CHECK(c.refused(register_member{make_member(2, 0)}).code() == errc::failed_precondition);
  c.join(1, 6);
}

TEST_CASE("rubbish does not become a member", "[metadata]") {
  cluster c;
  CHECK(c.refused(register_member{}).code() == errc::invalid_argument);
  for (const auto* address : {"", "x", ":1", "host:", "host:99999", "host:12a"}) {
    auto m = make_member(1);
    m.address = address;
    CHECK(c.refused(register_member{m}).code() == errc::invalid_argument);
  }
}

TEST_CASE("a verdict on an earlier incarnation, or that wakes the dead, changes nothing", "[metadata]") {
  cluster c;
  const auto m = c.join(1, 2);
  CHECK(c.refused(set_member_state{m, incarnation{1}, member_state::dead, "late"}).code() == errc::aborted);
  CHECK(c.refused(set_member_state{identity_of<member_id>(7), incarnation{1}, member_state::dead, ""}).code() ==
        errc::not_found);
  CHECK(c.refused(set_member_state{m, incarnation{2}, static_cast<member_state>(9), ""}).code() ==
        errc::invalid_argument);
  c.must(set_member_state{m, incarnation{2}, member_state::suspect, "silent for 0.5 s"});
  CHECK(c.state.find_member(m)->state_reason == "silent for 0.5 s");
  c.must(set_member_state{m, incarnation{2}, member_state::alive, ""});
  CHECK(c.state.find_member(m)->state_reason.empty());
  c.must(set_member_state{m, incarnation{2}, member_state::dead, "killed"});
  CHECK(c.refused(set_member_state{m, incarnation{2}, member_state::alive, ""}).code() == errc::aborted);
  c.join(1, 3);
  CHECK(c.state.find_member(m)->state == member_state::alive);
}

TEST_CASE("an import dies with its importer", "[metadata]") {
  cluster c;
  const auto a = c.join(1);
  const auto b = c.join(2);
  const auto by_a = c.begin("x", a);
  const auto by_b = c.begin("y", b);
  SECTION("by being found dead") { c.must(set_member_state{a, incarnation{1}, member_state::dead, "killed"}); }
  SECTION("by starting anew before anyone noticed") { c.join(1, 2); }
  CHECK(c.state.find_dataset(by_a.dataset) == nullptr);
  CHECK(c.state.find_dataset(by_b.dataset) != nullptr);
  CHECK(!c.state.owner_of(by_a.first_segment));
  CHECK(c.refused(commit_import{by_a.dataset, {partition{}}}).code() == errc::failed_precondition);
  c.begin("x", b);  // the name is free again
}
