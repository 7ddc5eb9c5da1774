#pragma once
#include <actors/cluster/metadata_options.hpp>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>
#include <troupe/metadata/service.hpp>
#include <troupe/telemetry/log.hpp>
#include <troupe/telemetry/metrics.hpp>
#include <troupe/transport/connection.hpp>
#include <unordered_map>

namespace troupe::actors {

using steady_time = std::chrono::steady_clock::time_point;

/// This node's part in the metadata's consensus, as the core sees it. Called on the metadata thread.
class metadata_role {
 public:
  virtual ~metadata_role() = default;
  virtual void start() = 0;
  /// Takes an encoded envelope towards the log. Its answer comes by `metadata_core::settle`.
  virtual void submit(request_id id, const bytes& envelope) = 0;
  /// Answers by `metadata_core::settle_barrier`.
  virtual void ask_barrier(std::uint64_t number) = 0;
  /// A connection of protocol raft came in.
  virtual void accept(transport::connection stream) = 0;
  virtual void tick(steady_time now) = 0;
  /// After each applied command, also one that was refused; `repeated` had its effect before.
  virtual void applied(log_index index, const metadata::envelope& what, const result<metadata::response>& answer,
                       bool repeated) = 0;
  /// Closes everything; coroutines end soon after.
  virtual void stop() = 0;
};

/// What stands above consensus: the state, requests under way with their deadlines, observers, the fence. Owned by
/// metadata_node; runs on the metadata thread, save where it says so.
class metadata_core {
 public:
  metadata_core(metadata_options options, telemetry::logger& log, telemetry::metrics& metrics,
                boost::asio::io_context& io, std::shared_mutex& mutex, metadata::state& state);

  // Any thread
  void propose(metadata::command what, request_id id, std::chrono::milliseconds deadline,
               metadata::service::reply then);
  void barrier(std::chrono::milliseconds deadline, std::function<void(result<void>)> then);
  std::function<void()> observe(metadata::service::observer f);
  void set_leader(member_id id, std::string address);
  [[nodiscard]] std::pair<member_id, std::string> leader() const;
  /// No request is taken any more; those under way answer `cancelled` on the metadata thread.
  void close();
  /// After the metadata thread has ended: roles and core refer to each other.
  void drop_role() {
    role_.reset();
    timer_.reset();
  }

  // Metadata thread
  void start(std::shared_ptr<metadata_role> role);
  void apply(log_index index, const metadata::envelope& what);
  /// An entry of consensus itself, which is no command: only its index counts.
  void skip(log_index index);
  /// Puts a whole state in the place of the present one.
  void install(metadata::state fresh);
  void settle(request_id id, const result<metadata::response>& answer);
  void settle_barrier(std::uint64_t number, const result<void>& answer);
  [[nodiscard]] bool barrier_waits(std::uint64_t number) const { return barriers_.contains(number); }
  [[nodiscard]] bool has_requests() const noexcept { return !requests_.empty(); }
  /// Hands everything that is under way to the role again: somebody else leads.
  void submit_all();
  /// This incarnation is no member any more. Once.
  void fence(std::string reason);
  /// Until when this node may act by its own clock; and why it has lost its lease, empty while it has not. The owner
  /// hears when that changes.
  void note_lease(steady_time acts_until, const std::string& lost);
  /// Fences when the state says that this incarnation is gone.
  void look_for_fence();
  /// Commits register_member, however long it takes; `then` once.
  void register_self(std::function<void(result<std::string>)> then);

  [[nodiscard]] bool stopping() const noexcept { return stopping_; }
  [[nodiscard]] bool is_fenced() const noexcept { return fenced_; }

  const metadata_options options;
  const metadata_limits& limits;
  telemetry::logger& log;
  boost::asio::io_context& io;
  metadata::state& state;  ///< changed only by apply and install, so the metadata thread reads it without the lock
  std::atomic<bool> connected{false};
  /// Monotonic: until then this node answers for what it leads.
  std::atomic<std::int64_t> acts_until_ns{0};
  std::atomic<std::uint64_t> applied{0};

 private:
  struct request {
    request_id id;
    bytes envelope;
    steady_time begun;
    steady_time deadline;
    std::vector<metadata::service::reply> replies;
  };
  struct waiting_barrier {
    steady_time deadline;
    std::function<void(result<void>)> then;
  };
  void take(request r);
  void finish(std::map<std::uint64_t, request>::iterator at, const result<metadata::response>& answer);
  void notify(log_index index, const metadata::command& what, const result<metadata::response>& answer);
  void tick();
  void expire(steady_time now);
  void cancel_all(const error& why);
  void try_register(const std::shared_ptr<std::function<void(result<std::string>)>>& then);
  [[nodiscard]] error no_answer() const;

  std::shared_mutex& mutex_;
  std::shared_ptr<metadata_role> role_;
  std::optional<boost::asio::steady_timer> timer_;  ///< goes before its context
  std::map<std::uint64_t, request> requests_;       ///< in the order in which they came
  std::unordered_map<request_id, std::uint64_t> numbers_;
  std::set<std::pair<steady_time, std::uint64_t>> deadlines_;
  std::uint64_t next_number_ = 1;
  std::map<std::uint64_t, waiting_barrier> barriers_;
  bool stopping_ = false;
  bool fenced_ = false;
  std::string fence_reason_;
  bool lease_lost_ = false;
  request_id registration_ = request_id::random();

  // Any thread
  mutable std::mutex door_mutex_;
  bool closed_ = false;
  std::atomic<std::size_t> underway_{0};
  std::atomic<std::size_t> underway_bytes_{0};
  struct observers {
    std::recursive_mutex mutex;  ///< an observer may end itself
    std::map<std::uint64_t, metadata::service::observer> list;
    std::uint64_t next = 1;
  };
  std::shared_ptr<observers> observers_ = std::make_shared<observers>();
  mutable std::mutex leader_mutex_;
  member_id leader_;
  std::string leader_address_;

  telemetry::gauge& applied_gauge_;
  telemetry::counter& requests_counter_;
  telemetry::counter& expired_counter_;
  telemetry::histogram& commit_seconds_;
};

}  // namespace troupe::actors
