#pragma once
#include <actors/replication/copy_checker.hpp>
#include <actors/replication/leader_host.hpp>
#include <troupe/replication/repair.hpp>

namespace troupe::logs {

/// What goes on beside the appends: makes copies that are missing, gives up those that are too many, looks at old ones,
/// drops what retention has given up, and lets leadership settle. On the log thread.
class housekeeper : public std::enable_shared_from_this<housekeeper> {
 public:
  /// replica_host::adopt.
  using adopt_function =
      std::function<void(segment_id, const format::segment_summary&, std::function<void(result<void>)>)>;
  /// `replica_busy`: whether the replica has orders for a segment under way (replica::busy_with).
  housekeeper(log_context_ptr c, std::shared_ptr<copy_checker> checker, std::shared_ptr<leader_host> leaders,
              std::function<bool(segment_id)> replica_busy, adopt_function adopt);

  void start();
  /// Members or copies have changed: look at once.
  void wake() { changed_.notify_all(); }
  void stop() { changed_.notify_all(); }

 private:
  boost::asio::awaitable<void> repair_for_ever();
  boost::asio::awaitable<void> copy(replication::copy_task task);
  boost::asio::awaitable<result<void>> have_copy(replication::copy_task task, member_id& source);
  boost::asio::awaitable<result<void>> adopt(segment_id id);
  boost::asio::awaitable<result<void>> fetch(replication::copy_task task, member_id& source);
  boost::asio::awaitable<std::set<segment_id>> files_to_adopt();
  boost::asio::awaitable<void> give_up_for_ever();
  boost::asio::awaitable<void> give_up(metadata::remove_holder what);
  boost::asio::awaitable<void> scrub_for_ever();
  boost::asio::awaitable<void> keep_house_for_ever();
  boost::asio::awaitable<check_verdict> check(checked_copy what);
  boost::asio::awaitable<result<metadata::response>> propose(metadata::command what);

  log_context_ptr context_;
  std::shared_ptr<copy_checker> checker_;
  std::shared_ptr<leader_host> leaders_;
  std::function<bool(segment_id)> replica_busy_;
  transport::notifier changed_;
  replication::repair_planner planner_;
  replication::bandwidth_limit bandwidth_;
  replication::bandwidth_limit scrub_bandwidth_;
  replication::scrub_planner scrub_;
  std::set<segment_id> copying_;
  std::map<segment_id, transport::steady_time> failed_until_;
  adopt_function adopt_;
  std::set<segment_id> useless_;  ///< files here that were looked at and are not whole
};

}  // namespace troupe::logs
