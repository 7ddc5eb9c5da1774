#pragma once
#include <boost/describe/class.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <troupe/base/bytes.hpp>
#include <troupe/base/ids.hpp>
#include <vector>

namespace troupe::simulation {

/// What clients ask the state machine to do: registers 0 … 7.
struct command {
  std::uint64_t request = 0;  ///< a retry carries the same
  std::uint8_t what = 0;      ///< 0 put, 1 add, 2 put if it is `expected`
  std::uint8_t key = 0;
  std::uint64_t value = 0;
  std::uint64_t expected = 0;
  bytes padding;  ///< makes entries of different sizes
};
BOOST_DESCRIBE_STRUCT(command, (), (request, what, key, value, expected, padding))

/// The replicated state machine of the simulation, and, fed by the checker, the sequential model it is compared with.
class machine {
 public:
  /// The register's value after the command, or the first answer when the request was seen before.
  std::uint64_t apply(log_index index, bytes_view payload);
  void skip(log_index index) { applied_ = index; }  ///< a noop or a configuration
  [[nodiscard]] log_index applied() const noexcept { return applied_; }
  [[nodiscard]] std::uint64_t value(std::uint8_t key) const {
    return registers_.contains(key) ? registers_.at(key) : 0;
  }
  /// Over everything that the state is: registers, and what was answered to whom.
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  [[nodiscard]] bytes save(bool with_requests = true) const;
  void load(bytes_view saved);

 private:
  log_index applied_;
  std::uint64_t hash_ = 0;  ///< chained: two machines that ever differed differ for good
  std::map<std::uint8_t, std::uint64_t> registers_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> answers_;  ///< by request, ascending
};

}  // namespace troupe::simulation
