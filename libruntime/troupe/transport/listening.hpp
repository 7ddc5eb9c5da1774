#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <troupe/base/result.hpp>

namespace troupe::transport {

/// Opens, binds and listens, close-on-exec from the beginning. Port 0 takes a free one below the kernel's range for
/// outgoing connections. `unavailable` when the port is taken; the acceptor is closed then.
result<void> listen_on(boost::asio::ip::tcp::acceptor& acceptor, const boost::asio::ip::tcp::endpoint& to, int backlog);

}  // namespace troupe::transport
