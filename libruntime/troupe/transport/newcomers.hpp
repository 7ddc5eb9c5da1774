#pragma once
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <troupe/transport/handshake.hpp>
#include <utility>

/// The gate's two lists of live connections. Thread-safe; entries are tickets that live as long as the connection that
/// keeps them.
namespace troupe::transport {

/// Connections that have not shown who they are, oldest first.
class newcomers : public std::enable_shared_from_this<newcomers> {
 public:
  /// The ticket takes the entry off the list when it goes.
  std::shared_ptr<void> add(std::function<void()> close);
  /// Closes the `count` oldest. They leave the list at once.
  void evict(std::size_t count);
  [[nodiscard]] std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::uint64_t next_ = 0;
  std::map<std::uint64_t, std::function<void()>> oldest_first_;
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
