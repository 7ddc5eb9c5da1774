#include <support/catch.hpp>
#include <troupe/membership/lease_watch.hpp>

using namespace troupe;
using namespace troupe::membership;
using namespace std::chrono_literals;

namespace lease_watch_cases {

const time_point t0{100s};
const member_id a{uuid{{1}}}, b{uuid{{2}}}, c{uuid{{3}}}, d{uuid{{4}}};
const std::set<member_id> voters{a, b, c};

TEST_CASE("a lease lasts from the sending of the heartbeat that was confirmed", "[membership]") {
  lease_watch w(1s);
  CHECK(w.look(t0, voters, a) == standing::unconfirmed);
  CHECK(w.acts_until() == t0 + 1s);
  w.confirmed(t0 + 100ms);
  w.confirmed(t0);  // late news
  CHECK(w.look(t0 + 1099ms, voters, a) == standing::holds);
  CHECK(w.acts_until() == t0 + 1100ms);
  CHECK(w.look(t0 + 1100ms, voters, a) == standing::lost);
  CHECK(w.reason() ==
        "its lease has run out: no leader of the metadata has confirmed it for 1000 ms, and 2 of 3 voters are silent");
}

TEST_CASE("who is cut off from a majority has lost its lease, and gets it back", "[membership]") {
  lease_watch w(1s);
  w.confirmed(t0);
  w.heard(b, t0);
  w.heard(c, t0 + 900ms);
  CHECK(w.look(t0 + 950ms, voters, a) == standing::holds);
  w.heard(c, t0 + 1500ms);
  CHECK(w.look(t0 + 1500ms, voters, a) == standing::leaderless);  // c is here and knows nobody; b alone is no majority
  CHECK(w.look(t0 + 2501ms, voters, a) == standing::lost);
  CHECK(w.acts_until() <= t0 + 2501ms);
  w.confirmed(t0 + 2600ms);
  CHECK(w.look(t0 + 2601ms, voters, a) == standing::holds);
  CHECK(w.reason().empty());
}

TEST_CASE("a process that was stopped may not act when it wakes up", "[membership]") {
  lease_watch w(1s);
  w.confirmed(t0);
  w.heard(b, t0);
  w.heard(c, t0);
  CHECK(w.look(t0 + 20ms, voters, a) == standing::holds);
  CHECK(w.acts_until() < t0 + 5s);  // before anything else has run
  CHECK(w.look(t0 + 5s, voters, a) == standing::lost);
}

TEST_CASE("while nobody can lead, members go on, and one lease longer", "[membership]") {
  lease_watch w(1s);
  w.confirmed(t0);
  w.gone(b);
  w.gone(c);
  CHECK(w.look(t0 + 1s, voters, a) == standing::leaderless);
  CHECK(w.look(t0 + 60s, voters, a) == standing::leaderless);
  CHECK(w.acts_until() == t0 + 61s);
  // One comes back and says that it leads: it has a lease's time to confirm this member.
  w.named(b, b, t0 + 60100ms);
  CHECK(w.look(t0 + 60100ms, voters, a) == standing::leaderless);
  w.named(b, b, t0 + 60900ms);
  CHECK(w.look(t0 + 60999ms, voters, a) == standing::leaderless);
  CHECK(w.look(t0 + 61s, voters, a) == standing::lost);
  CHECK(w.reason().ends_with("somebody else leads"));
}

TEST_CASE("a leader that does not confirm counts, one that is said to be this member does not", "[membership]") {
  lease_watch w(1s);
  w.confirmed(t0);
  w.named(b, a, t0 + 1s);
  w.named(c, {}, t0 + 1s);
  CHECK(w.look(t0 + 1s, voters, a) == standing::leaderless);
  lease_watch other(1s);
  other.confirmed(t0);
  other.named(b, c, t0 + 1s);
  other.heard(c, t0 + 1s);
  CHECK(other.look(t0 + 1s, voters, a) == standing::lost);
}

TEST_CASE("voters that fall silent are the reason, though one of them led when it was heard last", "[membership]") {
  lease_watch w(1s);
  w.confirmed(t0);
  w.named(b, b, t0 + 5ms);
  w.named(c, b, t0 + 10ms);
  CHECK(w.look(t0 + 1004ms, voters, a) == standing::lost);
  CHECK(w.reason().ends_with("for 1004 ms, and 2 of 3 voters are silent"));
  lease_watch other(1s);
  other.confirmed(t0);
  other.named(b, b, t0 + 5ms);
  other.named(c, b, t0 + 900ms);
  CHECK(other.look(t0 + 1004ms, voters, a) == standing::lost);
  CHECK(other.reason().ends_with("somebody else leads"));
}

TEST_CASE("a member that does not vote is lost when its voters are silent, not when they are gone", "[membership]") {
  lease_watch w(1s);
  w.confirmed(t0);
  const std::set<member_id> one{b};
  CHECK(w.look(t0 + 1s, one, d) == standing::lost);
  w.gone(b);
  CHECK(w.look(t0 + 1s, one, d) == standing::leaderless);
}

}  // namespace lease_watch_cases
