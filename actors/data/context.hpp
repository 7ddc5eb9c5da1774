#pragma once
#include <actors/data/data_plane.hpp>
#include <actors/data/disk_pool.hpp>
#include <actors/data/peer_pool.hpp>
#include <atomic>
#include <mutex>
#include <set>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/awaiting.hpp>

namespace troupe::data {

/// What the parts of one data plane share. Everything without a lock belongs to the I/O thread. Every coroutine of the
/// data plane holds it.
struct context : std::enable_shared_from_this<context> {
  context(boost::asio::io_context& on, data_plane_parts p, data_plane_options o);

  // Who is who
  [[nodiscard]] transport::identity identity() const;
  void set_identity(transport::identity self, std::string address);
  [[nodiscard]] member_id self() const { return identity().member; }
  [[nodiscard]] bool is_self(member_id id) const { return self() == id; }
  [[nodiscard]] std::string name_of(member_id id) const;
  /// «dataset corpus», or its number when metadata knows it no more.
  [[nodiscard]] std::string describe(dataset_id id) const;
  struct place {
    member_id id;
    std::string name;
  };
  /// Alive members, this one first, the others in the order of their ids from it on: every importer begins elsewhere.
  [[nodiscard]] std::vector<place> alive_members() const;

  // Metadata
  boost::asio::awaitable<result<metadata::response>> propose(metadata::command what,
                                                             std::chrono::milliseconds time_max);
  boost::asio::awaitable<result<void>> barrier(std::chrono::milliseconds time_max);
  /// A copy is bad: once per copy, without waiting for metadata.
  void report_damage(dataset_id dataset, segment_id segment, member_id holder, log_index made, const std::string& why);
  /// Its holders have changed: damage is told again, also what was refused because the copy was the last one.
  void forget_damage(segment_id segment);

  [[nodiscard]] transport::steady_time request_deadline() const { return transport::after(options.request_time_max); }
  [[nodiscard]] transport::steady_time stall_deadline() const { return transport::after(options.stall_time_max); }

  data_plane_parts parts;
  data_plane_options options;
  boost::asio::io_context& io;  ///< one thread runs it
  disk_pool disk;
  peer_pool peers;
  std::atomic<bool> stopping{false};

  /// Segments that are being written on this node: garbage collection passes them by, and nobody opens one twice.
  std::set<segment_id> writing;

  struct counters {
    telemetry::counter& bytes_sent;
    telemetry::counter& bytes_received;
    telemetry::counter& damaged_copies;
    telemetry::counter& replicas_lost;
    telemetry::counter& files_collected;
    telemetry::counter& bytes_imported;
  } count;

 private:
  mutable std::mutex identity_mutex_;
  transport::identity identity_;
  std::string address_;
  std::mutex damage_mutex_;
  std::set<std::tuple<segment_id, member_id, log_index>> damage_reported_;
};

using context_ptr = std::shared_ptr<context>;

/// Wall clock in milliseconds since 1970.
std::int64_t unix_ms_now();

}  // namespace troupe::data
