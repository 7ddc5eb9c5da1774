#include "data_cluster.hpp"

using namespace data_test;

namespace {
void import_some(data_cluster& cluster, const std::string& name) {
  data::import_options options;
  options.dataset = name;
  REQUIRE_OK(cluster.import(0, options, some_lines(5'000)));
}
/// A file that metadata never heard of.
void stray_segment(node& n, segment_id id) {
  storage::segment_info info;
  info.dataset = dataset_id{99};
  auto writer = n.segments.create(id, info);
  REQUIRE_OK(writer);
  REQUIRE_OK(writer->append("a\n", 1));
  REQUIRE_OK(writer->seal());
}
result<std::size_t> collect(data_cluster& cluster, int n) {
  return cluster.ask<std::size_t>([&](auto then) { cluster[n].plane->collect_garbage(std::move(then)); });
}
}  // namespace

TEST_CASE("a deleted dataset's files go at once from every node, another's stay") {
  data_cluster cluster(2);
  import_some(cluster, "one");
  import_some(cluster, "two");
  CHECK(cluster[0].segment_files() == 2);
  metadata::delete_dataset command;
  command.name = "one";
  REQUIRE_OK(cluster.metadata.propose_and_wait(command));
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 1 && cluster[1].segment_files() == 1; }));
  const auto exported = cluster.export_all(1, "two");
  REQUIRE_OK(exported);
  CHECK(*exported == some_lines(5'000));
}

TEST_CASE("a file that metadata does not know is kept for a while, then removed") {
  for (const bool at_once : {false, true}) {
    node_options options;
    if (at_once) options.unknown_file_kept = std::chrono::milliseconds(0);
    data_cluster cluster(1, options);
    import_some(cluster, "known");
    stray_segment(cluster[0], segment_id{1'000'000});
    REQUIRE_OK(cluster[0].modules.put("unknown module"));
    REQUIRE_OK(collect(cluster, 0));
    CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == (at_once ? 1U : 2U); }));
    CHECK(cluster[0].modules.list().size() == (at_once ? 0U : 1U));
  }
}

TEST_CASE("without a linearizable read nothing is removed") {
  node_options options;
  options.unknown_file_kept = std::chrono::milliseconds(0);
  data_cluster cluster(1, options);
  stray_segment(cluster[0], segment_id{1'000'000});
  cluster.metadata.set_reachable(false);
  const auto looked = collect(cluster, 0);
  REQUIRE(!looked);
  CHECK(looked.error().code() == errc::unavailable);
  CHECK(cluster[0].segment_files() == 1);
  cluster.metadata.set_reachable(true);
  REQUIRE_OK(collect(cluster, 0));
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 0; }));
}

TEST_CASE("a segment that is being written is nobody's garbage") {
  node_options options;
  options.unknown_file_kept = std::chrono::milliseconds(0);
  data_cluster cluster(2, options);
  data::import_options import_options;
  import_options.dataset = "slow";
  auto started = cluster.start_import(0, import_options);
  REQUIRE_OK(started);
  const auto text = some_lines(20'000);
  REQUIRE_OK(cluster.await((*started)->write(text)));
  REQUIRE_OK(collect(cluster, 0));
  REQUIRE_OK(collect(cluster, 1));
  REQUIRE_OK(cluster.await((*started)->finish()));
  cluster.metadata.settle();
  const auto exported = cluster.export_all(1, "slow");
  REQUIRE_OK(exported);
  CHECK(*exported == text);
}

TEST_CASE("a data plane that stops ends what is under way") {
  data_cluster cluster(2);
  data::import_options options;
  options.dataset = "interrupted";
  auto started = cluster.start_import(0, options);
  REQUIRE_OK(started);
  REQUIRE_OK(cluster.await((*started)->write(some_lines(20'000))));
  cluster[0].plane->stop();
  const auto written = cluster.await((*started)->write("more\n"));
  REQUIRE(!written);
  CHECK(written.error().code() == errc::cancelled);
  started->reset();
  CHECK(data_cluster::eventually([&] { return cluster[0].segment_files() == 0 && cluster[1].segment_files() == 0; }));
}
