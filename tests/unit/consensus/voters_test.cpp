#include "cluster.hpp"

using namespace troupe;
using namespace troupe::consensus;
using kind = member_change::kind;

namespace {

/// Takes steps until there is none; gives the number of voters after each.
std::vector<std::size_t> walk(configuration& now, const std::vector<member_view>& members, unsigned self) {
  std::vector<std::size_t> counts;
  while (const auto step = next_change(now, members, member(self))) {
    const auto to = changed(now, *step);
    REQUIRE(to);
    now = *to;
    counts.push_back(now.voters.size());
    REQUIRE(counts.size() < 50);
  }
  return counts;
}

std::vector<member_view> all_well(unsigned count) {
  std::vector<member_view> views;
  for (unsigned n = 1; n <= count; ++n) views.push_back({member(n), false, true, true});
  return views;
}

}  // namespace

TEST_CASE("voters by themselves: 1, then 3, then 5, never more") {
  for (const auto& [members, wanted] : {std::pair(1u, 1u), {2u, 1u}, {3u, 3u}, {4u, 3u}, {5u, 5u}, {9u, 5u}}) {
    auto now = voters({1});
    walk(now, all_well(members), 1);
    CHECK(now.voters.size() == wanted);
    CHECK(now.voters.size() + now.learners.size() == members);
    CHECK(now.is_voter(member(1)));
  }
}

TEST_CASE("a second voter is not made before a third is ready") {
  auto now = voters({1}, {2, 3});
  auto members = all_well(3);
  members[2].caught_up = false;
  CHECK_FALSE(next_change(now, members, member(1)));
  members[2].caught_up = true;
  CHECK(next_change(now, members, member(1)) == member_change{kind::promote, member(2)});
}

TEST_CASE("a voter that is gone for good leaves first, then a learner takes its place") {
  auto now = voters({1, 2, 3}, {4});
  auto members = all_well(4);
  members[1] = {member(2), true, false, false};
  CHECK(next_change(now, members, member(1)) == member_change{kind::remove, member(2)});
  walk(now, members, 1);
  CHECK(now == voters({1, 3, 4}));
}

TEST_CASE("too many voters: one out of reach goes first, the leader never") {
  auto now = voters({1, 2, 3, 4, 5});
  auto members = all_well(4);  // 5 has left
  walk(now, members, 4);
  CHECK(now.voters.size() == 3);
  CHECK(now.is_voter(member(4)));
  members = all_well(3);
  now = voters({1, 2, 3}, {});
  members[0].gone = true;
  members[1].reachable = false;
  walk(now, members, 3);
  CHECK(now.voters == std::set{member(3)});
}

TEST_CASE("a step that changes nothing, or leaves no voter, is none") {
  CHECK_FALSE(changed(voters({1}), {kind::remove, member(1)}));
  CHECK_FALSE(changed(voters({1}), {kind::demote, member(1)}));
  CHECK_FALSE(changed(voters({1}), {kind::promote, member(2)}));
  CHECK_FALSE(changed(voters({1}), {kind::add_learner, member(1)}));
  CHECK_FALSE(changed(voters({1}), {kind::add_learner, {}}));
}
