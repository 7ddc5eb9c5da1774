#pragma once
#include <actors/replication/leader_host.hpp>
#include <actors/replication/log_links.hpp>
#include <actors/replication/record_split.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>

namespace troupe::logs {

/// Appends for whoever asks this node: divides them among partitions, sends each part to the member that leads, and
/// goes on asking while leaders change. `append` on any thread, the rest on the log thread.
class append_router : public std::enable_shared_from_this<append_router> {
 public:
  append_router(log_context_ptr c, std::shared_ptr<log_links> links, std::shared_ptr<leader_host> leaders)
      : context_(std::move(c)), links_(std::move(links)), leaders_(std::move(leaders)), sweep_timer_(context_->io) {}

  /// At once when it is called on the log thread.
  void append(append_request what, log_plane::reply<append_outcome> then);
  /// A part that another member routed here.
  void serve(shared_bytes call, log_links::answer then);

 private:
  /// An append without a producer borrows one of this node's, so that a retry after a leader's change is known. One
  /// that is lent is not lent again before it is back: its sequences come in order.
  struct lent_producer {
    uuid producer;
    std::uint64_t sequence = 0;
  };
  struct request;
  using request_ptr = std::shared_ptr<request>;
  /// One part that the leader here was asked for. Its time is looked at by a timer that all share.
  struct attempt {
    request_ptr r;
    std::size_t index = 0;
    transport::steady_time until;
    std::list<std::shared_ptr<attempt>>::iterator at;
    bool over = false;
  };

  void begin(const request_ptr& r);
  boost::asio::awaitable<void> find_dataset(request_ptr r);
  void route(const request_ptr& r, const routing_rule& rule);
  void send_part(const request_ptr& r, std::size_t index);
  void ask_here(const request_ptr& r, std::size_t index, const append_call& call, transport::steady_time until);
  void ask_there(const request_ptr& r, std::size_t index, member_id whom, const append_call& call,
                 transport::steady_time until);
  void answered(const request_ptr& r, std::size_t index, result<append_answer> said);
  void send_again(const request_ptr& r, std::size_t index, const error& last);
  void settle(const request_ptr& r, std::size_t index, result<append_answer> said);
  void sweep();
  void fail(request& r, const error& why);
  result<routing_rule> rule_of(const std::string& dataset, dataset_id& id) const;
  void finish(request& r);

  log_context_ptr context_;
  std::shared_ptr<log_links> links_;
  std::shared_ptr<leader_host> leaders_;
  std::vector<lent_producer> idle_producers_;
  std::size_t producers_made_ = 0;
  std::size_t bytes_waiting_ = 0;
  std::list<std::shared_ptr<attempt>> attempts_;
  boost::asio::steady_timer sweep_timer_;
  bool sweeping_ = false;
};

}  // namespace troupe::logs
