#pragma once
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <troupe/sdk/key.hpp>
#include <troupe/sdk/operators.hpp>

namespace troupe::sdk {

/// How many different values there are, from 16,384 registers of a byte (HyperLogLog: Flajolet et al. 2007, without its
/// corrections; estimator of O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", arXiv
/// 1702.01284, section 4, algorithm 6). The standard error is 1.04 / sqrt(16384) = 0.81 %. Registers merge by their
/// maximum, so the answer depends neither on order nor on where the values were divided.
template <class Value>
class distinct_estimate : public folder<std::string, Value> {
 public:
  static constexpr int index_bits = 14;
  static constexpr int rank_max = 64 - index_bits + 1;
  static constexpr std::size_t registers = std::size_t{1} << index_bits;

  std::string init() { return std::string(registers, '\0'); }
  void fold(std::string& all, const Value& value) {
    auto bits = hash_key(key_bytes<Value>::of(value, scratch_));
    // What spreads keys over partitions is good enough for that; here every bit counts.
    bits = hash_final(bits, 0, sizeof bits);
    const auto rest = bits << index_bits;
    const auto rank = rest == 0 ? rank_max : std::countl_zero(rest) + 1;
    auto& at = all[bits >> (64 - index_bits)];
    at = std::max(at, static_cast<char>(rank));
  }
  void merge(std::string& all, const std::string& other) {
    for (std::size_t i = 0; i < registers; ++i) all[i] = std::max(all[i], other[i]);
  }
  std::uint64_t result(const std::string& all) {
    std::size_t of_rank[rank_max + 1] = {};
    for (const char rank : all) ++of_rank[static_cast<unsigned char>(rank)];
    constexpr auto m = static_cast<double>(registers);
    double z = m * tau(1 - static_cast<double>(of_rank[rank_max]) / m);
    for (int k = rank_max - 1; k >= 1; --k) z = 0.5 * (z + static_cast<double>(of_rank[k]));
    z += m * sigma(static_cast<double>(of_rank[0]) / m);
    return static_cast<std::uint64_t>(std::llround(m * m / (2 * std::log(2.0)) / z));
  }

 private:
  static double sigma(double x) {
    if (x == 1) return std::numeric_limits<double>::infinity();
    double y = 1, z = x;
    for (double before = -1; z != before;) {
      x *= x;
      before = z;
      z += x * y;
      y += y;
    }
    return z;
  }
  static double tau(double x) {
    if (x == 0 || x == 1) return 0;
    double y = 1, z = 1 - x;
    for (double before = -1; z != before;) {
      x = std::sqrt(x);
      before = z;
      y *= 0.5;
      z -= (1 - x) * (1 - x) * y;
    }
    return z / 3;
  }
  std::string scratch_;
};

}  // namespace troupe::sdk
