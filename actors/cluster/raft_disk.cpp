#include <actors/cluster/raft_disk.hpp>
#include <troupe/base/codec.hpp>
#include <troupe/consensus/messages.hpp>

namespace troupe::actors {

using consensus::effects::persist;

namespace {
constexpr std::chrono::milliseconds full_pause{100};  ///< between two tries on a full disk
}

result<consensus::restored> load_raft(const storage::metadata_log& log) {
  consensus::restored found;
  found.state = log.state();
  TROUPE_TRY(const auto saved, log.load_snapshot());
  if (saved) {
    found.latest.index = saved->index;
    found.latest.term = saved->term;
    TROUPE_TRY_VOID(consensus::decode_snapshot_state(saved->state, found.latest));
  }
  // A term is written before the first entry of it, so a hard state that is older than the log is not the last one.
  if (found.state.term < log.last_term())
    return error{errc::corrupted, "the metadata log ends in term " + to_string(log.last_term()) +
                                      ", but the hard state beside it knows term " + to_string(found.state.term) +
                                      " only: a part of raft/ is gone or old, and with it the votes of this member. "
                                      "Restore it, or remove the node's data directory so that it joins as a new one"};
  for (auto next = log.first(); next <= log.last();) {
    TROUPE_TRY(auto part, log.entries(next, log.last()));
    for (auto& e : part) {
      consensus::entry read{e.term, e.index, {}, {}};
      TROUPE_TRY_VOID(consensus::decode_payload(e.payload, read));
      found.entries.push_back(std::move(read));
    }
    next = found.entries.back().index.next();
  }
  return found;
}

result<void> begin_raft(storage::metadata_log& log, const member_id& self) {
  consensus::configuration first;
  first.voters.insert(self);
  const consensus::entry entry{term{1}, log_index{1}, consensus::entry_kind::configuration, codec::encode(first)};
  TROUPE_TRY_VOID(log.save_state({term{1}, self}));
  const storage::log_entry written{entry.term, entry.index, consensus::encode_payload(entry)};
  return log.append({&written, 1});
}

raft_disk::raft_disk(storage::metadata_log log, events then)
    : log_(std::move(log)), then_(std::move(then)), thread_([this] { loop(); }) {}

raft_disk::~raft_disk() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void raft_disk::write(persist what) {
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(what));
  }
  changed_.notify_one();
}

void raft_disk::loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    auto group = std::exchange(queue_, {});
    lock.unlock();
    const auto number = group.back().number;
    const auto outcome = write_group(group);
    if (!outcome && outcome.error().code() == errc::cancelled) return;
    if (!outcome) return then_.failed(outcome.error());
    then_.done(number);
    lock.lock();
  }
}

result<void> raft_disk::until_there_is_room(const std::function<result<void>()>& step) {
  bool told = false;
  for (;;) {
    auto outcome = step();
    if (outcome || outcome.error().code() != errc::resource_exhausted) {
      if (told) then_.has_room();
      return outcome;
    }
    if (!std::exchange(told, true)) then_.full(outcome.error());
    std::unique_lock lock(mutex_);
    if (changed_.wait_for(lock, full_pause, [this] { return stopping_; }))
      return error{errc::cancelled, "the disk was full until the end"};
  }
}

/// In the order of the effects and, within each, of its members; entries that follow each other share one write.
result<void> raft_disk::write_group(std::deque<persist>& group) {
  std::vector<storage::log_entry> entries;
  const auto append = [&]() -> result<void> {
    if (entries.empty()) return ok();
    auto outcome = until_there_is_room([&] { return log_.append(entries); });
    entries.clear();
    return outcome;
  };
  for (auto& what : group) {
    if (what.state || what.truncate_from) TROUPE_TRY_VOID(append());
    if (what.state) TROUPE_TRY_VOID(until_there_is_room([&] { return log_.save_state(*what.state); }));
    if (what.truncate_from) TROUPE_TRY_VOID(log_.truncate_from(*what.truncate_from));
    for (const auto& e : what.entries) entries.push_back({e.term, e.index, consensus::encode_payload(e)});
    if (what.save || what.purge_before) TROUPE_TRY_VOID(append());
    if (what.save) {
      const auto state = consensus::encode_snapshot_state(*what.save);
      TROUPE_TRY_VOID(
          until_there_is_room([&] { return log_.save_snapshot(what.save->index, what.save->term, state); }));
    }
    if (what.purge_before) TROUPE_TRY_VOID(until_there_is_room([&] { return log_.purge_before(*what.purge_before); }));
  }
  return append();
}

}  // namespace troupe::actors
