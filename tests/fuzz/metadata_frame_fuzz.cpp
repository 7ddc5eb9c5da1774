/// Frames between members of the metadata service. The first byte says which.
#include <actors/cluster/metadata_wire.hpp>
#include <support/codec_property.hpp>

namespace troupe::fuzz {
namespace {

using namespace actors::wire;

/// An answer becomes a result whatever its code is, and never a success that was none.
void check_answer(bytes_view input) {
  auto got = codec::decode<answer>(input, "an answer");
  if (!got) return;
  const auto code = got->code;
  const auto outcome = result_of(std::move(*got));
  TROUPE_INVARIANT(outcome.has_value() == (code == errc::none), "an answer changed sides");
  TROUPE_INVARIANT(outcome || outcome.error().code() <= errc::internal, "an error code that this build does not know");
}

}  // namespace

void one_input(bytes_view input) {
  if (!input.empty()) check_answer(input.substr(1));
  check_codec_of_one<hello, welcome, leader_hint, fenced, answer, heartbeat, heartbeat_seen>(input);
}

std::vector<bytes> seeds() {
  return seeds_of_each<hello, welcome, leader_hint, fenced, answer, heartbeat, heartbeat_seen>();
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
