#pragma once
#include "node/daemon/log_port.hpp"

namespace troupe::node {

/// The log plane as the handlers see it. Owned by the daemon, beside the plane.
class log_plane_port final : public log_port {
 public:
  explicit log_plane_port(logs::log_plane& plane) : plane_(plane) {}

  void append(logs::append_request what, reply<logs::append_outcome> then) override {
    plane_.append(std::move(what), std::move(then));
  }
  void read(logs::read_request what, reply<logs::read_outcome> then) override {
    plane_.read(std::move(what), std::move(then));
  }
  void end_offsets(const std::string& dataset, reply<std::vector<logs::offset_range>> then) override {
    plane_.end_offsets(dataset, std::move(then));
  }
  void open_ends(std::vector<std::string> datasets, reply<std::vector<metadata::open_end>> then) override {
    plane_.open_ends(std::move(datasets), std::move(then));
  }
  void status(const std::string& dataset, reply<logs::dataset_status> then) override {
    plane_.status(dataset, std::move(then));
  }
  void verify(const std::string& dataset, std::chrono::milliseconds time_max,
              reply<logs::verify_report> then) override {
    plane_.verify(dataset, time_max, std::move(then));
  }
  [[nodiscard]] logs::log_plane::drain_progress draining(const metadata::state& s, member_id who) const override {
    return logs::log_plane::draining(s, who);
  }

 private:
  logs::log_plane& plane_;
};

}  // namespace troupe::node
