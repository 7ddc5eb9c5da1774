#include <support/catch.hpp>
#include <troupe/membership/absences.hpp>

using namespace troupe;
using namespace troupe::membership;
using namespace std::chrono_literals;
using metadata::member_state;

namespace {
const auto one = member_id::random();
const time_point begun{1h};
}  // namespace

TEST_CASE("a member that stays away is given up, and not before", "[membership]") {
  absences a(10min);
  const auto state = GENERATE(member_state::dead, member_state::left);
  a.follow(one, state, begun);
  CHECK(a.away(one));
  CHECK(!a.given_up(one, begun + 10min - 1ms));
  CHECK(a.given_up(one, begun + 10min));
  CHECK(!a.given_up(member_id::random(), begun + 10min));
}

TEST_CASE("who comes back is away no more, and the next absence counts from its own beginning", "[membership]") {
  absences a(10min);
  a.follow(one, member_state::dead, begun);
  a.follow(one, member_state::alive, begun + 9min);
  CHECK(!a.away(one));
  CHECK(!a.given_up(one, begun + 20min));
  a.follow(one, member_state::dead, begun + 11min);
  CHECK(!a.given_up(one, begun + 20min));
  CHECK(a.given_up(one, begun + 21min));
}

TEST_CASE("dead and then left is one absence; suspect is none", "[membership]") {
  absences a(10min);
  a.follow(one, member_state::dead, begun);
  a.follow(one, member_state::left, begun + 5min);
  CHECK(a.given_up(one, begun + 10min));
  a.follow(one, member_state::suspect, begun + 10min);
  CHECK(!a.away(one));
  a.follow(one, member_state::dead, begun + 10min);
  a.forget(one);
  CHECK(!a.away(one));
}
