#include "data_cluster.hpp"

using namespace data_test;

namespace {
std::size_t alternative_of_damage() { return metadata::command(metadata::report_damage{}).index(); }

struct imported {
  data_cluster cluster;
  bytes text = some_lines(30'000);
  metadata::dataset dataset;

  explicit imported(int nodes, std::uint32_t copies) : cluster(nodes) {
    data::import_options options;
    options.dataset = "corpus";
    options.copies = copies;
    options.size_bytes = text.size();
    options.partitions = 3;
    REQUIRE_OK(cluster.import(0, options, text));
    dataset = cluster.dataset("corpus");
  }
  const metadata::segment& segment(std::size_t partition) { return dataset.partitions[partition].segments.front(); }
  node& holder(const metadata::segment& s, std::size_t i) {
    for (int n = 0;; ++n)
      if (cluster[n].id == s.holders[i]) return cluster[n];
  }
};
}  // namespace

TEST_CASE("a flipped bit in one copy is noticed on read, the other is used, and metadata hears of it once") {
  imported in(2, 2);
  flip_bit(in.cluster[0].segment_path(in.segment(1).id));
  for (int i = 0; i < 2; ++i) {
    const auto exported = in.cluster.export_all(0, "corpus");
    REQUIRE_OK(exported);
    CHECK(*exported == in.text);
  }
  CHECK(data_cluster::eventually([&] { return in.cluster.metadata.proposals(alternative_of_damage()) == 1; }));
  in.cluster.metadata.settle();
  CHECK(in.cluster.dataset("corpus").partitions[1].segments.front().holders ==
        std::vector<member_id>{in.cluster[1].id});
}

TEST_CASE("a flipped bit in a copy elsewhere is noticed as well") {
  imported in(3, 2);
  for (std::size_t p = 0; p < 3; ++p) {
    auto& where = in.holder(in.segment(p), p % 2);
    flip_bit(where.segment_path(in.segment(p).id));
  }
  for (int i = 0; i < 3; ++i) {
    const auto exported = in.cluster.export_all(i, "corpus");
    REQUIRE_OK(exported);
    CHECK(*exported == in.text);
  }
}

TEST_CASE("a missing file is read from the other copy") {
  imported in(2, 2);
  std::filesystem::remove(in.cluster[0].segment_path(in.segment(2).id));
  const auto exported = in.cluster.export_all(0, "corpus");
  REQUIRE_OK(exported);
  CHECK(*exported == in.text);
  CHECK(data_cluster::eventually([&] { return in.cluster.metadata.proposals(alternative_of_damage()) == 1; }));
}

TEST_CASE("when all copies are damaged the error names dataset, partition, segment and record") {
  imported in(2, 2);
  const auto& bad = in.segment(1);
  flip_bit(in.cluster[0].segment_path(bad.id));
  std::filesystem::remove(in.cluster[1].segment_path(bad.id));
  const auto exported = in.cluster.export_all(1, "corpus");
  REQUIRE(!exported);
  CHECK(exported.error().code() == errc::data_loss);
  const std::string text = exported.error().message();
  CHECK(text.find("corpus") != std::string::npos);
  CHECK(text.find("partition 1") != std::string::npos);
  CHECK(text.find("segment " + to_string(bad.id)) != std::string::npos);
  CHECK(text.find("node1") != std::string::npos);
  CHECK(text.find("node2") != std::string::npos);
}

TEST_CASE("copies on members that are away are not called lost") {
  imported in(2, 1);
  in.cluster[1].kill();
  const auto exported = in.cluster.export_all(0, "corpus");
  REQUIRE(!exported);
  CHECK(exported.error().code() == errc::unavailable);
  CHECK(exported.error().message().find("node2") != std::string::npos);
}

TEST_CASE("head gives the first records with their places, and export knows the formats") {
  data_cluster cluster(1);
  data::import_options options;
  options.dataset = "text";
  REQUIRE_OK(cluster.import(0, options, "one\ntwo \"quoted\"\nthree\n"));
  const auto head = cluster.ask<std::vector<data::shown_record>>(
      [&](auto then) { cluster[0].plane->head("text", 2, std::move(then)); });
  REQUIRE_OK(head);
  REQUIRE(head->size() == 2);
  CHECK((*head)[0].json == "\"one\"");
  CHECK((*head)[1].json == "\"two \\\"quoted\\\"\"");
  CHECK((*head)[1].offset == 1);
  CHECK((*head)[1].partition == 0);
  const auto json = cluster.export_all(0, "text", data::text_format::json);
  REQUIRE_OK(json);
  CHECK(*json == "\"one\"\n\"two \\\"quoted\\\"\"\n\"three\"\n");
  const auto none = cluster.ask<std::vector<data::shown_record>>(
      [&](auto then) { cluster[0].plane->head("other", 2, std::move(then)); });
  REQUIRE(!none);
  CHECK(none.error().code() == errc::not_found);
}

TEST_CASE("head counts offsets over segments and partitions") {
  imported in(2, 1);
  const auto first = in.segment(0).records;
  const auto head = in.cluster.ask<std::vector<data::shown_record>>(
      [&](auto then) { in.cluster[0].plane->head("corpus", 10'000, std::move(then)); });
  REQUIRE_OK(head);
  REQUIRE(head->size() == 10'000);
  CHECK(head->back().offset == (first >= 10'000 ? 9'999 : 9'999 - first));
  CHECK(head->back().json.find("\"line 9999 ") == 0);
}
