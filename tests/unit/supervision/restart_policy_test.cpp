#include <support/catch.hpp>
#include <troupe/supervision/restart_policy.hpp>

using namespace troupe::supervision;
using names = std::vector<child_name>;

namespace {
restart_policy three_children(strategy how, intensity limit = {}) {
  restart_policy policy(how, limit);
  policy.add("a", restart::permanent);
  policy.add("b", restart::transient);
  policy.add("c", restart::temporary);
  return policy;
}
}  // namespace

TEST_CASE("one_for_one starts only the child that ended") {
  auto policy = three_children(strategy::one_for_one);
  auto v = policy.ended("a", "", 0);
  CHECK(v.start == names{"a"});
  CHECK(v.stop.empty());
  CHECK_FALSE(v.escalate);
  CHECK(policy.restarts_of("a") == 1);
  CHECK(policy.restarts_of("b") == 0);
}

TEST_CASE("A transient child comes back only from an abnormal end, a temporary one never") {
  auto policy = three_children(strategy::one_for_one);
  CHECK(policy.ended("b", "it threw", 0).start == names{"b"});
  CHECK(policy.ended("b", "", 1).start.empty());
  CHECK_FALSE(policy.has("b"));
  CHECK(policy.ended("c", "it threw", 2).start.empty());
  CHECK_FALSE(policy.has("c"));
  CHECK(policy.ended("nobody", "it threw", 3).start.empty());
}

TEST_CASE("one_for_all stops the others last first and starts all in order, without the temporary ones") {
  auto policy = three_children(strategy::one_for_all);
  auto v = policy.ended("b", "it threw", 0);
  CHECK(v.stop == names{"c", "a"});
  CHECK(v.start == names{"a", "b"});
  CHECK_FALSE(policy.has("c"));
  CHECK(policy.restarts_of("a") == 1);
}

TEST_CASE("rest_for_one leaves alone who was started before") {
  restart_policy policy(strategy::rest_for_one);
  for (const auto* name : {"a", "b", "c", "d"}) policy.add(name, restart::permanent);
  auto v = policy.ended("b", "it threw", 0);
  CHECK(v.stop == names{"d", "c"});
  CHECK(v.start == names{"b", "c", "d"});
  CHECK(policy.restarts_of("a") == 0);
}

TEST_CASE("Beyond its intensity a supervisor escalates with the child's last error") {
  auto policy = three_children(strategy::one_for_one, {3, 1'000});
  for (time_ms now : {0, 100, 200}) CHECK(policy.ended("a", "boom", now).start == names{"a"});
  auto v = policy.ended("a", "the last boom", 300);
  CHECK(v.escalate);
  CHECK(v.start.empty());
  CHECK(v.stop == names{"c", "b"});
  CHECK(v.reason.find("a ended 4 times") != std::string::npos);
  CHECK(v.reason.find("the last boom") != std::string::npos);
}

TEST_CASE("Restarts older than the period do not count") {
  auto policy = three_children(strategy::one_for_one, {3, 1'000});
  for (time_ms now = 0; now < 20'000; now += 400) CHECK_FALSE(policy.ended("a", "boom", now).escalate);
  CHECK(policy.restarts_of("a") == 50);
}

TEST_CASE("The intensity is the supervisor's, whichever child ends") {
  auto policy = three_children(strategy::one_for_one, {2, 1'000});
  CHECK_FALSE(policy.ended("a", "x", 0).escalate);
  CHECK_FALSE(policy.ended("b", "x", 1).escalate);
  CHECK(policy.ended("a", "x", 2).escalate);
}
