#pragma once
#include <actors/data/importer.hpp>
#include <actors/data/record_source.hpp>
#include <actors/data/replicated_writer.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <troupe/dataflow/attempt.hpp>
#include <troupe/dataflow/block_store.hpp>
#include <troupe/metadata/service.hpp>
#include <troupe/transport/handshake.hpp>
#include <vector>

namespace troupe::storage {
class segment_store;
}
namespace troupe::telemetry {
class journal;
class logger;
class metrics;
}  // namespace troupe::telemetry
namespace troupe::transport {
class gate;
}

namespace troupe::data {

class module_store;

/// What the data plane stands on; all of it outlives the data plane.
struct data_plane_parts {
  transport::identity self;
  std::string address;  ///< of this node's gate, host:port: outgoing connections come from its host
  storage::segment_store& segments;
  module_store& modules;
  dataflow::block_store& blocks;
  metadata::service& metadata;
  telemetry::journal& journal;
  telemetry::metrics& metrics;
  telemetry::logger& log;
};

struct data_plane_options {
  std::chrono::milliseconds request_time_max{30'000};  ///< of one request to a peer, from its first byte to its last
  std::chrono::milliseconds stall_time_max{
      10'000};  ///< a peer that neither sends nor takes a byte for so long has failed
  std::chrono::milliseconds unknown_file_kept{
      3'600'000};  ///< a file that metadata does not know waits so long before it is removed
  std::chrono::milliseconds collect_interval{
      60'000};                            ///< between two looks for garbage; changes in metadata start one at once
  bool fetch_modules_when_loaded = true;  ///< every node takes a new module at once, so that losing one node loses none
};

/// Blocks fetched for a task that reads a range of a segment: payloads without batch headers, in order, each block
/// whole records.
struct fetched_range {
  std::vector<dataflow::block_ref> blocks;
  record_offset first;  ///< of the first record, within the segment
  std::uint64_t records = 0;
};

/// Everything that moves data between nodes and between a node and its disks: one for each daemon, with one I/O thread
/// and two disk threads of its own, so that no long copy stands in the way of a heartbeat. Every function is
/// thread-safe and returns at once; callbacks come on the I/O thread and must only hand over.
class data_plane {
 public:
  data_plane(data_plane_parts parts, data_plane_options options = {});
  /// Stops.
  ~data_plane();
  data_plane(const data_plane&) = delete;
  data_plane& operator=(const data_plane&) = delete;

  /// Answers the block protocol on this gate. Before the gate listens.
  void serve(transport::gate& gate);
  /// Who this node is, once it knows better (it has joined, or has a new incarnation).
  void set_identity(transport::identity self, std::string address);
  /// Ends every request with `cancelled`, aborts open writers and imports, joins the threads. Idempotent. Stop what
  /// uses importers and exporters (the HTTP server)  before; their handles and writers go before the data plane does.
  void stop();

  template <class T>
  using reply = std::function<void(result<T>)>;

  /// All blocks that `attempt` published for `partition` (an index into the shuffle), in order, into the block store's
  /// receive reserve, digests checked. From the block store itself when `from` is this node. `not_found`: that node no
  /// longer has them (revoke the task); `unavailable`, `deadline_exceeded`: it can't be reached; `resource_exhausted`:
  /// no room came free in time.
  void fetch_map_output(member_id from, const dataflow::attempt_key& attempt, partition_index partition,
                        reply<std::vector<dataflow::block_ref>> then);

  /// The batches of a segment that begin in [from, to) of its batches, from any holder that has them intact, into the
  /// receive reserve of `job`. Damage is reported on the way. `data_loss`: no copy is intact, the message names
  /// dataset, segment and offset. `unavailable`: intact copies may exist on members that can't be reached.
  void fetch_segment_range(job_id job, dataset_id dataset, const metadata::segment& segment, std::uint64_t from,
                           std::uint64_t to, reply<fetched_range> then);

  /// The module's file here, fetched from a holder when it is not here yet; concurrent requests share one fetch. Told
  /// to metadata (module_held).
  void fetch_module(const std::string& hash, std::vector<member_id> holders, reply<std::filesystem::path> then);

  /// Opens a segment on all replicas. Failures to open count as failures of the replica: append or seal report them.
  std::shared_ptr<replicated_writer> open_output(output_spec spec);

  /// Reserves the name and the first segment ids. `then` gets the error of begin_import (`already_exists`…) or of the
  /// placement (too few alive members).
  void start_import(import_options options, reply<std::unique_ptr<importer>> then);
  /// `not_found` when there is no ready dataset of that name.
  result<std::unique_ptr<record_source>> open_dataset(const std::string& name);
  result<std::unique_ptr<exporter>> open_export(const std::string& name, text_format format);
  /// The first `limit` records (at most 10,000), reading no more than about what they need.
  void head(const std::string& name, std::uint64_t limit, reply<std::vector<shown_record>> then);

  /// A copy was found damaged or gone (by a worker, for example). Proposed to metadata once per copy, counted, put in
  /// the journal. `made`: metadata::segment::made of the copy, as it was known before anybody looked.
  void report_damage(dataset_id dataset, segment_id segment, member_id holder, log_index made, const std::string& why);

  /// A copy of a sealed segment of a ready dataset, made here from another member's, every byte checked against its
  /// digest. Metadata is not told. `corrupted` and nothing left when the digest is another; `already_exists` when there
  /// is a sealed file.
  void copy_segment(dataset_id dataset, segment_id segment, member_id from, reply<void> then);

  /// Looks for garbage now; `then` gets the number of files removed.
  void collect_garbage(reply<std::size_t> then);

  /// For coroutines that want to run where the data plane runs.
  boost::asio::io_context& io();

 private:
  struct impl;
  std::unique_ptr<impl> impl_;
};

}  // namespace troupe::data
