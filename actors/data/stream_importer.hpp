#pragma once
#include <actors/data/batcher.hpp>
#include <actors/data/segment_output.hpp>
#include <set>

namespace troupe::data {

/// What is behind an importer: batches from a batcher go to the open segment's writer; full segments are sealed
/// behind its back while the next one is written.
///
///   bytes → [batcher] → batches → [writer: segment 7 → node1, node2] … [sealing: segment 6 → node2, node3]
///
/// On the I/O thread.
class stream_importer : public std::enable_shared_from_this<stream_importer> {
 public:
  stream_importer(context_ptr c, import_options options);

  boost::asio::awaitable<result<void>> begin();
  boost::asio::awaitable<result<void>> write(bytes_view data);
  boost::asio::awaitable<result<void>> end_of_source();
  boost::asio::awaitable<result<import_result>> finish();
  boost::asio::awaitable<void> abort(error why);
  /// Without waiting for metadata: from a destructor.
  void abandon();
  [[nodiscard]] import_progress progress() const;
  [[nodiscard]] bytes take_rejected() { return batcher_ ? batcher_->take_rejected() : bytes(); }

  /// The handle that callers hold.
  static std::unique_ptr<importer> handle(std::shared_ptr<stream_importer> behind);

 private:
  static constexpr std::uint64_t bytes_in_flight_max = 6 << 20;  ///< of batches that some replica has not written yet
  static constexpr std::size_t sealing_max = 2;  ///< segments that are being synced while the next is written
  static constexpr std::uint32_t ids_at_once = 64;
  static constexpr std::uint32_t partitions_default_max = 1024;

  struct open_segment {
    std::shared_ptr<replicated_writer> writer;
    std::uint32_t partition = 0;
    std::size_t place = 0;  ///< in its partition's list
    std::uint64_t bytes = 0;
    std::vector<member_id> replicas;
  };

  [[nodiscard]] result<void> check_options();
  [[nodiscard]] error too_few_members() const;
  void plan_partitions();
  [[nodiscard]] std::optional<std::uint64_t> boundary() const;
  boost::asio::awaitable<result<void>> place(batcher::batch b);
  boost::asio::awaitable<result<void>> place_first(std::shared_ptr<bytes> payload, std::uint64_t records);
  boost::asio::awaitable<result<void>> open_next();
  boost::asio::awaitable<result<segment_id>> next_id();
  boost::asio::awaitable<result<void>> roll();
  boost::asio::awaitable<void> seal(open_segment s);
  boost::asio::awaitable<result<void>> restore_copies(sealed_output& sealed, partition_index partition);
  boost::asio::awaitable<void> changed();
  void fail(error why);
  void wake();
  [[nodiscard]] std::vector<metadata::partition> result_partitions();

  context_ptr context_;
  import_options options_;
  std::unique_ptr<batcher> batcher_;
  dataset_id dataset_;
  bool begun_ = false;
  bool ended_ = false;  ///< committed or aborted: nothing is left to undo
  std::optional<error> failed_;

  std::vector<context::place> members_;
  std::set<member_id> full_;  ///< had no room for a segment: left out while there are others
  std::uint32_t copies_ = 1;
  std::uint32_t partitions_ = 1;       ///< as planned; grows when the size is unknown
  std::uint64_t partition_bytes_ = 0;  ///< of the plan; 0: the size is unknown
  std::uint32_t partition_ = 0;

  segment_id next_segment_;
  std::uint32_t ids_left_ = 0;
  std::uint64_t segments_begun_ = 0;
  std::optional<open_segment> open_;
  std::size_t sealing_ = 0;
  std::vector<std::vector<metadata::segment>> segments_;  ///< by partition
  std::uint64_t in_flight_ = 0;
  boost::asio::steady_timer wake_;

  std::atomic<std::uint64_t> bytes_taken_{0};
  std::atomic<std::uint64_t> records_{0};
  std::atomic<std::uint64_t> segments_sealed_{0};
  std::uint64_t bytes_stored_ = 0;
};

}  // namespace troupe::data
