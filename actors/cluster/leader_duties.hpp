#pragma once
#include <actors/cluster/peer_links.hpp>
#include <troupe/consensus/raft.hpp>
#include <troupe/membership/absences.hpp>
#include <troupe/membership/failure_detector.hpp>

namespace troupe::actors {

/// Whether nobody listens at that address, which only a host without that process says at once.
boost::asio::awaitable<bool> port_refuses(boost::asio::io_context& io, boost::asio::ip::tcp::endpoint to);

/// What the leader of the metadata does beside replicating: watches over the members and keeps the right number of
/// voters. Made for one leadership, on the metadata thread; kept alive by its coroutines, silent after `end`.
class leader_duties : public std::enable_shared_from_this<leader_duties> {
 public:
  leader_duties(metadata_core& core, peer_links& links, consensus::raft& raft);

  /// An entry of this leader's term is applied, so everything before is: everyone gets one full lease from now on.
  void begin(steady_time now);
  [[nodiscard]] bool begun() const noexcept { return begun_; }
  void tick(steady_time now);
  void heard(const member_id& id, troupe::incarnation its, steady_time now);
  /// The last connection with it has ended.
  void went(const member_id& id, troupe::incarnation its, steady_time now);
  void applied(const metadata::command& what, const result<metadata::response>& answer, steady_time now);
  /// A learner has less of the log than it acknowledged: it is taken out and becomes a learner again.
  void relearn(const member_id& id) { relearning_.insert(id); }
  [[nodiscard]] bool holds_lease(const member_id& id, troupe::incarnation its) const;
  void end() noexcept { ended_ = true; }

 private:
  void commit_verdicts(steady_time now);
  /// One step towards the right voters, if one is due and possible.
  void change_voters(steady_time now);
  void begin_probe(const member_id& id, troupe::incarnation its);
  boost::asio::awaitable<void> probe(member_id id, troupe::incarnation its, std::string address);

  metadata_core& core_;
  peer_links& links_;
  consensus::raft& raft_;
  membership::failure_detector detector_;
  membership::absences absences_;
  std::set<member_id> probing_;
  std::set<member_id> relearning_;
  steady_time ticked_at_{};
  std::string said_;  ///< why the last change of voters was refused
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace troupe::actors
