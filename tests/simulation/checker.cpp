#include <tests/simulation/checker.hpp>
#include <troupe/base/checksum.hpp>
#include <troupe/base/codec.hpp>

namespace troupe::simulation {

namespace {
std::uint64_t hash_of(const consensus::entry& e) {
  const auto seed = e.term.value * 31 + static_cast<std::uint64_t>(e.kind);
  return xxh3_64(e.payload) ^ (seed * 0x9e3779b97f4a7c15);
}
}  // namespace

void checker::elected(const consensus::raft& leader, const member_id& id) {
  const auto [at, is_first] = leaders_.emplace(leader.term(), id);
  if (!is_first && at->second != id) fail("two leaders in term " + to_string(leader.term()));
  for (auto index = leader.log().first(); index.value <= committed_.size(); index = index.next()) {
    const auto& fact = committed_[index.value - 1];
    if (fact.committed_in < leader.term() && leader.log().term_at(index) != fact.of)
      return fail("the leader of term " + to_string(leader.term()) + " lacks entry " + to_string(index) +
                  ", which committed in term " + to_string(fact.committed_in) + " or before");
  }
}

void checker::written(const consensus::entry& e, std::optional<term> term_before) {
  const auto [at, is_first] =
      entries_.emplace(e.index.value << 24 | e.term.value, std::pair(hash_of(e), term_before.value_or(term{})));
  if (is_first) return;
  if (at->second.first != hash_of(e))
    return fail("two different entries " + to_string(e.index) + " of term " + to_string(e.term));
  if (term_before && at->second.second.value != 0 && at->second.second != *term_before)
    fail("entry " + to_string(e.index) + " of term " + to_string(e.term) + " has two predecessors");
}

void checker::applied(const consensus::entry& e, term term_of_member, const machine& after, const std::string& who) {
  if (e.index.value > committed_.size() + 1)
    return fail(who + " applied entry " + to_string(e.index) + " before " + std::to_string(committed_.size() + 1));
  if (e.index.value == committed_.size() + 1) {
    if (e.kind == consensus::entry_kind::command) {
      const auto answer = model_.apply(e.index, e.payload);
      const auto c = codec::decode<command>(e.payload, "command");
      if (c && requests_.try_emplace(c->request, effect_of_request{e.index, answer}).second)
        values_[c->key][e.index] = answer;
    } else {
      model_.skip(e.index);
    }
    committed_.push_back({e.term, hash_of(e), term_of_member, model_.hash()});
  }
  const auto& fact = committed_[e.index.value - 1];
  if (fact.of != e.term || fact.hash != hash_of(e))
    return fail(who + " applied another entry " + to_string(e.index) +
                " than a member before it: committed entries changed");
  if (fact.state_hash != after.hash()) fail(who + "'s state machine differs after entry " + to_string(e.index));
}

void checker::restored(const machine& to, const std::string& who) {
  const auto index = to.applied();
  if (index.value == 0) return;
  if (index.value > committed_.size()) return fail(who + " restored a snapshot of what never committed");
  if (committed_[index.value - 1].state_hash != to.hash())
    fail(who + "'s state machine differs after a snapshot at entry " + to_string(index));
}

void checker::queues(const consensus::raft& r, const consensus::options& o, std::size_t disk_queue,
                     const std::string& who) {
  const auto q = r.queues();
  if (r.role() == consensus::role::leader && q.uncommitted_entries > o.uncommitted_entries_max + 8)
    fail(who + " has " + std::to_string(q.uncommitted_entries) + " uncommitted entries: a queue without limit");
  if (q.held_messages > o.held_messages_max || q.reads_waiting > o.reads_waiting_max + 8 ||
      q.appends_in_flight > o.appends_in_flight_max || disk_queue > 2000)
    fail(who + " has a queue beyond its limit: held " + std::to_string(q.held_messages) + ", reads " +
         std::to_string(q.reads_waiting) + ", in flight " + std::to_string(q.appends_in_flight) + ", disk " +
         std::to_string(disk_queue));
}

void checker::write_ends(log_index floor, std::uint64_t request, std::uint64_t answer) {
  ++operations_;
  const auto found = requests_.find(request);
  if (found == requests_.end()) return fail("request " + std::to_string(request) + " was answered and never committed");
  if (found->second.answer != answer)
    return fail("request " + std::to_string(request) + " was answered " + std::to_string(answer) + ", the model says " +
                std::to_string(found->second.answer));
  if (found->second.index <= floor)
    return fail("request " + std::to_string(request) + " took effect before it was made: not linearizable");
  floor_ = std::max(floor_, found->second.index);
}

void checker::read_ends(log_index floor, log_index at, std::uint8_t key, std::uint64_t value) {
  ++operations_;
  if (at < floor)
    return fail("a read saw the state at entry " + to_string(at) + ", though entry " + to_string(floor) +
                " had been answered before it began: stale");
  std::uint64_t expected = 0;
  if (const auto of_key = values_.find(key); of_key != values_.end()) {
    auto next = of_key->second.upper_bound(at);
    if (next != of_key->second.begin()) expected = std::prev(next)->second;
  }
  if (expected != value) return fail("a read at entry " + to_string(at) + " saw a value that was never there");
  floor_ = std::max(floor_, at);
}

}  // namespace troupe::simulation
