#pragma once
#include <actors/data/disk_pool.hpp>
#include <actors/replication/log_plane.hpp>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <troupe/replication/options.hpp>
#include <troupe/storage/file.hpp>
#include <troupe/telemetry/metrics.hpp>

namespace troupe::logs {

using replication::partition_key;
using replication::replica_ref;
using replication::shared_bytes;

/// What the parts of one log plane share. Everything belongs to the log thread but what says otherwise. Outlives the
/// parts, and what they still have on the disk threads.
struct log_context : std::enable_shared_from_this<log_context> {
  log_context(log_plane_parts p, log_plane_options o);

  [[nodiscard]] replication::moment now() const;
  [[nodiscard]] std::string name_of(member_id id) const;
  void report(const std::string& kind, const std::string& what, bool alarm);
  void propose(metadata::command what, std::chrono::milliseconds time_max,
               std::function<void(result<metadata::response>)> then);

  log_plane_parts parts;
  log_plane_options options;
  const replica_ref self;
  boost::asio::io_context io;
  data::disk_pool disk;      ///< appends, fences and reads of open segments
  data::disk_pool reading;   ///< reads of sealed segments
  data::disk_pool checking;  ///< whole copies are read and checked: nobody waits for that
  std::atomic<bool> stopping{false};
  std::atomic<std::size_t> appends_under_way{0};

  struct counters {
    telemetry::counter& records_appended;
    telemetry::counter& bytes_appended;
    telemetry::counter& appends_refused;
    telemetry::counter& records_read;
    telemetry::counter& take_overs;
    telemetry::counter& copies_made;
    telemetry::counter& bytes_copied;
    telemetry::counter& copies_checked;
  } count;
};

using log_context_ptr = std::shared_ptr<log_context>;

}  // namespace troupe::logs
