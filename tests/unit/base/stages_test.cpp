#include <support/catch.hpp>
#include <troupe/base/stages.hpp>

using namespace troupe;

namespace {

constexpr auto all = all_inputs;
stage_branch reads(std::vector<stage_edge> edges) { return {std::move(edges)}; }
stage_edge input(std::uint32_t n = all) { return {edge_kind::dataset, n, 0}; }
stage_edge part(std::uint32_t from) { return {edge_kind::partitioned, from, 0}; }
stage_edge whole(std::uint32_t from, std::uint32_t partition = 0) { return {edge_kind::broadcast, from, partition}; }
stage_edge same(std::uint32_t from, std::uint32_t partition = 0) { return {edge_kind::forward, from, partition}; }

bool refused(const std::vector<stage_shape>& stages, const std::string& words, std::uint32_t inputs = 0) {
  const auto checked = check_stages(stages, inputs);
  if (!checked) INFO(checked.error().message());
  return checked.has_error() && checked.error().message().find(words) != std::string::npos;
}

}  // namespace

TEST_CASE("stages: tasks follow from splits, partitions and edges") {
  // A sort: keys and sample | splitters | distribute | sort; then both branches of a union read it and an input.
  const std::vector<stage_shape> sort{{"keys", {reads({input(1)})}, 2},
                                      {"splitters", {reads({whole(0, 1)})}, 1},
                                      {"distribute", {reads({whole(1), same(0)})}, 0},
                                      {"sort", {reads({part(2)}), reads({input(0)})}, 0}};
  REQUIRE(check_stages(sort, 2));
  const auto layout = lay_out(sort, {3, 5}, 4);
  REQUIRE(layout);
  CHECK((*layout)[0].tasks == 5);
  CHECK((*layout)[0].partitions == 2);
  CHECK((*layout)[1].tasks == 1);
  CHECK((*layout)[2].tasks == 5);
  CHECK((*layout)[2].partitions == 4);
  CHECK((*layout)[3].tasks == 4 + 3);
  CHECK((*layout)[3].partitions == 7);  // of the output: one for each task
  CHECK((*layout)[3].branch_of(3) == 0);
  CHECK((*layout)[3].branch_of(4) == 1);
  CHECK(split_of(sort[0], (*layout)[0], {3, 5}, 2) == 3u + 2u);  // input 0 has the first three
  CHECK(split_of(sort[3], (*layout)[3], {3, 5}, 4) == 0u);
  CHECK(split_of(sort[3], (*layout)[3], {3, 5}, 2) == std::nullopt);
  CHECK(reads_dataset(sort[3]));
  CHECK_FALSE(reads_dataset(sort[2]));
  const auto none = lay_out(classic_stages(2), {0}, 2);
  REQUIRE(none);
  CHECK((*none)[0].tasks == 0);
  CHECK((*none)[1].tasks == 2);
  CHECK(lay_out(classic_stages(1), {3, 4}, 9)->at(0).tasks == 7);  // all inputs
}

TEST_CASE("stages: graphs that cannot be run are refused, with the stage and a reason") {
  CHECK(check_stages(classic_stages(1), 0));
  CHECK(check_stages(classic_stages(2), 0));
  CHECK(refused({}, "0 stages"));
  CHECK(refused(std::vector<stage_shape>(stages_max + 1, classic_stages(1)[0]), "513 stages"));
  CHECK(refused({{"a", {}, 0}}, "stage 0 has 0 branches"));
  CHECK(refused({{"a", {reads({})}, 0}}, "0 edges"));
  CHECK(refused({{"a", {reads({part(0)})}, 0}}, "stage 0 reads stage 0, which is not before it"));
  CHECK(refused({{"a", {reads({input()})}, 0}, {"b", {reads({input()})}, 0}}, "stage 0 is read by nobody"));
  CHECK(refused({{"a", {reads({input(2)})}, 0}}, "reads input 3 of 2", 2));
  CHECK(refused({{"a", {reads({input(0)})}, 0}}, "by number, but the job takes any"));
  CHECK(refused({{"a", {reads({input(0), input(1)})}, 0}}, "two datasets in one branch", 2));
  CHECK(refused({{"a", {reads({input()})}, 2}, {"b", {reads({same(0, 2)})}, 0}},
                "a partition that stage 0 does not write"));
  CHECK(refused({{"a", {reads({input()})}, 2}, {"b", {reads({input()})}, 3}, {"c", {reads({part(0), part(1)})}, 0}},
                "partitioned differently"));
  CHECK(refused({{"a", {reads({input()})}, 0}, {"b", {reads({part(0), same(0)})}, 0}}, "do not agree"));
  CHECK(refused({{std::string(200, 'x'), {reads({input()})}, 0}}, "a name of more than 128 bytes"));
  // Whether forward edges fit is only known with the splits.
  const std::vector<stage_shape> side_by_side{
      {"a", {reads({input(0)})}, 1}, {"b", {reads({input(1)})}, 1}, {"c", {reads({same(0), same(1)})}, 0}};
  REQUIRE(check_stages(side_by_side, 2));
  CHECK(lay_out(side_by_side, {2, 2}, 1));
  const auto uneven = lay_out(side_by_side, {2, 3}, 1);
  REQUIRE(uneven.has_error());
  CHECK(uneven.error().message() == "stage 2 reads stages of 2 and 3 tasks side by side");
}
