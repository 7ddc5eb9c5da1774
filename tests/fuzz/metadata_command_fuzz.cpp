/// Commands of the metadata log, from whoever could write to it: applied to a state that they make themselves.
///
/// Input: envelopes, each behind its length as a varint.
#include <string>
#include <support/codec_property.hpp>
#include <support/metadata_story.hpp>

namespace troupe::fuzz {
namespace {

constexpr std::size_t envelopes_max = 40;
/// In a snapshot: magic, feature level, and the index that was applied last, which every command moves.
constexpr std::size_t applied_at = 12, applied_end = 20;

bytes without_index(bytes snapshot) {
  snapshot.erase(applied_at, applied_end - applied_at);
  return snapshot;
}

}  // namespace

void one_input(bytes_view input) {
  metadata::state state;
  const char* at = input.data();
  const char* const end = at + input.size();
  for (std::size_t count = 0; at != end && count < envelopes_max; ++count) {
    std::uint64_t size = 0;
    at = load_varint(at, end, size);
    if (at == nullptr || size > static_cast<std::uint64_t>(end - at)) break;
    const bytes_view encoded(at, static_cast<std::size_t>(size));
    at += size;
    const auto envelope = codec::decode<metadata::envelope>(encoded, "envelope");
    if (!envelope) continue;
    check_encodes_again(*envelope, encoded.size());
    const auto before = state.snapshot();
    const auto answer = state.apply(state.applied().next(), *envelope);
    const auto after = state.snapshot();
    if (!answer) {
      TROUPE_INVARIANT(!answer.error().message().empty(), "refused without a word");
      TROUPE_INVARIANT(!envelope->id.is_nil() || without_index(before) == without_index(after),
                       "refused, and yet something changed: " + answer.error().message());
    }
    // A member that starts from the snapshot goes on as those that applied every command.
    auto restored = metadata::state::restore(after);
    TROUPE_INVARIANT(restored.has_value(), "a snapshot of its own is refused: " + restored.error().message());
    TROUPE_INVARIANT(restored->snapshot() == after, "a restored state has another snapshot");
  }
}

std::vector<bytes> seeds() {
  const auto join = [](const std::vector<metadata::envelope>& envelopes) {
    bytes out;
    for (const auto& e : envelopes) {
      const auto encoded = codec::encode(e);
      append_varint(out, encoded.size());
      out += encoded;
    }
    return out;
  };
  const auto story = metadata_story().envelopes();
  std::vector<bytes> made{join(story)};
  for (const auto cut : {story.size() / 4, story.size() / 2})
    made.push_back(join({story.begin(), story.begin() + static_cast<std::ptrdiff_t>(cut)}));
  // After the story, one of each command with values of its own.
  constexpr auto commands = std::variant_size_v<metadata::command>;
  for (std::size_t i = 0; i < commands; ++i) {
    auto more = std::vector(story.begin(), story.begin() + static_cast<std::ptrdiff_t>(story.size() / 2));
    metadata::envelope e;
    boost::mp11::mp_with_index<commands>(
        i, [&](auto which) { sampler(2).fill(e.command.emplace<decltype(which)::value>()); });
    more.push_back(e);
    made.push_back(join(more));
  }
  return made;
}

/// A dataset of 4,096 partitions takes half a MiB and thirty bytes of a command: that is what a person may ask for.
std::size_t memory_bytes_max(std::size_t input_bytes) {
  return memory_for(input_bytes, (8 << 20) + envelopes_max * (2 << 20));
}

}  // namespace troupe::fuzz
