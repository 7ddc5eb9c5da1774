#pragma once
#include <cstddef>
#include <troupe/base/bytes.hpp>
#include <troupe/base/invariant.hpp>
#include <vector>

/// What a fuzz target gives. The harness calls it, under libFuzzer and under the driver alike.
namespace troupe::fuzz {

/// Decodes `input`, and states with TROUPE_INVARIANT what must hold whatever the bytes are. Returns always;
/// deterministic.
void one_input(bytes_view input);

/// Good inputs to begin from, made by the production encoders.
std::vector<bytes> seeds();

/// How much memory `one_input` may hold at once for an input of that size: enough for honest work (decoding, encoding
/// again), far too little for a length field that is believed. The usual answer is `memory_for`.
std::size_t memory_bytes_max(std::size_t input_bytes);

/// `fixed` for buffers of a fixed size, `factor` for what a byte of input may become: 64 bytes is the largest of the
/// codec's elements (a field of a schema takes three bytes at least and 64 in memory), vectors grow by doubling.
constexpr std::size_t memory_for(std::size_t input_bytes, std::size_t fixed = 256 << 10, std::size_t factor = 256) {
  return fixed + factor * input_bytes;
}

}  // namespace troupe::fuzz
