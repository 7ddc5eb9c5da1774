#pragma once
#include <boost/describe/class.hpp>
#include <optional>
#include <string>
#include <troupe/base/ids.hpp>
#include <troupe/base/result.hpp>
#include <troupe/storage/file.hpp>
#include <vector>

namespace troupe::storage {

/// Who a node is, for as long as its disk lives: the file identity.json, readable by people.
struct identity {
  troupe::cluster_id cluster_id;
  troupe::member_id member_id;
  std::string name;     ///< node1
  std::string address;  ///< host:port of its gate, remembered so that a restart needs no arguments
  troupe::incarnation incarnation;
  std::vector<std::string> seeds;  ///< addresses of others to ask first
  bool keeps_log = false;          ///< raft/ holds this member's log: it must be there
  friend bool operator==(const identity&, const identity&) = default;
};

/// A node's directory: locked against a second process for as long as this lives. One per process.
///
///   DIR/lock            flock'ed, holds the pid
///   DIR/identity.json   identity
///   DIR/raft/           metadata_log
///   DIR/segments/       segment_store
///   DIR/modules/        HASH.so
///   DIR/spill/          cold blocks; emptied at start
///   DIR/logs/
///   DIR/kept/           events.records, jobs/ID.records: for people, never synced
class data_directory {
 public:
  /// Makes what is missing (mode 0700). `failed_precondition` when another process has it, with that one's pid; one
  /// that was killed is waited for, up to 10 s.
  static result<data_directory> open(const std::string& path, file_operations& operations = file_operations::system());

  [[nodiscard]] const std::string& path() const noexcept { return path_; }
  [[nodiscard]] std::string raft() const { return path_ + "/raft"; }
  [[nodiscard]] std::string segments() const { return path_ + "/segments"; }
  [[nodiscard]] std::string modules() const { return path_ + "/modules"; }
  [[nodiscard]] std::string spill() const { return path_ + "/spill"; }
  [[nodiscard]] std::string logs() const { return path_ + "/logs"; }
  [[nodiscard]] std::string events_file() const { return path_ + "/kept/events.records"; }
  [[nodiscard]] std::string job_logs() const { return path_ + "/kept/jobs"; }

  /// Nothing when the directory is new. `corrupted` when the file makes no sense: never silently replaced, for it would
  /// be a new member.
  [[nodiscard]] result<std::optional<identity>> load_identity() const;
  /// Atomic and durable when it returns.
  result<void> save_identity(const identity& who);

  /// What a node has left here («segments/1.seg»), or an empty text: of a directory without identity, whether it is
  /// new.
  [[nodiscard]] result<std::string> holds_data() const;

  /// Removes every file in spill/ : at start nothing in it belongs to anyone. Returns how many.
  result<std::size_t> purge_spill();

  /// Bytes that can still be written here.
  [[nodiscard]] result<std::uint64_t> free_bytes() const;

 private:
  data_directory(std::string path, file lock, file_operations& operations)
      : path_(std::move(path)), lock_(std::move(lock)), operations_(&operations) {}

  std::string path_;
  file lock_;
  file_operations* operations_;
};

}  // namespace troupe::storage
