#include <sys/socket.h>
#include <unistd.h>

#include <caf/event_based_actor.hpp>
#include <caf/scoped_actor.hpp>

#include "fixture.hpp"

using namespace worker_tests;

// CAF's node id is made of host and pid, so two systems in one process are one node to it: what connects is tested with
// worker processes in every other test here; this is for what does not connect.

TEST_CASE("a peer that closes at once is unavailable") {
  daemon_config config;
  caf::actor_system system(config);
  basp_bridge bridge(system);
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  ::close(fds[1]);
  auto peer = bridge.connect(fds[0], std::chrono::seconds(20));
  REQUIRE_FALSE(peer.has_value());
  CHECK(peer.error().code() == errc::unavailable);
}

TEST_CASE("a peer that says nothing meets the deadline") {
  daemon_config config;
  caf::actor_system system(config);
  basp_bridge bridge(system);
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  auto peer = bridge.connect(fds[0], std::chrono::milliseconds(100));
  REQUIRE_FALSE(peer.has_value());
  CHECK(peer.error().code() == errc::deadline_exceeded);
  ::close(fds[1]);
}

TEST_CASE("a peer that talks rubbish is closed and harms nobody") {
  daemon_config config;
  caf::actor_system system(config);
  basp_bridge bridge(system);
  int fds[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
  const std::string rubbish(32, '\xff');
  REQUIRE(::write(fds[1], rubbish.data(), rubbish.size()) == 32);
  auto peer = bridge.connect(fds[0], std::chrono::seconds(20));
  CHECK_FALSE(peer.has_value());
  ::close(fds[1]);
}
