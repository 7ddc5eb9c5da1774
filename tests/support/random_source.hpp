#pragma once
#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

/// Random inputs for property tests, all from one seed: what a failing test prints is enough to see it again.
namespace troupe::test {

class random_source {
 public:
  explicit random_source(std::uint64_t seed) : random_(seed) {}

  /// Below `bound`, which is not 0.
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool chance(double p) { return static_cast<double>(random_() % 1'000'000) < p * 1e6; }
  template <class T>
  T one_of(std::initializer_list<T> choices) {
    return *(choices.begin() + below(choices.size()));
  }
  /// Mostly few, sometimes none, one or many: what is at the edges comes often.
  std::size_t size(std::size_t most) {
    switch (below(6)) {
      case 0:
        return 0;
      case 1:
        return 1;
      case 2:
        return most;
      default:
        return below(most + 1);
    }
  }
  /// One of `distinct` texts: some empty, some with zeros or bytes that are no UTF-8, some longer than a table's slot.
  std::string text(std::uint64_t distinct) {
    const auto n = below(distinct);
    if (n == 0) return {};
    std::string out = "k" + std::to_string(n);
    if (n % 7 == 1) out += std::string("\0\xff", 2) + out;
    if (n % 5 == 2) out += std::string(n % 60, 'x');
    return out;
  }
  /// Of signed numbers around zero, few enough that they meet.
  std::int64_t number(std::uint64_t distinct) {
    return static_cast<std::int64_t>(below(distinct)) - static_cast<std::int64_t>(distinct / 2);
  }

 private:
  std::mt19937_64 random_;
};

}  // namespace troupe::test
