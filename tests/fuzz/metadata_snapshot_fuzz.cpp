/// Snapshots of the metadata, from a disk or from the member that holds the log; what is restored must go on.
#include <string>
#include <support/codec_property.hpp>
#include <support/metadata_story.hpp>

namespace troupe::fuzz {

void one_input(bytes_view input) {
  auto state = metadata::state::restore(input);
  if (!state) {
    TROUPE_INVARIANT(!state.error().message().empty(), "refused without a word");
    return;
  }
  const auto once = state->snapshot();
  auto again = metadata::state::restore(once);
  TROUPE_INVARIANT(again.has_value(), "a snapshot of its own is refused: " + again.error().message());
  TROUPE_INVARIANT(again->snapshot() == once, "a restored state has another snapshot");
  // Whoever looks around finds what is listed.
  for (const auto& [id, dataset] : state->datasets()) {
    (void)state->is_read(id);
    for (const auto& partition : dataset.partitions)
      for (const auto& segment : partition.segments) (void)state->holders_of(segment.id);
  }
  // And the story goes on, on both alike: commands that meet what the snapshot says.
  static const metadata_story story;
  const auto apply = [&](metadata::command command) {
    metadata::envelope e;
    e.at_unix_ms = 5'000;
    e.command = std::move(command);
    const auto first = state->apply(state->applied().next(), e);
    const auto second = again->apply(again->applied().next(), e);
    TROUPE_INVARIANT(first.has_value() == second.has_value() && (!first || *first == *second),
                     "two members that restored one snapshot answer differently");
  };
  for (const auto& e : story.envelopes()) apply(e.command);
  const auto jobs = state->running_jobs();
  for (const auto id : jobs) {
    const auto epoch = state->find_job(id)->supervisor_epoch;
    apply(metadata::start_job{id, epoch});
    apply(metadata::finish_job{id, epoch, metadata::job_state::succeeded, std::nullopt, 1, 0, 0});
    apply(metadata::cancel_job{id, "enough"});
  }
  std::vector<metadata::command> ends;
  for (const auto& [id, member] : state->members())
    ends.emplace_back(metadata::set_member_state{id, member.incarnation, metadata::member_state::dead, "gone"});
  for (const auto& [id, dataset] : state->datasets()) {
    ends.emplace_back(metadata::commit_import{id, {metadata::partition{}}});
    ends.emplace_back(metadata::abort_import{id});
    ends.emplace_back(metadata::delete_dataset{dataset.name});
  }
  for (auto& command : ends) apply(std::move(command));
  TROUPE_INVARIANT(state->snapshot() == again->snapshot(), "two members that restored one snapshot went apart");
}

std::vector<bytes> seeds() {
  const metadata_story story;
  std::vector<bytes> made{metadata::state().snapshot()};
  metadata::state state;
  for (const auto& e : story.envelopes()) {
    (void)state.apply(state.applied().next(), e);
    made.push_back(state.snapshot());
  }
  return made;
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes, 16 << 20); }

}  // namespace troupe::fuzz
