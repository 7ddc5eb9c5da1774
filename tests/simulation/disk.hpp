#pragma once
#include <optional>
#include <tests/simulation/random.hpp>
#include <troupe/consensus/effects.hpp>

namespace troupe::simulation {

/// A voter's three files as bytes, written and read by the production codecs (format/log_entry.hpp), with the file
/// operations of storage::metadata_log: appends that may tear, whole files that are replaced by a rename. What is here
/// is what survives a loss of power.
class disk {
 public:
  explicit disk(const cluster_id& cluster) : cluster_(cluster) {}

  /// Carries a write out to its end, synced.
  void write(const consensus::effects::persist& what) { write_some(what, nullptr); }
  /// The power goes in the middle of the write: some steps happened, the one under way half, the rest not at all.
  void write_torn(const consensus::effects::persist& what, random_source& random) { write_some(what, &random); }
  /// What a start finds. An error is a member that refuses to go on.
  [[nodiscard]] result<consensus::restored> load(const consensus::configuration& first_members) const;
  void wipe();
  [[nodiscard]] std::size_t bytes_used() const noexcept { return log_.size() + state_.size() + snapshot_.size(); }

 private:
  void write_some(const consensus::effects::persist& what, random_source* random);
  void append(const std::vector<consensus::entry>& entries, random_source* tear);
  void truncate_from(log_index index);
  void save_snapshot(const consensus::snapshot& s);
  void make_log_agree(const consensus::snapshot& s);
  void purge_before(log_index index);
  void rewrite(log_index first, bytes kept);
  [[nodiscard]] log_index last() const noexcept { return log_index{first_.value + positions_.size() - 1}; }

  cluster_id cluster_;
  bytes log_, state_, snapshot_;
  // What metadata_log keeps in memory; gone with a crash, rebuilt by `reopen`.
  log_index first_{1};
  std::vector<std::pair<std::size_t, term>> positions_;

 public:
  /// As metadata_log::open: cuts a torn tail, makes the log agree with the snapshot. Call before `load`.
  result<void> reopen();
};

}  // namespace troupe::simulation
