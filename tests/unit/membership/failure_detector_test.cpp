#include <support/catch.hpp>
#include <troupe/membership/failure_detector.hpp>
#include <troupe/membership/lease_watch.hpp>

using namespace troupe;
using namespace troupe::membership;
using namespace std::chrono_literals;
using metadata::member_state;

namespace {

const time_point t0{100s};
const member_id a{uuid{{1}}};
const member_id b{uuid{{2}}};
constexpr incarnation first{1};

std::vector<std::pair<member_id, member_state>> brief(const std::vector<verdict>& verdicts) {
  std::vector<std::pair<member_id, member_state>> out;
  for (const auto& v : verdicts) out.emplace_back(v.id, v.state);
  return out;
}
using list = std::vector<std::pair<member_id, member_state>>;

}  // namespace

TEST_CASE("a silent member is suspect after 500 ms and dead after its lease, each once", "[membership]") {
  failure_detector d;
  d.follow(a, first, member_state::alive, t0);
  d.follow(b, first, member_state::alive, t0);
  CHECK(d.check(t0 + 499ms).empty());
  CHECK(d.next_check() == t0 + 500ms);
  d.heard(b, first, t0 + 499ms);
  const auto suspects = d.check(t0 + 500ms);
  CHECK(brief(suspects) == list{{a, member_state::suspect}});
  CHECK(suspects[0].reason == "silent for 0.5 s");
  CHECK(d.check(t0 + 501ms).empty());
  CHECK(d.holds_lease(a, first));
  d.heard(b, first, t0 + 900ms);
  CHECK(brief(d.check(t0 + 1000ms)) == list{{a, member_state::dead}});
  CHECK(!d.holds_lease(a, first));
  CHECK(d.holds_lease(b, first));
  CHECK(d.check(t0 + 1001ms).empty());
}

TEST_CASE("a suspect that is heard again is alive again, a dead one is not", "[membership]") {
  failure_detector d;
  d.follow(a, first, member_state::alive, t0);
  CHECK(brief(d.check(t0 + 600ms)) == list{{a, member_state::suspect}});
  d.heard(a, first, t0 + 700ms);
  CHECK(brief(d.check(t0 + 700ms)) == list{{a, member_state::alive}});
  CHECK(brief(d.check(t0 + 1700ms)) == list{{a, member_state::dead}});
  d.heard(a, first, t0 + 1800ms);
  CHECK(d.check(t0 + 1800ms).empty());
  CHECK(!d.holds_lease(a, first));
  d.follow(a, first.next(), member_state::alive, t0 + 2s);
  CHECK(d.holds_lease(a, first.next()));
  CHECK(!d.holds_lease(a, first));
}

TEST_CASE("a process that is known to be gone is dead at once, a broken connection only suspect", "[membership]") {
  failure_detector d;
  d.follow(a, first, member_state::alive, t0);
  d.closed(a, first, false, t0 + 10ms);
  CHECK(brief(d.check(t0 + 10ms)) == list{{a, member_state::suspect}});
  SECTION("the probe of its port is refused") {
    d.closed(a, first, true, t0 + 20ms);
    CHECK(brief(d.check(t0 + 20ms)) == list{{a, member_state::dead}});
  }
  SECTION("it comes back") {
    d.heard(a, first, t0 + 30ms);
    CHECK(brief(d.check(t0 + 30ms)) == list{{a, member_state::alive}});
  }
  SECTION("nothing more is known until the lease is over") {
    CHECK(d.check(t0 + 999ms).empty());
    CHECK(brief(d.check(t0 + 1000ms)) == list{{a, member_state::dead}});
  }
}

TEST_CASE("what an earlier incarnation's connection says does not count", "[membership]") {
  failure_detector d;
  d.follow(a, first, member_state::alive, t0);
  d.follow(a, first.next(), member_state::alive, t0 + 100ms);
  d.closed(a, first, true, t0 + 200ms);
  d.follow(a, first, member_state::alive, t0 + 300ms);  // an old registration cannot take its place
  CHECK(d.check(t0 + 300ms).empty());
  d.heard(a, first, t0 + 800ms);
  CHECK(brief(d.check(t0 + 800ms)) == list{{a, member_state::suspect}});
}

TEST_CASE("a new holder grants a full lease to those it knows, and none to the dead", "[membership]") {
  failure_detector d;
  d.follow(a, first, member_state::suspect, t0);
  d.follow(b, first, member_state::dead, t0);
  CHECK(brief(d.check(t0 + 1ms)) == list{{a, member_state::alive}});
  CHECK(!d.holds_lease(b, first));
  CHECK(brief(d.check(t0 + 999ms)) == list{{a, member_state::suspect}});
  CHECK(brief(d.check(t0 + 1s)) == list{{a, member_state::dead}});
}

TEST_CASE("silence while this process itself did not run is nobody's fault", "[membership]") {
  failure_detector d;
  d.follow(a, first, member_state::alive, t0);
  d.heard(a, first, t0 + 100ms);
  d.paused(t0 + 200ms, t0 + 10s);
  CHECK(d.check(t0 + 10s).empty());
  CHECK(brief(d.check(t0 + 10s + 900ms)) == list{{a, member_state::dead}});
}

TEST_CASE("a verdict that could not be committed is given again", "[membership]") {
  failure_detector d;
  d.follow(a, first, member_state::alive, t0);
  CHECK(brief(d.check(t0 + 1s)) == list{{a, member_state::dead}});
  d.not_committed(a, first, member_state::alive);
  CHECK(brief(d.check(t0 + 1100ms)) == list{{a, member_state::dead}});
}

TEST_CASE("a member's own lease ends before the holder's patience does", "[membership]") {
  lease_watch mine(1s);
  mine.confirmed(t0 + 500ms);
  CHECK(mine.look(t0 + 600ms, {b}, a) == standing::holds);
  failure_detector holder;  // heard each heartbeat no earlier than it was sent
  holder.follow(a, first, member_state::alive, t0);
  holder.heard(a, first, t0 + 502ms);
  CHECK(holder.check(mine.acts_until()).front().state == member_state::suspect);
  CHECK(mine.look(mine.acts_until(), {b}, a) == standing::lost);
}
