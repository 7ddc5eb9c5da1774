/// Frames of the protocol `block`: appends to replicas, ranges and map outputs, copies. The first byte says which.
#include <actors/data/block_protocol.hpp>
#include <support/codec_property.hpp>

namespace troupe::fuzz {

using namespace data::block_protocol;

void one_input(bytes_view input) {
  check_codec_of_one<failure, get_map_output, get_range, get_module, get_raw, open_segment, pull_segment, block_head,
                     append_head, format::segment_summary>(input);
}

std::vector<bytes> seeds() {
  // Heads are read before what they announce: their size is part of the protocol.
  TROUPE_INVARIANT(codec::encode(block_head{}).size() == block_head::wire_bytes, "block_head::wire_bytes");
  TROUPE_INVARIANT(codec::encode(append_head{}).size() == append_head::wire_bytes, "append_head::wire_bytes");
  return seeds_of_each<failure, get_map_output, get_range, get_module, get_raw, open_segment, pull_segment, block_head,
                       append_head, format::segment_summary>();
}

std::size_t memory_bytes_max(std::size_t input_bytes) { return memory_for(input_bytes); }

}  // namespace troupe::fuzz
