#include <boost/asio/buffer.hpp>
#include <cstring>
#include <troupe/base/sha256.hpp>
#include <troupe/dataflow/block_store_impl.hpp>

#include "data_cluster.hpp"

using namespace data_test;

namespace {

bytes content(node& n, const std::vector<dataflow::block_ref>& blocks) {
  bytes out;
  for (const auto& block : blocks) {
    auto pin = n.blocks->pin(block.id);
    REQUIRE_OK(pin);
    bytes data(block.size, '\0');
    const auto read = pin->read(0, data.data(), data.size());
    REQUIRE_OK(read);
    REQUIRE(*read == block.size);
    out += data;
  }
  return out;
}

/// As a finished mapper's output: each payload a block of the partition.
void publish(node& n, const dataflow::attempt_key& attempt, partition_index partition,
             const std::vector<bytes>& payloads) {
  auto& store = n.blocks->implementation();
  const dataflow::owner_id owner{7};
  REQUIRE_OK(store.begin_attempt(attempt));
  for (const auto& payload : payloads) {
    std::promise<result<dataflow::chunk_grant>> promise;
    store.open_chunk(owner, payload.size(), [&](result<dataflow::chunk_grant> r) { promise.set_value(std::move(r)); });
    const auto grant = promise.get_future().get();
    REQUIRE_OK(grant);
    REQUIRE(::pwrite(grant->write_fd, payload.data(), payload.size(), static_cast<off_t>(grant->offset)) ==
            static_cast<ssize_t>(payload.size()));
    REQUIRE_OK(store.publish(owner, attempt, grant->chunk, partition, payload.size(), 1, xxh3_128(payload)));
  }
  store.finish_attempt(attempt);
}

}  // namespace

TEST_CASE("map output comes from another node in order, and from this one without a connection") {
  data_cluster cluster(2);
  const dataflow::attempt_key attempt{job_id{3}, stage_index{0}, task_index{1}, attempt_number{1}};
  const std::vector<bytes> payloads{bytes(100, 'a'), bytes(700'000, 'b'), bytes(3, 'c'), bytes(1 << 20, 'd')};
  publish(cluster[1], attempt, partition_index{2}, payloads);
  bytes whole;
  for (const auto& p : payloads) whole += p;
  for (int from : {0, 1}) {
    const auto fetched = cluster.ask<std::vector<dataflow::block_ref>>([&](auto then) {
      cluster[from].plane->fetch_map_output(cluster[1].id, attempt, partition_index{2}, std::move(then));
    });
    REQUIRE_OK(fetched);
    REQUIRE(fetched->size() == 4);
    CHECK(content(cluster[from], *fetched) == whole);
    CHECK((*fetched)[1].digest == xxh3_128(payloads[1]));
  }
  const auto other = cluster.ask<std::vector<dataflow::block_ref>>([&](auto then) {
    cluster[0].plane->fetch_map_output(cluster[1].id, attempt, partition_index{0}, std::move(then));
  });
  REQUIRE_OK(other);
  CHECK(other->empty());
}

TEST_CASE("map output that is gone, or whose node is gone, is told apart") {
  data_cluster cluster(2);
  const dataflow::attempt_key attempt{job_id{3}, stage_index{0}, task_index{1}, attempt_number{1}};
  const auto fetch = [&] {
    return cluster.ask<std::vector<dataflow::block_ref>>([&](auto then) {
      cluster[0].plane->fetch_map_output(cluster[1].id, attempt, partition_index{0}, std::move(then));
    });
  };
  auto gone = fetch();
  REQUIRE(!gone);
  CHECK(gone.error().code() == errc::not_found);
  cluster[1].kill();
  gone = fetch();
  REQUIRE(!gone);
  CHECK(gone.error().code() == errc::unavailable);
  CHECK(gone.error().message().find("node2 is dead") != std::string::npos);
}

TEST_CASE("many fetches at once share a few connections") {
  data_cluster cluster(2);
  const dataflow::attempt_key attempt{job_id{3}, stage_index{0}, task_index{1}, attempt_number{1}};
  publish(cluster[1], attempt, partition_index{0}, {bytes(1000, 'a')});
  std::vector<std::future<std::size_t>> answers;
  for (int i = 0; i < 200; ++i) {
    auto promise = std::make_shared<std::promise<std::size_t>>();
    answers.push_back(promise->get_future());
    cluster[0].plane->fetch_map_output(
        cluster[1].id, attempt, partition_index{0},
        [promise](const result<std::vector<dataflow::block_ref>>& r) { promise->set_value(r ? r->size() : 0); });
  }
  for (auto& a : answers) {
    REQUIRE(a.wait_for(std::chrono::seconds(30)) == std::future_status::ready);
    CHECK(a.get() == 1);
  }
}

TEST_CASE("ranges of a segment that meet end to end give every record once, from any node") {
  data_cluster cluster(3);
  const auto text = some_lines(40'000);
  data::import_options options;
  options.dataset = "corpus";
  options.copies = 1;
  REQUIRE_OK(cluster.import(0, options, text));
  const auto dataset = cluster.dataset("corpus");
  REQUIRE(dataset.partitions.size() == 1);
  const auto& segment = dataset.partitions.front().segments.front();
  for (int from = 0; from < 3; ++from) {
    bytes whole;
    std::uint64_t records = 0;
    const std::uint64_t step = 300'001;
    for (std::uint64_t at = 0; at < segment.file_bytes; at += step) {
      const auto fetched = cluster.ask<data::fetched_range>([&](auto then) {
        cluster[from].plane->fetch_segment_range(job_id{9}, dataset.id, segment, at, at + step, std::move(then));
      });
      REQUIRE_OK(fetched);
      if (fetched->records != 0) CHECK(fetched->first.value == records);
      records += fetched->records;
      const auto part = content(cluster[from], fetched->blocks);
      if (!part.empty()) CHECK(part.back() == '\n');
      whole += part;
    }
    CHECK(records == segment.records);
    CHECK(whole == text);
  }
}

TEST_CASE("a range is fetched from another copy when the first is damaged half-way") {
  data_cluster cluster(3);
  const auto text = some_lines(40'000);
  data::import_options options;
  options.dataset = "corpus";
  options.copies = 2;
  REQUIRE_OK(cluster.import(0, options, text));
  const auto dataset = cluster.dataset("corpus");
  const auto& segment = dataset.partitions.front().segments.front();
  int outsider = 0;
  for (int n = 0; n < 3; ++n) {
    if (std::find(segment.holders.begin(), segment.holders.end(), cluster[n].id) == segment.holders.end()) outsider = n;
    if (segment.holders[segment.id.value % 2] == cluster[n].id)
      flip_bit(cluster[n].segment_path(segment.id));  // the one that would be asked first
  }
  const auto fetched = cluster.ask<data::fetched_range>([&](auto then) {
    cluster[outsider].plane->fetch_segment_range(job_id{9}, dataset.id, segment, 0, segment.file_bytes,
                                                 std::move(then));
  });
  REQUIRE_OK(fetched);
  CHECK(content(cluster[outsider], fetched->blocks) == text);
  CHECK(data_cluster::eventually(
      [&] { return cluster.metadata.proposals(metadata::command(metadata::report_damage{}).index()) == 1; }));
}

TEST_CASE("a module is fetched once, checked, stored, and told to metadata; a wrong holder is passed over") {
  data_cluster cluster(3);
  const bytes code(3'000'000, 'm');
  const auto hash = cluster[2].modules.put(code);
  REQUIRE_OK(hash);
  std::vector<std::future<bool>> answers;
  for (int i = 0; i < 5; ++i) {
    auto promise = std::make_shared<std::promise<bool>>();
    answers.push_back(promise->get_future());
    cluster[0].plane->fetch_module(
        *hash, {cluster[1].id, cluster[2].id},
        [promise](const result<std::filesystem::path>& r) { promise->set_value(r && std::filesystem::exists(*r)); });
  }
  for (auto& a : answers) CHECK(a.get());
  REQUIRE_OK(cluster[0].modules.read(*hash));
  CHECK(data_cluster::eventually(
      [&] { return cluster.metadata.proposals(metadata::command(metadata::module_held{}).index()) == 1; }));
  const auto nowhere = cluster.ask<std::filesystem::path>(
      [&](auto then) { cluster[0].plane->fetch_module(sha256_hex("x"), {cluster[1].id}, std::move(then)); });
  REQUIRE(!nowhere);
  CHECK(nowhere.error().message().find("node2") != std::string::npos);
}

TEST_CASE("every node takes a module when it is loaded") {
  data_cluster cluster(3);
  const auto hash = cluster[1].modules.put("the code");
  REQUIRE_OK(hash);
  metadata::load_module command;
  command.module.hash = *hash;
  command.module.name = "code";
  command.module.abi = "test";
  command.module.size_bytes = 8;
  command.module.holders = {cluster[1].id};
  metadata::job_description job;
  job.name = "job";
  command.module.jobs = {job};
  REQUIRE_OK(cluster.metadata.propose_and_wait(command));
  CHECK(data_cluster::eventually([&] { return cluster[0].modules.has(*hash) && cluster[2].modules.has(*hash); }));
}
