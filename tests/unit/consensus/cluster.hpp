#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <support/catch.hpp>
#include <troupe/consensus/raft.hpp>

namespace troupe::consensus {

inline member_id member(unsigned n) {
  member_id id;
  id.value.octets[0] = static_cast<std::uint8_t>(n);
  return id;
}

inline configuration voters(std::initializer_list<unsigned> ids, std::initializer_list<unsigned> learners = {}) {
  configuration c;
  for (const auto n : ids) c.voters.insert(member(n));
  for (const auto n : learners) c.learners.insert(member(n));
  return c;
}

inline time_point at_ms(std::int64_t ms) { return time_point(std::chrono::milliseconds(ms)); }

inline message from(unsigned sender, unsigned receiver, std::uint64_t in_term, message_body body) {
  return {{}, member(sender), member(receiver), term{in_term}, std::move(body)};
}

inline entry command_entry(std::uint64_t in_term, std::uint64_t index, bytes payload) {
  return {term{in_term}, log_index{index}, entry_kind::command, std::move(payload)};
}

/// One member whose effects a test looks at by hand.
struct lone {
  raft r;
  std::vector<effect> seen;

  explicit lone(restored found, options with = {}, unsigned self = 1)
      : r(prepared(with, self), std::move(found), at_ms(0)) {
    take();
  }
  static options prepared(options with, unsigned self) {
    with.self = member(self);
    return with;
  }
  void take() {
    for (auto& e : r.take_effects()) seen.push_back(std::move(e));
  }
  void receive(std::int64_t ms, const message& m) {
    seen.clear();
    r.receive(at_ms(ms), m);
    take();
  }
  /// Everything that was asked to be written is.
  void written(std::int64_t ms) {
    seen.clear();
    r.persisted(at_ms(ms), persist_number{~std::uint64_t{0}});
    take();
  }
  template <class Body>
  [[nodiscard]] std::vector<Body> sent() const {
    std::vector<Body> out;
    for (const auto& e : seen)
      if (const auto* s = std::get_if<effects::send>(&e))
        if (const auto* body = std::get_if<Body>(&s->what.body)) out.push_back(*body);
    return out;
  }
  template <class Effect>
  [[nodiscard]] std::vector<Effect> all() const {
    std::vector<Effect> out;
    for (const auto& e : seen)
      if (const auto* found = std::get_if<Effect>(&e)) out.push_back(*found);
    return out;
  }
};

/// Members with a perfect disk and network of 1 ms, unless `blocked` says otherwise; time goes on in steps of 1 ms.
class cluster {
 public:
  explicit cluster(const configuration& members, options with = {}) : with_(with), members_(members) {
    for (const auto& id : members.voters) add(id.value.octets[0], members);
    for (const auto& id : members.learners) add(id.value.octets[0], members);
  }
  void add(unsigned n, const configuration& knows = {}) {
    auto o = with_;
    o.self = member(n);
    o.seed = n * 7919;
    restored found;
    found.latest.members = knows;
    rafts_[n] = std::make_unique<raft>(o, std::move(found), now());
    drain(n);
  }
  raft& operator[](unsigned n) { return *rafts_.at(n); }
  [[nodiscard]] time_point now() const { return at_ms(ms_); }
  void run(int ms) {
    for (int i = 0; i < ms; ++i) {
      ++ms_;
      for (auto& [n, r] : rafts_) {
        if (stopped.contains(n)) continue;
        r->tick(now());
        drain(n);
      }
      for (auto& m : std::exchange(wire_, {})) {
        const unsigned to = m.to.value.octets[0];
        if (stopped.contains(to) || !rafts_.contains(to) || (blocked && blocked(m.from.value.octets[0], to))) continue;
        rafts_.at(to)->receive(now(), m);
        drain(to);
      }
    }
  }
  /// The leader of the highest term, 0 when there is none.
  [[nodiscard]] unsigned leader() const {
    unsigned best = 0;
    for (const auto& [n, r] : rafts_)
      if (!stopped.contains(n) && r->role() == role::leader && (best == 0 || r->term() > rafts_.at(best)->term()))
        best = n;
    return best;
  }
  unsigned elect() {
    for (int i = 0; i < 3000 && (leader() == 0 || !rafts_.at(leader())->leads_with_committed_entry()); ++i) run(1);
    REQUIRE(leader() != 0);
    return leader();
  }
  void drain(unsigned n) {
    for (;;) {
      const auto todo = rafts_.at(n)->take_effects();
      if (todo.empty()) return;
      for (const auto& e : todo) {
        if (const auto* s = std::get_if<effects::send>(&e)) wire_.push_back(s->what);
        if (const auto* p = std::get_if<effects::persist>(&e)) rafts_.at(n)->persisted(now(), p->number);
        if (const auto* a = std::get_if<effects::apply>(&e))
          for (const auto& applied : a->entries)
            if (applied.kind == entry_kind::command) state[n] += applied.payload;
        if (const auto* restore = std::get_if<effects::restore>(&e)) state[n] = *restore->from.state;
        if (const auto* ready = std::get_if<effects::read_ready>(&e)) reads[n][ready->id.value] = true;
        if (const auto* failed = std::get_if<effects::read_failed>(&e)) reads[n][failed->id.value] = false;
        if (const auto* a = std::get_if<effects::alarm>(&e)) FAIL(a->what);
      }
    }
  }

  std::set<unsigned> stopped;
  std::function<bool(unsigned from, unsigned to)> blocked;
  std::map<unsigned, std::string> state;  ///< the commands, one behind the other
  std::map<unsigned, std::map<std::uint64_t, bool>> reads;

 private:
  options with_;
  configuration members_;
  std::int64_t ms_ = 0;
  std::map<unsigned, std::unique_ptr<raft>> rafts_;
  std::vector<message> wire_;
};

}  // namespace troupe::consensus
