#pragma once
#include <actors/replication/log_context.hpp>
#include <actors/replication/log_frames.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <set>
#include <troupe/replication/leader.hpp>

namespace troupe::logs {

/// Owns the log_leaders of the partitions that this member leads, or is about to: starts them when placement says so,
/// feeds them, carries out what they decide. On the log thread.
class leader_host : public std::enable_shared_from_this<leader_host> {
 public:
  using appended = replication::effects::appended;
  using send_function = std::function<void(const replication::message&)>;
  leader_host(log_context_ptr c, send_function send);

  /// One batch for a partition. Begins to lead it when nobody else does and this member is next. `unavailable`: another
  /// member should be asked, or the same again soon; `aborted`: who led gave up, a retry finds out how far.
  void append(const partition_key& where, const uuid& producer, std::uint64_t sequence, std::uint32_t count,
              shared_bytes payload, std::function<void(result<appended>)> then);

  void receive(const replication::message& m);
  /// Who should be asked to append: the leader, or the member that should become it; nothing while nobody is there.
  [[nodiscard]] std::optional<member_id> whom_to_ask(const partition_key& where) const;
  /// Partitions of the dataset that this member leads.
  [[nodiscard]] ends_answer ends_of(dataset_id dataset) const;

  void changed(const partition_key& where);
  void changed(dataset_id dataset);
  void changed_all();
  /// Takes over what this member should lead.
  void evaluate();
  /// The same of these only.
  void evaluate(const std::set<partition_key>& of);
  /// That start of it is gone, before metadata says so.
  void member_gone(member_id id, troupe::incarnation was);
  void member_back(member_id id) { gone_.erase(id); }
  /// Shares settle: gives away what somebody else should lead, all of it when this member drains.
  void balance();
  /// This member may lead nothing until further notice, and why; empty: it may again.
  void lease_changed(const std::string& why);
  void stop(const std::string& why);
  [[nodiscard]] std::size_t size() const noexcept { return leaders_.size(); }

 private:
  struct hosted {
    hosted(replication::leader_options o, boost::asio::io_context& io) : leader(std::move(o)), timer(io) {}
    replication::log_leader leader;
    boost::asio::steady_timer timer;
    std::uint64_t last_append = 0;
    struct waiting {
      std::function<void(result<appended>)> then;
      std::uint64_t bytes = 0;
    };
    std::map<replication::append_id, waiting> appends;
    struct arrival {
      replication::append_id id;
      uuid producer;
      std::uint64_t sequence = 0;
      std::uint32_t count = 0;
      shared_bytes payload;
    };
    std::vector<arrival> arrived;  ///< and not given to the leader yet
    bool carrying = false;
    bool ended = false;
  };
  using hosted_ptr = std::shared_ptr<hosted>;

  hosted_ptr start(const partition_key& where, bool old_leader_gone);
  void take_arrived(const partition_key& where, const hosted_ptr& h);
  template <class F>
  void with(const partition_key& where, const hosted_ptr& h, F f);
  void carry_out(const partition_key& where, const hosted_ptr& h);
  void propose(const partition_key& where, const hosted_ptr& h, replication::proposal_number number,
               metadata::command what, request_id id);
  void end(const partition_key& where, const hosted_ptr& h, const std::string& why);
  void end_all(const std::string& why);
  void evaluate_later();
  /// Why nothing may be led or answered for now.
  [[nodiscard]] std::optional<error> without_lease() const;
  [[nodiscard]] std::optional<member_id> whom_to_ask(const metadata::state& s, const partition_key& where) const;
  [[nodiscard]] bool is_gone(const metadata::state& s, const replica_ref& who) const;

  log_context_ptr context_;
  send_function send_;
  std::map<partition_key, hosted_ptr> leaders_;
  std::map<member_id, troupe::incarnation> gone_;  ///< seen to be gone, before metadata says so
  boost::asio::steady_timer evaluate_timer_;
  bool evaluate_soon_ = false;
  std::string lease_lost_;  ///< why; empty: it holds
};

}  // namespace troupe::logs
