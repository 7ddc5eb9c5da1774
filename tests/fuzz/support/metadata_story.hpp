#pragma once
#include <troupe/base/codec.hpp>
#include <troupe/metadata/state.hpp>
#include <vector>

/// Commands that make sense together, as seeds: members, an import, a module, a job from its creation to its end, and a
/// dataset that grows.
namespace troupe::fuzz {

class metadata_story {
 public:
  metadata_story() { tell(); }
  [[nodiscard]] const std::vector<metadata::envelope>& envelopes() const noexcept { return envelopes_; }
  [[nodiscard]] const metadata::state& state() const noexcept { return state_; }

 private:
  static member_id member(std::uint8_t n) { return member_id{uuid{{n}}}; }
  static metadata::replica_ref replica(std::uint8_t n) { return {member(n), incarnation{1}}; }

  /// Every other command as from a proposer that would not retry (no id).
  metadata::response apply(metadata::command c) {
    metadata::envelope e;
    if (envelopes_.size() % 2 == 0) e.id.value.octets[0] = static_cast<std::uint8_t>(envelopes_.size() + 1);
    e.at_unix_ms = 1'000 + static_cast<std::int64_t>(envelopes_.size());
    e.command = std::move(c);
    auto answer = state_.apply(state_.applied().next(), e);
    TROUPE_INVARIANT(answer.has_value(), "a seed is refused: " + answer.error().message());
    envelopes_.push_back(std::move(e));
    return *answer;
  }

  static metadata::segment segment_of(segment_id id, std::uint64_t size) {
    metadata::segment s;
    s.id = id;
    s.bytes = s.file_bytes = size;
    s.records = size / 100;
    s.digest = {id.value, 1};
    s.holders = {member(1), member(2)};
    return s;
  }

  void tell() {
    using namespace metadata;
    for (std::uint8_t n = 1; n <= 3; ++n) {
      metadata::member m;
      m.id = member(n);
      m.address = "127.0.0.1:700" + std::to_string(n);
      m.incarnation = incarnation{1};
      m.slots = 2;
      apply(register_member{m});
    }
    begin_import begin;
    begin.name = "corpus";
    begin.importer = member(1);
    const auto begun = apply(begin);
    commit_import commit;
    commit.dataset = begun.dataset;
    commit.partitions.resize(1);
    commit.partitions[0].segments.push_back(segment_of(begun.first_segment, 4'000));
    apply(commit);
    module_info module;
    module.hash = std::string(64, 'a');
    module.name = "words";
    job_description what;
    what.name = "word_count";
    what.stages = 2;
    what.output_schema.fields.push_back({"word", field_type::string, {}});
    module.jobs.push_back(what);
    module.holders = {member(2)};
    apply(load_module{module});
    create_job create;
    create.job_name = "word_count";
    create.inputs = {"corpus"};
    create.output = "counts";
    create.parameters["top"] = "10";
    const auto job = apply(create).job;
    run(job);
    grow();
  }

  void run(job_id job) {
    using namespace metadata;
    const auto epoch = state_.find_job(job)->supervisor_epoch;
    apply(start_job{job, epoch});
    for (const std::uint32_t stage : {0, 1}) {
      commit_task task;
      task.job = job;
      task.epoch = epoch;
      task.stage = stage_index{stage};
      task.commit.attempt = attempt_number{1};
      task.commit.where = member(2);
      task.commit.where_incarnation = incarnation{1};
      task.commit.counters["seen"] = 5;
      if (stage == 1) task.commit.output = segment_of(state_.find_job(job)->first_segment, 200);
      apply(task);
      if (stage == 0) apply(revoke_task{job, epoch, stage_index{0}, task_index{0}, attempt_number{1}});
      if (stage == 0) apply(task);
    }
    apply(finish_job{job, epoch, job_state::succeeded, std::nullopt, 3, 1, 0.5});
  }

  void grow() {
    using namespace metadata;
    create_dataset create;
    create.name = "clicks";
    create.partitions = 2;
    create.copies = 2;
    const auto dataset = apply(create).dataset;
    const auto epoch = apply(take_over{dataset, partition_index{1}, {}, replica(1), false}).epoch;
    seal_and_open open{dataset, partition_index{1}, epoch, replica(1), std::nullopt, {replica(1), replica(2)}};
    const auto opened = apply(open);
    open.epoch = opened.epoch;
    open.seal = sealed_segment{opened.first_segment, 300, 400, 3, {7, 7}, 1'500, {replica(1), replica(2)}};
    const auto again = apply(open);
    apply(add_holder{dataset, opened.first_segment, replica(3), member(1), {7, 7}});
    apply(drain_member{member(2), true});
    apply(set_member_state{member(3), incarnation{1}, member_state::dead, "its lease ran out"});
    apply(release_partition{dataset, partition_index{1}, again.epoch, replica(1)});
    apply(remove_member{member(3), true});
    apply(delete_dataset{"corpus"});
    apply(noop{});
  }

  metadata::state state_;
  std::vector<metadata::envelope> envelopes_;
};

}  // namespace troupe::fuzz
