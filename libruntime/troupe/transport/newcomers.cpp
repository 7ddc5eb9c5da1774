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

std::shared_ptr<void> newcomers::add(std::function<void()> close) {
  const std::lock_guard lock(mutex_);
  const auto key = next_++;
  oldest_first_.emplace(key, std::move(close));
  return make_ticket([weak = weak_from_this(), key] {
    if (const auto still = weak.lock()) {
      const std::lock_guard guard(still->mutex_);
      still->oldest_first_.erase(key);
    }
  });
}

void newcomers::evict(std::size_t count) {
  std::vector<std::function<void()>> closing;
  {
    const std::lock_guard lock(mutex_);
    while (count-- > 0 && !oldest_first_.empty()) {
      closing.push_back(std::move(oldest_first_.begin()->second));
      oldest_first_.erase(oldest_first_.begin());
    }
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
