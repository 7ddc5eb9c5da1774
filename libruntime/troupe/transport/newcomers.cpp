#include <troupe/transport/address_share.hpp>
#include <troupe/transport/newcomers.hpp>
#include <vector>

namespace troupe::transport {

namespace {
/// Calls a function when it goes.
template <class F>
std::shared_ptr<void> make_ticket(F f) {
  struct ticket {
    explicit ticket(F at_end) : f(std::move(at_end)) {}
    ~ticket() { f(); }
    ticket(const ticket&) = delete;
    ticket& operator=(const ticket&) = delete;
    F f;
  };
  return std::make_shared<ticket>(std::move(f));
}
}  // namespace

std::function<void()> newcomers::take_off(std::map<std::uint64_t, entry>::iterator at) {
  if (at->second.share) {
    const auto share = by_address_.find(*at->second.share);
    share->second.erase(at->first);
    if (share->second.empty()) by_address_.erase(share);
  }
  auto close = std::move(at->second.close);
  oldest_first_.erase(at);
  return close;
}

std::shared_ptr<void> newcomers::add(const boost::asio::ip::address& from, std::function<void()> close) {
  std::function<void()> displaced;
  std::uint64_t key = 0;
  {
    const std::lock_guard lock(mutex_);
    key = next_++;
    entry fresh{std::move(close), std::nullopt};
    if (has_share(from)) {
      fresh.share = share_key(from);
      auto& theirs = by_address_[*fresh.share];
      theirs.insert(key);
      if (theirs.size() > per_address_max_ && *theirs.begin() != key)
        displaced = take_off(oldest_first_.find(*theirs.begin()));
    }
    oldest_first_.emplace(key, std::move(fresh));
  }
  if (displaced) displaced();
  return make_ticket([weak = weak_from_this(), key] {
    if (const auto still = weak.lock()) {
      const std::lock_guard guard(still->mutex_);
      if (const auto at = still->oldest_first_.find(key); at != still->oldest_first_.end()) still->take_off(at);
    }
  });
}

void newcomers::evict(std::size_t count) {
  std::vector<std::function<void()>> closing;
  {
    const std::lock_guard lock(mutex_);
    while (count-- > 0 && !oldest_first_.empty()) closing.push_back(take_off(oldest_first_.begin()));
  }
  for (const auto& close : closing) close();
}

std::size_t newcomers::size() const {
  const std::lock_guard lock(mutex_);
  return oldest_first_.size();
}

member_registry::outcome member_registry::add(const peer& who, std::function<void()> close) {
  std::function<void()> displaced;
  outcome out;
  {
    const std::lock_guard lock(mutex_);
    const std::pair key(who.protocol, who.member);
    auto& known = by_member_[key];
    if (who.incarnation < known.highest) return {nullptr, refusal_code::stale_incarnation};
    if (known.close && who.incarnation == known.highest) return {nullptr, refusal_code::already_connected};
    displaced = std::exchange(known.close, std::move(close));
    known.highest = who.incarnation;
    known.key = next_++;
    out.ticket = make_ticket([weak = weak_from_this(), key, mine = known.key] {
      const auto still = weak.lock();
      if (!still) return;
      const std::lock_guard guard(still->mutex_);
      auto& entry = still->by_member_[key];
      if (entry.key == mine) entry.close = nullptr;
    });
  }
  if (displaced) displaced();
  return out;
}

}  // namespace troupe::transport
