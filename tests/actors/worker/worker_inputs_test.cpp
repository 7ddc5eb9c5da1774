#include "fixture.hpp"

using namespace worker_tests;

TEST_CASE("splits of a segment that meet see every batch once, with offsets within the partition") {
  node n;
  const auto path = n.directory.path / "9.seg";
  const auto positions = n.write_segment(path, 9, 10, 100);
  const auto middle = positions[4] + 17;  // inside a batch
  std::string all;
  for (std::uint32_t half = 0; half < 2; ++half) {
    auto a = n.assignment("copy", half);
    a.partitions = 1;
    a.inputs.push_back(segment_range{path.string(), segment_id{9}, half == 0 ? 0 : middle,
                                     half == 0 ? middle : positions.back(), 5000, 0, data_format::lines});
    n.run(a)->expect_finished();
    all += n.content(a.key, 0);
  }
  std::string expected;
  for (int i = 0; i < 1000; ++i) expected += std::to_string(5000 + i) + ":line " + std::to_string(i) + "\n";
  CHECK(all == expected);
}

TEST_CASE("a flipped bit in a segment is a lost input, not the module's fault") {
  node n;
  auto input = n.ten_lines();
  {
    std::fstream file(input.path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 + 72 + 3);
    file.put('X');
  }
  auto a = n.assignment("copy", 0);
  a.inputs.push_back(block_range{});
  a.inputs.push_back(input);
  const auto failure = n.run(a)->expect_failed();
  CHECK(failure.kind == failure_kind::input_lost);
  CHECK(failure.lost_input == 1u);
  CHECK(failure.message.find(input.path) != std::string::npos);
}

TEST_CASE("a segment file that is gone, or another one, is a lost input") {
  node n;
  auto a = n.assignment("copy", 0);
  auto input = n.ten_lines();
  input.segment = segment_id{6};
  a.inputs.push_back(input);
  CHECK(n.run(a)->expect_failed().kind == failure_kind::input_lost);
  std::filesystem::remove(input.path);
  a.key.attempt = attempt_number{2};
  const auto failure = n.run(a)->expect_failed();
  CHECK(failure.kind == failure_kind::input_lost);
  CHECK(failure.lost_input == 0u);
}

TEST_CASE("a page of input that the disk has lost is a lost input though the worker dies of it") {
  node n;
  const auto path = n.directory.path / "11.seg";
  const auto positions = n.write_segment(path, 11, 1, 100'000);
  auto a = n.assignment("reread", 0);
  const auto flag = n.directory.path / "cut";
  a.parameters["flag"] = flag.string();
  a.inputs.push_back(segment_range{path.string(), segment_id{11}, 0, positions.back(), 0, 0, data_format::lines});
  auto l = n.run(a);
  l->wait_line("mapped");
  std::filesystem::resize_file(path, 8192);  // what is mapped beyond it raises SIGBUS, as a disk error does
  std::ofstream(flag) << "cut";
  const auto failure = l->expect_failed();
  CHECK(failure.kind == failure_kind::input_lost);
  CHECK(failure.lost_input == 0u);
  CHECK(failure.message.find(path.string()) != std::string::npos);
}

TEST_CASE("a block whose bytes do not fit its digest, or that was released, is a lost input") {
  node n;
  auto produced = n.assignment("produce", 0);
  produced.partitions = 1;
  n.run(produced)->expect_finished();
  auto blocks = n.blocks->get(produced.key, partition_index{0});
  REQUIRE_OK(blocks);
  auto a = n.assignment("gather", 1);
  a.partitions = 1;
  auto wrong = *blocks;
  wrong[2].digest.low ^= 1;
  a.inputs.push_back(block_range{wrong, 255, 0, 0});
  auto failure = n.run(a)->expect_failed();
  CHECK(failure.kind == failure_kind::input_lost);
  CHECK(failure.lost_block == wrong[2].id);
  n.blocks->release_attempt(produced.key);
  a.key.attempt = attempt_number{2};
  failure = n.run(a)->expect_failed();
  CHECK(failure.kind == failure_kind::input_lost);
  CHECK(failure.lost_input == 0u);
}

TEST_CASE("more blocks than fit on a page come in order, with counted offsets") {
  node n;
  block_range range;
  range.first_offset = 100;
  std::string expected;
  for (std::uint64_t i = 0; i < 100; ++i) {
    const auto line = "block " + std::to_string(i) + "\n";
    n.blocks->receive(line.size(), [&](result<receive_buffer> buffer) {
      REQUIRE_OK(buffer);
      std::memcpy(buffer->data(), line.data(), line.size());
      auto ref = std::move(*buffer).commit(job_id{1}, 1, xxh3_128(line));
      REQUIRE_OK(ref);
      range.blocks.push_back(*ref);
    });
    expected += std::to_string(100 + i) + ":block " + std::to_string(i) + "\n";
  }
  auto a = n.assignment("copy", 0);
  a.partitions = 1;
  a.inputs.push_back(range);
  CHECK(n.run(a)->expect_finished().input_records == 100);
  CHECK(n.content(a.key, 0) == expected);
}
