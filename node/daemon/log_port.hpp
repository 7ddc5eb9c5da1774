#pragma once
#include <actors/replication/log_plane.hpp>

namespace troupe::node {

/// What the HTTP handlers ask of the log plane, with its meaning: an interface, so that they can be tested and measured
/// without disks and other nodes.
class log_port {
 public:
  template <class T>
  using reply = std::function<void(result<T>)>;

  virtual ~log_port() = default;
  virtual void append(logs::append_request what, reply<logs::append_outcome> then) = 0;
  virtual void read(logs::read_request what, reply<logs::read_outcome> then) = 0;
  virtual void end_offsets(const std::string& dataset, reply<std::vector<logs::offset_range>> then) = 0;
  virtual void open_ends(std::vector<std::string> datasets, reply<std::vector<metadata::open_end>> then) = 0;
  virtual void status(const std::string& dataset, reply<logs::dataset_status> then) = 0;
  virtual void verify(const std::string& dataset, std::chrono::milliseconds time_max,
                      reply<logs::verify_report> then) = 0;
  [[nodiscard]] virtual logs::log_plane::drain_progress draining(const metadata::state& s, member_id who) const = 0;
};

}  // namespace troupe::node
