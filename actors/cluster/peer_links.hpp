#pragma once
#include <actors/cluster/metadata_core.hpp>
#include <actors/cluster/peer_link.hpp>
#include <random>

namespace troupe::actors {

/// What peer_links asks of its owner and tells it. Metadata thread.
class peer_owner {
 public:
  /// How this node introduces itself.
  [[nodiscard]] virtual wire::hello greeting() const = 0;
  [[nodiscard]] virtual wire::leader_hint leader_known() const = 0;
  /// A peer that proved to be `who` is met, by whoever dialled. A reason refuses it: its incarnation is no member.
  [[nodiscard]] virtual std::optional<std::string> refuses(const transport::peer& who, const wire::hello& said) = 0;
  /// A connection with that member is up.
  virtual void came(const transport::peer& who) = 0;
  /// The last connection with that member has ended.
  virtual void went(const transport::peer& who) = 0;
  /// Something else than greetings came.
  virtual void received(peer_link& from, transport::frame what) = 0;
  /// The peer says that this node is no member any more.
  virtual void fenced_by(std::string reason) = 0;
  /// Nobody listens at the address of that member.
  virtual void nobody_there(const member_id& who) = 0;
  virtual void hinted(const wire::leader_hint& at) = 0;

 protected:
  ~peer_owner() = default;
};

/// The connections of protocol raft between this node and the other members. Every node dials every voter and keeps
/// what comes in; a connection serves both ways, whoever dialled. Two between a pair do no harm. Both sides speak up
/// every heartbeat interval, so a connection that is silent is dead. Metadata thread; kept alive by its coroutines.
class peer_links : public std::enable_shared_from_this<peer_links> {
 public:
  peer_links(metadata_core& core, peer_owner& owner);

  void accept(transport::connection stream);
  /// Dials whom it has to dial now: `wanted` members, and the seeds while `searching` for anyone who knows the leader.
  void maintain(steady_time now, const std::set<member_id>& wanted, bool searching);
  /// False when there is no connection: the frame is lost.
  bool send(const member_id& to, wire::frame_type type, bytes payload);
  /// Ends the connections of that member's starts up to `its` with the next `dismiss_due`, after telling it why: behind
  /// what it is still sent until then.
  void dismiss(const member_id& id, troupe::incarnation its, const std::string& reason);
  void dismiss_due();
  /// The same for starts before `its`, at once.
  void dismiss_older(const member_id& id, troupe::incarnation its, const std::string& address);
  /// A heartbeat on every connection that was dialled from here.
  void beat(steady_time now);
  void stop();

  [[nodiscard]] bool linked(const member_id& id) const;
  /// Where the member listens, as far as is known.
  [[nodiscard]] std::string address_of(const member_id& id) const;
  void note_address(const member_id& id, troupe::incarnation its, const std::string& address);
  /// The cluster that this node belongs to, once somebody of it was met.
  [[nodiscard]] cluster_id cluster() const noexcept { return self_.cluster; }

 private:
  struct member {
    troupe::incarnation incarnation;  ///< the newest that was met
    std::string address;
    std::shared_ptr<peer_link> dialled;
    std::set<std::shared_ptr<peer_link>> accepted;
  };
  struct target {
    bool busy = false;
    std::chrono::milliseconds backoff{};
    steady_time next{};
    member_id found;  ///< who was there last
  };
  boost::asio::awaitable<void> dial(std::string address, member_id expected);
  boost::asio::awaitable<result<void>> dial_once(std::string address, member_id expected, bool& met);
  boost::asio::awaitable<void> serve(std::shared_ptr<peer_link> link);
  boost::asio::awaitable<void> read_all(std::shared_ptr<peer_link> link, std::chrono::milliseconds silence_max);
  /// False when it was refused, and told so.
  bool meet(const std::shared_ptr<peer_link>& link, const wire::hello& said);
  void ended(const std::shared_ptr<peer_link>& link);
  void begin_dial(const std::string& address, const member_id& expected, steady_time now);
  [[nodiscard]] std::shared_ptr<peer_link> best(const member_id& id) const;
  void note_failure(const std::string& address, const error& why);

  metadata_core& core_;
  peer_owner& owner_;
  transport::identity self_;
  std::map<member_id, member> members_;
  std::map<std::string, target> targets_;  ///< by address
  struct dismissal {
    member_id id;
    troupe::incarnation incarnation;
    bytes words;
  };
  void carry_out(const dismissal& what);
  std::vector<dismissal> due_;
  std::set<std::shared_ptr<peer_link>> newcomers_;
  telemetry::rate_limit failures_{std::chrono::seconds(60)};
  std::minstd_rand random_;
  bool stopped_ = false;
};

}  // namespace troupe::actors
