#include <algorithm>
#include <troupe/base/checksum.hpp>
#include <troupe/replication/placement.hpp>

namespace troupe::replication::placement {
namespace {

std::uint64_t weight_of(const partition_key& where, member_id who) {
  char raw[28];
  store_le(raw, where.dataset.value);
  store_le(raw + 8, where.partition.value);
  store_le(raw + 12, who.value.octets);
  return xxh3_64({raw, sizeof raw});
}

bool is_away(const metadata::state& s, const metadata::partition_log& log) {
  if (!log.leader || !s.is_current(*log.leader)) return true;
  return s.find_member(log.leader->member)->draining;
}

template <class F>
void each_partition(const metadata::state& s, F&& f) {
  for (const auto& [id, d] : s.datasets()) {
    if (d.state != metadata::dataset_state::ready) continue;
    for (std::uint32_t p = 0; p < d.partitions.size(); ++p) f(partition_key{id, partition_index{p}}, d.partitions[p]);
  }
}

}  // namespace

std::vector<replica_ref> ranked(const metadata::state& s, const partition_key& where) {
  std::vector<std::pair<std::uint64_t, replica_ref>> all;
  for (const auto& [id, m] : s.members())
    if (s.takes_copies(id)) all.emplace_back(weight_of(where, id), replica_ref{id, m.incarnation});
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return b < a; });
  std::vector<replica_ref> out;
  out.reserve(all.size());
  for (const auto& [weight, who] : all) out.push_back(who);
  return out;
}

std::vector<replica_ref> choose_replicas(const metadata::state& s, const partition_key& where,
                                         const replica_ref& leader, std::span<const replica_ref> avoid) {
  std::vector<replica_ref> chosen;
  const auto* d = s.find_dataset(where.dataset);
  if (d == nullptr) return chosen;
  const auto avoided = [&](const replica_ref& who) {
    return std::find(avoid.begin(), avoid.end(), who) != avoid.end();
  };
  auto all = ranked(s, where);
  std::stable_partition(all.begin(), all.end(), [&](const replica_ref& who) { return who == leader; });
  for (const auto& who : all)
    if (chosen.size() < d->copies && !avoided(who)) chosen.push_back(who);
  return chosen;
}

std::optional<replica_ref> next_leader(const metadata::state& s, const partition_key& where) {
  const auto* p = s.find_partition(where.dataset, where.partition);
  if (p == nullptr) return std::nullopt;
  const auto all = ranked(s, where);
  if (all.empty()) return std::nullopt;
  if (p->log.open) {
    const auto& replicas = p->log.open->replicas;
    for (const auto& who : all)
      if (std::find(replicas.begin(), replicas.end(), who) != replicas.end()) return who;
  }
  return all.front();
}

std::vector<partition_key> to_lead(const metadata::state& s, member_id self) {
  std::vector<partition_key> out;
  if (!s.takes_copies(self)) return out;
  each_partition(s, [&](const partition_key& where, const metadata::partition& p) {
    if (!is_away(s, p.log)) {
      if (p.log.leader->member == self) out.push_back(where);
    } else if (p.log.open) {
      if (const auto next = next_leader(s, where); next && next->member == self) out.push_back(where);
    }
  });
  return out;
}

std::optional<gift> to_give_away(const metadata::state& s, member_id self) {
  std::map<member_id, std::size_t> leads;
  std::optional<gift> given;
  std::size_t partitions = 0;
  for (const auto& [id, m] : s.members())
    if (s.takes_copies(id)) leads.emplace(id, 0);
  if (leads.size() < 2 || !leads.contains(self)) return std::nullopt;
  each_partition(s, [&](const partition_key&, const metadata::partition& p) {
    if (is_away(s, p.log)) return;
    ++partitions;
    if (const auto at = leads.find(p.log.leader->member); at != leads.end()) ++at->second;
  });
  if (leads.at(self) <= partitions / leads.size() + 1) return std::nullopt;
  each_partition(s, [&](const partition_key& where, const metadata::partition& p) {
    if (given || is_away(s, p.log) || p.log.leader->member != self) return;
    const auto all = ranked(s, where);
    if (all.front().member != self && leads.at(all.front().member) + 1 < leads.at(self))
      given = gift{where, all.front()};
  });
  return given;
}

}  // namespace troupe::replication::placement
