#pragma once
#include <boost/asio/any_io_executor.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <troupe/base/bytes.hpp>
#include <troupe/metadata/commands.hpp>
#include <troupe/metadata/service.hpp>
#include <troupe/transport/handshake.hpp>
#include <vector>

namespace troupe::storage {
class file_operations;
class segment_store;
}  // namespace troupe::storage
namespace troupe::telemetry {
class journal;
class logger;
class metrics;
}  // namespace troupe::telemetry
namespace troupe::transport {
class gate;
}
namespace troupe::data {
class data_plane;
}

/// Logs that are replicated and appended to, as the rest of a daemon sees them. doc/design/protocols.md, section 2.
namespace troupe::logs {

using std::chrono::milliseconds;

// ---- appending ----

struct append_request {
  std::string dataset;
  /// Whose append it is: the same producer and sequence sent again is known as a retry, for a day. Nil: the log plane
  /// sees to it that its own retries make no duplicates, but what the caller sends twice is there twice.
  uuid producer;
  std::uint64_t sequence = 0;  ///< grows with each new request of a producer; a lower one than its last is refused
  /// Whole records in the dataset's own format, as in a batch: lines that end with \n, or records behind a varint
  /// length (format::append_record). They were checked against the schema.
  bytes records;
  milliseconds time_max{10'000};  ///< then what is not known to be durable is answered `deadline_exceeded`
};

struct durable_part {
  partition_index partition;
  record_offset first_offset;  ///< within the partition
  std::uint32_t count = 0;
  bool duplicate = false;  ///< an earlier try had appended it
};

struct append_outcome {
  std::vector<durable_part> durable;  ///< by partition; at least one
  /// Present: some partitions are not known to be durable, and why. A retry with the same producer and sequence
  /// completes them.
  std::optional<error> rest;
};

// ---- reading ----

struct read_request {
  std::string dataset;
  partition_index partition;
  record_offset from;  ///< within the partition
  std::uint32_t records_max = 1000;
  std::size_t bytes_max = 4 << 20;  ///< of records, about; at least one record comes
  milliseconds wait{0};  ///< for the first record, when there is none yet; at most limits::long_poll_time_max
};

struct stored_record {
  record_offset offset;                  ///< within the partition
  std::int64_t appended_at_unix_ms = 0;  ///< 0: not appended but imported, or written by a job
  bytes_view record;                     ///< as format::record_reader gives it; lives as long as its read_outcome
};

struct read_outcome {
  dataset_id dataset;
  data_format format = data_format::lines;
  troupe::schema schema;
  std::vector<stored_record> records;
  record_offset next;                                ///< where to go on
  std::vector<std::shared_ptr<const void>> buffers;  ///< that `records` point into
};

/// Offsets of a partition: `begin` is the first that retention has left, records below `end` may be read.
struct offset_range {
  partition_index partition;
  record_offset begin;
  record_offset end;
};

// ---- describing ----

struct partition_status {
  partition_index partition;
  troupe::epoch epoch;
  std::optional<member_id> leader;  ///< nobody leads a partition that nobody has appended to since it began
  std::optional<segment_id> open;   ///< the segment that is appended to
  std::vector<member_id> replicas;  ///< of the open segment
  record_offset begin, end;
  std::uint64_t sealed_segments = 0;
  std::uint64_t bytes = 0;             ///< payload of sealed segments
  std::uint64_t open_bytes = 0;        ///< payload of the open one, as far as it is acknowledged
  std::string refusing;                ///< why appends are refused now; empty when they are not
  std::uint64_t under_replicated = 0;  ///< sealed segments with fewer live copies than wanted
  std::uint64_t under_replicated_bytes = 0;
  std::uint64_t lost = 0;  ///< sealed segments without any copy
};

struct dataset_status {
  dataset_id dataset;
  std::vector<partition_status> partitions;
  std::vector<std::string> notes;  ///< what could not be found out, and why («node3 does not answer»)
};

// ---- verifying ----

enum class copy_state : std::uint8_t {
  intact,
  damaged,      ///< its bytes are wrong; it is taken off the holders and made again from another
  missing,      ///< metadata lists it, the member has no such file
  unreachable,  ///< the member did not answer
};
BOOST_DESCRIBE_ENUM(copy_state, intact, damaged, missing, unreachable)

struct copy_report {
  member_id member;
  std::string node;
  copy_state state = copy_state::intact;
  std::string why;  ///< a sentence unless intact
};

struct segment_report {
  segment_id segment;
  partition_index partition;
  std::uint64_t records = 0;
  bool open = false;       ///< still appended to: its batches were checked, it has no digest yet
  bool repairing = false;  ///< copies are missing, and somebody has what to make them from
  std::vector<copy_report> copies;
};

struct verify_report {
  dataset_id dataset;
  std::uint32_t copies_wanted = 0;
  std::uint64_t segments = 0, records = 0, bytes = 0;  ///< bytes that were read and checked, of all copies
  std::uint64_t copies_intact = 0, copies_bad = 0, copies_unreachable = 0, copies_missing_yet = 0;
  std::uint64_t segments_lost = 0;    ///< not one intact copy was found
  std::vector<segment_report> wrong;  ///< only segments with something to say, at most 1000
};

// ---- the plane ----

/// What it stands on; all of it outlives the log plane.
struct log_plane_parts {
  transport::identity self;
  std::string address;    ///< of this node's gate, host:port: outgoing connections come from its host
  std::string directory;  ///< for the promises
  storage::segment_store& segments;
  metadata::service& metadata;
  data::data_plane& data;  ///< reads and copies sealed segments
  telemetry::journal& journal;
  telemetry::metrics& metrics;
  telemetry::logger& log;
  storage::file_operations* operations = nullptr;  ///< nothing: the operating system's
  /// Whether this member has its lease now, by the clock alone. Any thread. Nothing: always.
  std::function<bool()> may_act{};
};

struct log_plane_options {
  std::uint64_t segment_bytes = 64 << 20;             ///< a segment is sealed at this size
  std::uint64_t repair_bytes_per_second = 64 << 20;   ///< of copies made here
  milliseconds repair_interval{1'000};                ///< between two looks for missing copies
  milliseconds housekeeping_interval{10'000};         ///< retention, shares of leadership
  milliseconds scrub_period{7LL * 24 * 3600 * 1000};  ///< every copy is read and checked once in so long
};

/// One for each daemon, with one thread for the log protocol and two for its disk work. Every function is thread-safe
/// and returns at once; each callback comes once, on the log thread, and must only hand over.
class log_plane {
 public:
  /// Reads the promises. `corrupted`: the member must not guess and needs an empty data directory.
  static result<std::unique_ptr<log_plane>> open(log_plane_parts parts, log_plane_options options = {});
  /// Stops.
  ~log_plane();
  log_plane(const log_plane&) = delete;
  log_plane& operator=(const log_plane&) = delete;

  /// Of the log thread: whoever calls `append` there saves the way to it and back. What runs there must be short.
  [[nodiscard]] boost::asio::any_io_executor executor() const;
  /// That were begun by way of this node and are not answered yet.
  [[nodiscard]] std::size_t appends_under_way() const noexcept;
  /// Answers the log protocol on this gate.
  void serve(transport::gate& gate);
  /// Leads no more, answers everything with `cancelled`, joins its threads. Idempotent.
  void stop();

  /// This member has lost its lease, and why: it leads nothing and acknowledges nothing until it has one again (empty).
  void lease_changed(std::string why);

  template <class T>
  using reply = std::function<void(result<T>)>;

  /// Routes each record (by the dataset's key, or spread), sends the parts to whoever leads the partitions, retries
  /// when leaders change. When nothing became durable, an error: `not_found` (no such dataset), `invalid_argument` (no
  /// whole records, more than 1 MiB for one partition), `aborted` (a sequence below the producer's last),
  /// `failed_precondition` (fewer live members than min_copies; the reason), `resource_exhausted` (queues are full),
  /// `deadline_exceeded` and `unavailable` (not known whether it is appended: retry with the same producer and
  /// sequence).
  void append(append_request what, reply<append_outcome> then);

  /// From any replica, below the high-water mark; no records when none came in time. `not_found` (dataset, partition),
  /// `invalid_argument` (`from` beyond the end), `failed_precondition` (`from` below what retention has left; the
  /// message says where it begins), `unavailable`, `data_loss`.
  void read(read_request what, reply<read_outcome> then);

  /// Of every partition, acknowledged by their leaders.
  void end_offsets(const std::string& dataset, reply<std::vector<offset_range>> then);

  /// How far the open segments of these datasets are acknowledged: what create_job wants beside the names.
  void open_ends(std::vector<std::string> datasets, reply<std::vector<metadata::open_end>> then);

  void status(const std::string& dataset, reply<dataset_status> then);

  /// Every byte of every copy, read where it lies. What is found bad is reported, and so repaired. Takes as long as the
  /// disks take; ends at `time_max` with what was found by then.
  void verify(const std::string& dataset, milliseconds time_max, reply<verify_report> then);

  /// A member that drains: copies of sealed segments that only it still has to give, and partitions it leads or
  /// replicates. All 0: it may leave. Reads metadata only.
  struct drain_progress {
    std::uint64_t segments = 0, bytes = 0, partitions = 0;
    [[nodiscard]] bool done() const noexcept { return segments == 0 && partitions == 0; }
  };
  static drain_progress draining(const metadata::state& s, member_id who);

 private:
  struct impl;
  explicit log_plane(std::unique_ptr<impl> i);
  std::unique_ptr<impl> impl_;
};

}  // namespace troupe::logs
