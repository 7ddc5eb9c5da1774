#pragma once
#include <functional>
#include <memory>
#include <string>
#include <troupe/metadata/model.hpp>
#include <vector>

namespace troupe::data {

/// The segment to write and where its copies go.
struct output_spec {
  segment_id segment;  ///< allocated by metadata before: no file exists without that
  dataset_id dataset;
  partition_index partition;
  data_format format = data_format::lines;
  std::vector<member_id> replicas;   ///< at least one, no one twice; this node may or may not be among them
  std::uint32_t copies_min = 1;      ///< fewer intact replicas than this: the writer fails
  std::uint64_t expected_bytes = 0;  ///< reserved on every disk at once, so that a full one shows early; 0: nothing is
};

/// A replica that did not make it, and why, in a sentence.
struct replica_failure {
  member_id member;
  error why;
};

/// What seal gives: the entry for metadata (holders are the replicas that have it durably, with equal digests) and the
/// replicas that fell out.
struct sealed_output {
  metadata::segment segment;
  std::vector<replica_failure> lost;
};

/// Writes one segment to all its replicas at once: the local copy through the segment store, the others over the block
/// protocol. A replica that fails falls out; the writer goes on with the others while at least copies_min remain and
/// fails otherwise, naming each replica and its reason.
///
/// Owned by whoever opened it (data_plane::open_output), through a shared_ptr: dropping it without seal is an abort.
/// Thread-safe; callbacks come on the data plane's I/O thread, in order, and must only hand over. Nothing is copied: a
/// payload stays the caller's and must stay as it is until its callback.
class replicated_writer {
 public:
  virtual ~replicated_writer() = default;

  using done = std::function<void(result<void>)>;
  /// Appends one batch; it must end at a record border. `then` comes when every replica that is left has written it
  /// (not yet durably): credit is the caller's number of callbacks outstanding, at most `appends_outstanding_max`,
  /// beyond which the answer is `resource_exhausted`.
  virtual void append(bytes_view payload, std::uint64_t records, done then) = 0;

  /// Makes all copies durable, compares their digests, and answers once. Everything appended before is in it. A segment
  /// without a record is not sealed but removed, and answers with records = 0 and no holders.
  virtual void seal(std::function<void(result<sealed_output>)> then) = 0;

  /// Removes every copy that can be reached; outstanding appends answer `cancelled`. The others are garbage that
  /// metadata does not know.
  virtual void abort() = 0;

  static constexpr std::size_t appends_outstanding_max = 256;
};

}  // namespace troupe::data
