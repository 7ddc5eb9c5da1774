#pragma once
#include <map>
#include <optional>
#include <string>
#include <tests/simulation/machine.hpp>
#include <troupe/consensus/raft.hpp>
#include <unordered_map>

namespace troupe::simulation {

/// Sees everything at once, as no member can, and remembers the first thing that must never be. Not told of the planted
/// bugs.
class checker {
 public:
  [[nodiscard]] const std::optional<std::string>& failure() const noexcept { return failure_; }
  void fail(std::string why) {
    if (!failure_) failure_ = std::move(why);
  }

  /// Election safety, and leader completeness: the leader has every entry that committed in an earlier term.
  void elected(const consensus::raft& leader, const member_id& id);
  /// Log matching: an index and a term name one entry and one predecessor, wherever they are written.
  void written(const consensus::entry& e, std::optional<term> term_before);
  /// State machine safety: every member applies the same entry at an index.
  void applied(const consensus::entry& e, term term_of_member, const machine& after, const std::string& who);
  void restored(const machine& to, const std::string& who);
  void queues(const consensus::raft& r, const consensus::options& o, std::size_t disk_queue, const std::string& who);

  // History of clients. An operation that ends before another begins comes before it (linearizability, with the log as
  // witness).
  [[nodiscard]] log_index begins() const noexcept { return floor_; }
  void write_ends(log_index floor, std::uint64_t request, std::uint64_t answer);
  void read_ends(log_index floor, log_index at, std::uint8_t key, std::uint64_t value);

  [[nodiscard]] log_index committed() const noexcept { return log_index{committed_.size()}; }
  [[nodiscard]] std::uint64_t hash_at(log_index index) const { return committed_[index.value - 1].state_hash; }
  [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }

 private:
  struct fact {
    term of;
    std::uint64_t hash;
    term committed_in;  ///< at most
    std::uint64_t state_hash;
  };
  struct effect_of_request {
    log_index index;
    std::uint64_t answer;
  };
  std::optional<std::string> failure_;
  std::map<term, member_id> leaders_;
  std::unordered_map<std::uint64_t, std::pair<std::uint64_t, term>> entries_;  ///< by index and term: hash, term before
  std::vector<fact> committed_;
  machine model_;
  std::unordered_map<std::uint64_t, effect_of_request> requests_;
  std::map<std::uint8_t, std::map<log_index, std::uint64_t>> values_;
  log_index floor_;
  std::uint64_t operations_ = 0;
};

}  // namespace troupe::simulation
