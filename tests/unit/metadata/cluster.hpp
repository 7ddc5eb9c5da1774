#pragma once
#include <support/catch.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/metadata/state.hpp>

/// A state with helpers, for tests: ids are predictable, times are given.
namespace troupe::metadata::testing {

template <class Id>
Id identity_of(std::uint8_t n) {
  Id id;
  id.value.octets[0] = n;
  id.value.octets[15] = 1;
  return id;
}

inline member make_member(std::uint8_t n, std::uint64_t start = 1) {
  member m;
  m.id = identity_of<member_id>(n);
  m.address = "127.0.0.1:" + std::to_string(7000 + n);
  m.incarnation = incarnation{start};
  m.cores = 2;
  m.slots = 2;
  return m;
}

struct cluster {
  metadata::state state;
  std::uint64_t requests = 0;
  std::int64_t now = 1'000;

  result<response> apply(command c) {
    envelope e;
    e.id.value.octets[0] = 0xee;
    store_le(reinterpret_cast<char*>(e.id.value.octets.data()) + 4, ++requests);
    e.at_unix_ms = now;
    e.command = std::move(c);
    return state.apply(state.applied().next(), e);
  }
  /// Applies what has to succeed.
  response must(command c) {
    auto r = apply(std::move(c));
    REQUIRE_OK(r);
    return *r;
  }
  /// Applies what has to be refused, and checks that only the log position and the remembered answer changed.
  error refused(command c) {
    const auto members = state.members();
    const auto datasets = state.datasets();
    const auto jobs = state.jobs();
    const auto modules = state.modules();
    auto r = apply(std::move(c));
    REQUIRE(!r);
    CHECK(state.members() == members);
    CHECK(state.datasets() == datasets);
    CHECK(state.jobs() == jobs);
    CHECK(state.modules() == modules);
    CHECK(!r.error().message().empty());
    return r.error();
  }

  member_id join(std::uint8_t n, std::uint64_t start = 1) {
    must(register_member{make_member(n, start)});
    return identity_of<member_id>(n);
  }

  static segment make_segment(segment_id id, std::uint64_t file_bytes, std::vector<member_id> holders) {
    segment s;
    s.id = id;
    s.bytes = file_bytes;
    s.file_bytes = file_bytes;
    s.records = file_bytes / 100;
    s.digest = {id.value, 1};
    s.holders = std::move(holders);
    return s;
  }

  response begin(const std::string& name, member_id importer, bool replace = false) {
    begin_import b;
    b.name = name;
    b.importer = importer;
    b.replace = replace;
    return must(b);
  }

  /// A dataset of lines: one partition for each list of segment sizes.
  dataset_id import(const std::string& name, const std::vector<std::vector<std::uint64_t>>& sizes,
                    const std::vector<member_id>& holders, bool replace = false) {
    const auto begun = begin(name, holders.front(), replace);
    commit_import c;
    c.dataset = begun.dataset;
    auto next = begun.first_segment;
    for (const auto& p : sizes) {
      auto& made = c.partitions.emplace_back();
      for (const auto size : p) {
        made.segments.push_back(make_segment(next, size, holders));
        next = next.next();
      }
    }
    must(c);
    return begun.dataset;
  }

  static module_info make_module(char digit, const std::string& name, const std::string& job_name,
                                 std::uint32_t stages = 2) {
    module_info m;
    m.hash = std::string(64, digit);
    m.name = name;
    m.size_bytes = 1000;
    job_description d;
    d.name = job_name;
    d.stages = stages;
    m.jobs.push_back(d);
    return m;
  }

  job_id run(const std::string& job_name, const std::string& input, const std::string& output, bool replace = false) {
    create_job c;
    c.job_name = job_name;
    c.inputs = {input};
    c.output = output;
    c.replace = replace;
    const auto made = must(c);
    const auto& j = *state.find_job(made.job);
    must(start_job{made.job, j.supervisor_epoch});
    return made.job;
  }

  commit_task task(job_id id, std::uint32_t stage, std::uint32_t index, member_id where,
                   std::uint32_t attempt = 1) const {
    const auto& j = *state.find_job(id);
    commit_task c;
    c.job = id;
    c.epoch = j.supervisor_epoch;
    c.stage = stage_index{stage};
    c.task = task_index{index};
    c.commit.attempt = attempt_number{attempt};
    c.commit.where = where;
    c.commit.where_incarnation = state.find_member(where)->incarnation;
    c.commit.digest = {stage, index};
    c.commit.input_bytes = 10;
    c.commit.input_records = 2;
    c.commit.output_records = 3;
    c.commit.counters["seen"] = 5;
    if (stage + 1 == j.description.stages)
      c.commit.output = make_segment(
          segment_id{j.first_segment.value + std::uint64_t{index} * attempts_per_task + attempt - 1}, 50, {where});
    return c;
  }

  result<response> finish(job_id id, job_state outcome = job_state::succeeded) {
    return apply(finish_job{id, state.find_job(id)->supervisor_epoch, outcome, std::nullopt, 7, 1, 0.5});
  }
};

inline constexpr std::uint64_t mib = 1 << 20;

}  // namespace troupe::metadata::testing
