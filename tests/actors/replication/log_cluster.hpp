#pragma once
#include <actors/replication/log_plane.hpp>
#include <array>
#include <atomic>

#include "../data/data_cluster.hpp"

/// Several log planes in one process: the nodes of data_test, each with a log plane at its gate.
namespace log_test {

using namespace troupe;
using data_test::data_cluster;
using namespace std::chrono_literals;

class log_cluster : public data_cluster {
 public:
  explicit log_cluster(int nodes, logs::log_plane_options options = {});
  ~log_cluster();

  logs::log_plane& log(int i) { return *logs_[static_cast<std::size_t>(i)]; }
  /// As a killed process: nothing is said to anyone, its port is closed. Metadata hears of it only by `declare_dead`.
  void kill(int i);
  /// What the node's clock says of its lease; nobody is told.
  void set_lease(int i, bool holds) { may_act_[static_cast<std::size_t>(i)] = holds; }
  void declare_dead(int i);
  /// The log plane of a node begins anew on the same disk, with the next incarnation.
  void restart(int i);

  dataset_id create(const std::string& name, std::uint32_t partitions, std::uint32_t copies,
                    std::uint32_t min_copies = 1);
  result<logs::append_outcome> append(int from, const std::string& name, const std::string& lines,
                                      uuid producer = uuid(), std::uint64_t sequence = 0,
                                      std::chrono::milliseconds time_max = 10s);
  result<logs::read_outcome> read(int from, const std::string& name, std::uint32_t partition, std::uint64_t offset,
                                  std::chrono::milliseconds wait = 0ms, std::uint32_t limit = 1000);
  /// All records of a partition as a reader at that node gets them, until `count` have come.
  std::vector<std::string> read_all(int from, const std::string& name, std::uint32_t partition, std::size_t count);
  /// Which node leads a partition, as metadata says; -1 for nobody.
  int leader_of(const std::string& name, std::uint32_t partition = 0);
  metadata::partition partition_of(const std::string& name, std::uint32_t partition = 0);
  int index_of(member_id id);
  /// A batch's worth of lines, each with its number.
  static std::string numbered(int first, int count);

 private:
  void open(int i);
  int count_;
  std::array<std::atomic<bool>, 8> may_act_{true, true, true, true, true, true, true, true};
  logs::log_plane_options options_;
  std::vector<std::unique_ptr<logs::log_plane>> logs_;
  std::vector<std::uint64_t> incarnations_;
};

}  // namespace log_test
