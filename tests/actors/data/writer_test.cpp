#include "data_cluster.hpp"

using namespace data_test;

namespace {

/// A dataset that is being written, with ids for its segments.
struct writing {
  data_cluster cluster;
  dataset_id dataset;
  segment_id first;
  explicit writing(int nodes) : cluster(nodes) {
    metadata::begin_import command;
    command.name = "output";
    command.copies = 1;
    command.importer = cluster[0].id;
    const auto begun = cluster.metadata.propose_and_wait(command);
    REQUIRE_OK(begun);
    dataset = begun->dataset;
    first = begun->first_segment;
  }
  data::output_spec spec(std::vector<int> nodes, std::uint32_t copies_min) {
    data::output_spec out;
    out.segment = first;
    out.dataset = dataset;
    out.copies_min = copies_min;
    for (const int n : nodes) out.replicas.push_back(cluster[n].id);
    return out;
  }
  result<void> append(data::replicated_writer& writer, bytes_view payload, std::uint64_t records) {
    return cluster.ask<void>([&](auto then) { writer.append(payload, records, std::move(then)); });
  }
  result<data::sealed_output> seal(data::replicated_writer& writer) {
    return cluster.ask<data::sealed_output>([&](auto then) { writer.seal(std::move(then)); });
  }
};

}  // namespace

TEST_CASE("a segment is written to all replicas alike, with and without a copy here") {
  for (const auto& replicas : {std::vector<int>{0, 1, 2}, std::vector<int>{1, 2}, std::vector<int>{0}}) {
    writing w(3);
    auto writer = w.cluster[0].plane->open_output(w.spec(replicas, static_cast<std::uint32_t>(replicas.size())));
    const bytes large(3 << 20, 'x');
    REQUIRE_OK(w.append(*writer, "a\nb\n", 2));
    REQUIRE_OK(w.append(*writer, large, 1));  // longer than a frame
    REQUIRE_OK(w.append(*writer, "c\n", 1));
    const auto sealed = w.seal(*writer);
    REQUIRE_OK(sealed);
    CHECK(sealed->lost.empty());
    CHECK(sealed->segment.records == 4);
    CHECK(sealed->segment.bytes == large.size() + 6);
    REQUIRE(sealed->segment.holders.size() == replicas.size());
    for (const int n : replicas) {
      const auto copy = w.cluster[n].segments.open(w.first);
      REQUIRE_OK(copy);
      REQUIRE_OK(copy->verify());
      CHECK(copy->summary().digest == sealed->segment.digest);
      CHECK(copy->summary().file_bytes == sealed->segment.file_bytes);
    }
  }
}

TEST_CASE("a segment without a record has no file") {
  writing w(2);
  auto writer = w.cluster[0].plane->open_output(w.spec({0, 1}, 2));
  const auto sealed = w.seal(*writer);
  REQUIRE_OK(sealed);
  CHECK(sealed->segment.records == 0);
  CHECK(sealed->segment.holders.empty());
  CHECK(w.cluster[0].segment_files() == 0);
  CHECK(w.cluster[1].segment_files() == 0);
}

TEST_CASE("a replica that dies falls out and is named; the others go on while enough are left") {
  writing w(3);
  auto writer = w.cluster[0].plane->open_output(w.spec({0, 1, 2}, 2));
  REQUIRE_OK(w.append(*writer, "a\n", 1));
  w.cluster[1].kill();
  REQUIRE_OK(w.append(*writer, "b\n", 1));
  const auto sealed = w.seal(*writer);
  REQUIRE_OK(sealed);
  REQUIRE(sealed->lost.size() == 1);
  CHECK(sealed->lost.front().member == w.cluster[1].id);
  CHECK(sealed->segment.holders == std::vector<member_id>{w.cluster[0].id, w.cluster[2].id});
  CHECK(sealed->segment.records == 2);
}

TEST_CASE("with too few replicas left the writer fails, names them, and leaves no copy") {
  writing w(2);
  auto writer = w.cluster[0].plane->open_output(w.spec({0, 1}, 2));
  REQUIRE_OK(w.append(*writer, "a\n", 1));
  w.cluster[1].kill();
  auto appended = w.append(*writer, "b\n", 1);
  const auto sealed = w.seal(*writer);
  REQUIRE(!sealed);
  CHECK(sealed.error().code() == errc::unavailable);
  CHECK(sealed.error().message().find("node2") != std::string::npos);
  CHECK(data_cluster::eventually([&] { return w.cluster[0].segment_files() == 0; }));
}

TEST_CASE("a full disk here or there is told as such") {
  for (const int full : {0, 1}) {
    writing w(2);
    auto writer = w.cluster[0].plane->open_output(w.spec({0, 1}, 2));
    const bytes payload(200'000, 'x');
    REQUIRE_OK(w.append(*writer, payload, 1));
    w.cluster[full].disk.bytes_left = 300'000;
    result<void> appended = ok();
    for (int i = 0; i < 5 && appended; ++i) appended = w.append(*writer, payload, 1);
    REQUIRE(!appended);
    CHECK(appended.error().code() == errc::resource_exhausted);
    CHECK(appended.error().message().find("node" + std::to_string(full + 1)) != std::string::npos);
    writer.reset();
    CHECK(data_cluster::eventually(
        [&] { return w.cluster[0].segment_files() == 0 && w.cluster[1].segment_files() == 0; }));
  }
}

TEST_CASE("abort and a dropped handle remove every copy and answer what is outstanding") {
  for (const bool dropped : {false, true}) {
    writing w(2);
    auto writer = w.cluster[0].plane->open_output(w.spec({0, 1}, 1));
    REQUIRE_OK(w.append(*writer, "a\n", 1));
    CHECK(w.cluster[1].segment_files() == 1);
    if (dropped) {
      writer.reset();
    } else {
      writer->abort();
      const auto late = w.append(*writer, "b\n", 1);
      REQUIRE(!late);
      CHECK(late.error().code() == errc::cancelled);
    }
    CHECK(data_cluster::eventually(
        [&] { return w.cluster[0].segment_files() == 0 && w.cluster[1].segment_files() == 0; }));
  }
}

TEST_CASE("a segment of a dataset that is not being written is refused elsewhere") {
  writing w(2);
  metadata::abort_import command;
  command.dataset = w.dataset;
  REQUIRE_OK(w.cluster.metadata.propose_and_wait(command));
  auto writer = w.cluster[0].plane->open_output(w.spec({1}, 1));
  const auto appended = w.append(*writer, "a\n", 1);
  REQUIRE(!appended);
  CHECK(appended.error().message().find("not of a dataset that is being written") != std::string::npos);
  CHECK(w.cluster[1].segment_files() == 0);
}

TEST_CASE("a writer with no replicas, or fewer than it needs, fails with a sentence") {
  writing w(1);
  auto writer = w.cluster[0].plane->open_output(w.spec({0}, 2));
  const auto appended = w.append(*writer, "a\n", 1);
  REQUIRE(!appended);
  CHECK(appended.error().code() == errc::failed_precondition);
  const auto sealed = w.seal(*writer);
  CHECK(!sealed);
}
