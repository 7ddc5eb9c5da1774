#include "log_cluster.hpp"

namespace log_test {

log_cluster::log_cluster(int nodes, logs::log_plane_options options)
    : data_cluster(nodes), count_(nodes), options_(options), incarnations_(static_cast<std::size_t>(nodes), 1) {
  logs_.resize(static_cast<std::size_t>(nodes));
  for (int i = 0; i < nodes; ++i) open(i);
}

log_cluster::~log_cluster() { logs_.clear(); }

void log_cluster::open(int i) {
  auto& node = (*this)[i];
  transport::identity self;
  self.cluster = id;
  self.member = node.id;
  self.incarnation = incarnation{incarnations_[static_cast<std::size_t>(i)]};
  self.token = "the token of a test";
  node.gate->set_identity(self);
  std::filesystem::create_directories(node.folder / "logs");
  logs::log_plane_parts parts{self,          "127.0.0.1:1", (node.folder / "logs").string(),
                              node.segments, *node.service, *node.plane,
                              node.journal,  node.metrics,  node.log,
                              &node.disk};
  parts.may_act = [holds = &may_act_[static_cast<std::size_t>(i)]] { return holds->load(); };
  auto opened = logs::log_plane::open(parts, options_);
  REQUIRE_OK(opened);
  (*opened)->serve(*node.gate);
  logs_[static_cast<std::size_t>(i)] = std::move(*opened);
}

void log_cluster::kill(int i) {
  (*this)[i].gate->stop();
  logs_[static_cast<std::size_t>(i)].reset();
}

void log_cluster::declare_dead(int i) {
  metadata::set_member_state command;
  command.id = (*this)[i].id;
  command.incarnation = incarnation{incarnations_[static_cast<std::size_t>(i)]};
  command.state = metadata::member_state::dead;
  command.reason = "killed by the test";
  REQUIRE_OK(metadata.propose_and_wait(command));
}

void log_cluster::restart(int i) {
  logs_[static_cast<std::size_t>(i)].reset();
  auto& node = (*this)[i];
  metadata::register_member command;
  command.who.id = node.id;
  command.who.name = node.name;
  command.who.address = transport::to_string(node.gate->local());
  command.who.incarnation = incarnation{++incarnations_[static_cast<std::size_t>(i)]};
  command.who.slots = command.who.cores = 2;
  REQUIRE_OK(metadata.propose_and_wait(command));
  open(i);
}

dataset_id log_cluster::create(const std::string& name, std::uint32_t partitions, std::uint32_t copies,
                               std::uint32_t min_copies) {
  metadata::create_dataset command;
  command.name = name;
  command.partitions = partitions;
  command.copies = copies;
  command.log.min_copies = min_copies;
  auto made = metadata.propose_and_wait(command);
  REQUIRE_OK(made);
  return made->dataset;
}

result<logs::append_outcome> log_cluster::append(int from, const std::string& name, const std::string& lines,
                                                 uuid producer, std::uint64_t sequence,
                                                 std::chrono::milliseconds time_max) {
  logs::append_request request{name, producer, sequence, lines, time_max};
  return ask<logs::append_outcome>([&](auto then) { log(from).append(std::move(request), std::move(then)); });
}

result<logs::read_outcome> log_cluster::read(int from, const std::string& name, std::uint32_t partition,
                                             std::uint64_t offset, std::chrono::milliseconds wait,
                                             std::uint32_t limit) {
  logs::read_request request;
  request.dataset = name;
  request.partition = partition_index{partition};
  request.from = record_offset{offset};
  request.wait = wait;
  request.records_max = limit;
  return ask<logs::read_outcome>([&](auto then) { log(from).read(std::move(request), std::move(then)); });
}

std::vector<std::string> log_cluster::read_all(int from, const std::string& name, std::uint32_t partition,
                                               std::size_t count) {
  std::vector<std::string> out;
  while (out.size() < count) {
    auto got = read(from, name, partition, out.size(), 10s);
    REQUIRE_OK(got);
    if (got->records.empty()) break;
    for (const auto& r : got->records) {
      REQUIRE(r.offset.value == out.size());
      out.emplace_back(r.record);
    }
    REQUIRE(got->next.value == out.size());
  }
  return out;
}

metadata::partition log_cluster::partition_of(const std::string& name, std::uint32_t partition) {
  return dataset(name).partitions.at(partition);
}

int log_cluster::index_of(member_id id) {
  for (int i = 0; i < count_; ++i)
    if ((*this)[i].id == id) return i;
  return -1;
}

int log_cluster::leader_of(const std::string& name, std::uint32_t partition) {
  const auto leader = partition_of(name, partition).log.leader;
  return leader ? index_of(leader->member) : -1;
}

std::string log_cluster::numbered(int first, int count) {
  std::string out;
  for (int i = first; i < first + count; ++i) out += "record " + std::to_string(i) + "\n";
  return out;
}

}  // namespace log_test
