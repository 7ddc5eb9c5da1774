#pragma once
#include <boost/asio/ip/tcp.hpp>
#include <string>
#include <string_view>
#include <troupe/base/result.hpp>

namespace troupe::transport {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

/// Reads «127.0.0.1:7400», «[::1]:7400» or «localhost:7400» (which is 127.0.0.1). Names are not looked up: a resolver
/// may block, and may lie.
result<tcp::endpoint> parse_endpoint(std::string_view text);

/// The same without a port: «127.0.0.2», «::1», «[::1]», «localhost».
result<asio::ip::address> parse_host(std::string_view text);

/// «127.0.0.1:7400», «[::1]:7400».
std::string to_string(const tcp::endpoint& endpoint);

}  // namespace troupe::transport
