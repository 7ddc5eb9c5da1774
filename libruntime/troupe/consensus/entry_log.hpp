#pragma once
#include <deque>
#include <optional>
#include <span>
#include <troupe/consensus/types.hpp>

namespace troupe::consensus {

/// The end of the log, in memory: entries behind `base`, which a snapshot covers.
///
///   base 40   first 41 … last 57        base 40, no entries: last is 40
class entry_log {
 public:
  entry_log() = default;
  /// `base_term` may be unknown: then nobody can be told what precedes the first entry.
  entry_log(log_index base, std::optional<term> base_term, std::vector<entry> entries);

  [[nodiscard]] log_index base() const noexcept { return base_; }
  [[nodiscard]] log_index first() const noexcept { return base_.next(); }
  [[nodiscard]] log_index last() const noexcept { return log_index{base_.value + entries_.size()}; }
  [[nodiscard]] term last_term() const noexcept;
  [[nodiscard]] std::optional<term> term_at(log_index index) const noexcept;
  /// Nullptr when the index is not in [first, last].
  [[nodiscard]] const entry* find(log_index index) const noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return entries_.size(); }

  /// The entry must be last().next().
  void append(entry e);
  void truncate_from(log_index index);
  /// Forgets entries up to and including `index`, which must not be beyond last().
  void drop_to(log_index index);
  void reset(log_index base, term base_term);

  /// Entries from `from` on: at least one if there is one, at most `count_max` and about `bytes_max` of payload.
  [[nodiscard]] std::vector<entry> copy(log_index from, std::size_t bytes_max, std::size_t count_max) const;

 private:
  log_index base_;
  std::optional<term> base_term_ = term{};
  std::deque<entry> entries_;
};

}  // namespace troupe::consensus
