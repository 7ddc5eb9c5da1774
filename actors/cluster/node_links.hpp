#pragma once
#include <actors/described_inspect.hpp>
#include <boost/asio/io_context.hpp>
#include <caf/actor.hpp>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/type_id.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <troupe/base/ids.hpp>
#include <troupe/metadata/service.hpp>
#include <troupe/telemetry/log.hpp>
#include <troupe/transport/connection.hpp>

namespace troupe::message {

/// The first message on a link, beside the sender's gateway: who speaks. Answered with the same of the other side.
struct link_hello {
  member_id member;
  troupe::incarnation incarnation;
};
BOOST_DESCRIBE_STRUCT(link_hello, (), (member, incarnation))

}  // namespace troupe::message

CAF_BEGIN_TYPE_ID_BLOCK(troupe_links, first_custom_type_id + 200)
CAF_ADD_TYPE_ID(troupe_links, (troupe::message::link_hello))
CAF_END_TYPE_ID_BLOCK(troupe_links)

namespace troupe::actors {

class basp_bridge;

void add_link_messages(caf::actor_system_config& config);

/// What a node's links need; all of it outlives them.
struct node_links_parts {
  caf::actor_system& system;
  basp_bridge& bridge;
  boost::asio::io_context& io;  ///< for dialling
  metadata::service& metadata;
  telemetry::logger& log;
  transport::identity self;
  std::optional<boost::asio::ip::address> dial_from;
  caf::actor gateway;  ///< given to every peer
  std::function<void(member_id, troupe::incarnation, caf::actor)> connected;
  std::function<void(member_id)> lost;
};

/// Keeps one CAF connection to every other member that metadata calls alive or suspect. Of a pair the one with the
/// smaller id dials, so that the two never cross; it dials again, with a growing pause, for as long as metadata wants
/// the link. Owned by the daemon; thread-safe.
class node_links {
 public:
  explicit node_links(node_links_parts parts);
  ~node_links();
  node_links(const node_links&) = delete;
  node_links& operator=(const node_links&) = delete;

  /// Observes metadata and dials. After the gateway lives.
  void start();
  /// For `gate.on(transport::protocol::basp, …, true)`.
  void accept(transport::connection stream);
  /// Ends dialling and the link actor. Connections end with the actor system.
  void stop();

 private:
  struct impl;
  std::shared_ptr<impl> impl_;
};

}  // namespace troupe::actors
