#pragma once
#include <cstdint>
#include <random>
#include <troupe/base/bytes.hpp>
#include <vector>

namespace troupe::fuzz {

/// Good inputs, damaged: flipped bits, cut ends, numbers at their limits where lengths may be, pieces of one input in
/// another. The same sequence for the same seed and the same inputs. Belongs to one thread.
class mutator {
 public:
  mutator(std::uint64_t seed, std::vector<bytes> good) : random_(seed), good_(std::move(good)) {}
  bytes next();

 private:
  const bytes& pick() { return good_[below(good_.size())]; }
  /// [0, n); 0 for n = 0.
  std::size_t below(std::size_t n) { return n == 0 ? 0 : static_cast<std::size_t>(random_() % n); }
  void mutate(bytes& input);

  std::mt19937_64 random_;
  std::vector<bytes> good_;
};

}  // namespace troupe::fuzz
