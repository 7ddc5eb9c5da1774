#pragma once
#include <cstdint>

namespace troupe::simulation {

/// All chance of a run comes from here: the same seed, the same run, on every machine (splitmix64, no library
/// distributions).
class random_source {
 public:
  explicit random_source(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() noexcept {
    auto z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// In [0, n); 0 for n = 0.
  std::uint64_t below(std::uint64_t n) noexcept { return n == 0 ? 0 : next() % n; }
  /// In [low, high].
  std::int64_t between(std::int64_t low, std::int64_t high) noexcept {
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  bool per_mille(std::uint64_t chance) noexcept { return below(1000) < chance; }
  bool coin() noexcept { return (next() >> 40 & 1) != 0; }

 private:
  std::uint64_t state_;
};

}  // namespace troupe::simulation
