#pragma once
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <troupe/transport/dial.hpp>
#include <troupe/transport/framed.hpp>

namespace troupe::data {

/// Connections of the block protocol to other members: dialled when needed, kept for the next request, closed when the
/// member is known to be dead. A bounded number of requests runs to one peer at once, the others wait in order until
/// their deadline. Everything on the data plane's I/O thread.
class peer_pool {
 public:
  struct contact {
    std::string name;
    std::string address;
  };
  struct environment {
    /// Who we are, and the host address that connections leave from.
    std::function<transport::dial_request()> request;
    /// Name and address of a member, or why there is no talking to it.
    std::function<result<contact>(member_id)> find;
  };
  static constexpr std::size_t requests_per_peer_max = 8;
  static constexpr std::size_t writers_per_peer_max =
      256;  ///< an open segment holds one; they don't wait for each other
  static constexpr std::size_t waiting_max = 4096;
  static constexpr auto idle_time_max =
      std::chrono::seconds(30);  ///< below the server's, so that it is not the one to close

  enum class purpose { request, writer };

  /// A connection in use. Without give_back it is closed with the lease.
  class lease {
   public:
    lease(lease&& other) noexcept;
    lease& operator=(lease&&) = delete;
    ~lease();
    [[nodiscard]] transport::framed& stream() noexcept { return *stream_; }
    /// It waited in the pool: the peer may have gone meanwhile, so a failure of its first request says nothing.
    [[nodiscard]] bool reused() const noexcept { return reused_; }
    /// The exchange came to its end, the connection is ready for another.
    void give_back() &&;

   private:
    friend class peer_pool;
    lease(peer_pool& pool, member_id member, purpose what) : pool_(&pool), member_(member), what_(what) {}
    peer_pool* pool_;
    member_id member_;
    purpose what_;
    std::unique_ptr<transport::framed> stream_;
    std::list<std::pair<member_id, std::function<void()>>>::iterator in_use_;
    bool registered_ = false;
    bool reused_ = false;
  };

  explicit peer_pool(environment e) : environment_(std::move(e)) {}

  /// A connection to the member. `unavailable` when it is not to be reached, `deadline_exceeded`, `resource_exhausted`
  /// when too many wait, `cancelled` after close. `fresh`: not one that waited in the pool.
  boost::asio::awaitable<result<lease>> get(member_id member, purpose what, transport::steady_time deadline,
                                            bool fresh = false);

  /// Closes everything that goes to this member: whoever waits for it learns at once.
  void drop(member_id member);
  /// Closes everything, for good.
  void close();

 private:
  struct idle {
    std::unique_ptr<transport::framed> stream;
    transport::steady_time since;
  };
  struct peer_state {
    std::size_t running[2] = {0, 0};
    std::vector<idle> idle_streams;
    std::deque<std::shared_ptr<boost::asio::steady_timer>> waiting;
  };
  void release(member_id member, purpose what);

  environment environment_;
  std::map<member_id, peer_state> peers_;
  std::list<std::pair<member_id, std::function<void()>>> in_use_;
  bool closed_ = false;
};

}  // namespace troupe::data
