#pragma once
#include <boost/asio/ip/address.hpp>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <troupe/transport/handshake.hpp>
#include <utility>

/// The gate's two lists of live connections. Thread-safe; entries are tickets that live as long as the connection that
/// keeps them.
namespace troupe::transport {

/// Connections that have not shown who they are, oldest first. Of one address at most `per_address_max` (loopback is
/// not counted): beyond it its own oldest is closed, so that one address cannot push out the others.
class newcomers : public std::enable_shared_from_this<newcomers> {
 public:
  explicit newcomers(std::size_t per_address_max) : per_address_max_(per_address_max) {}
  /// The ticket takes the entry off the list when it goes.
  std::shared_ptr<void> add(const boost::asio::ip::address& from, std::function<void()> close);
  /// Closes the `count` oldest. They leave the list at once.
  void evict(std::size_t count);
  [[nodiscard]] std::size_t size() const;

 private:
  struct entry {
    std::function<void()> close;
    std::optional<boost::asio::ip::address> share;  ///< of whose share it takes a place
  };
  /// Under the lock.
  std::function<void()> take_off(std::map<std::uint64_t, entry>::iterator at);

  const std::size_t per_address_max_;
  mutable std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, entry> oldest_first_;
  std::map<boost::asio::ip::address, std::set<std::uint64_t>> by_address_;  ///< no empty sets
};

/// Members with a connection of a protocol that allows one each.
class member_registry : public std::enable_shared_from_this<member_registry> {
 public:
  struct outcome {
    std::shared_ptr<void> ticket;  ///< null when refused
    refusal_code refused = refusal_code::already_connected;
  };
  /// The first of its member and protocol, or one of a later incarnation than the one that is connected: which is then
  /// closed. The highest incarnation ever seen is remembered, so that a ghost is refused also after its successor has
  /// gone.
  outcome add(const peer& who, std::function<void()> close);

 private:
  struct entry {
    incarnation highest;
    std::uint64_t key = 0;
    std::function<void()> close;  ///< null: none is connected
  };
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  /// Bounded by the members that the cluster ever had, which all knew the token.
  std::map<std::pair<protocol, member_id>, entry> by_member_;
};

}  // namespace troupe::transport
