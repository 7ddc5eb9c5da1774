#include <charconv>
#include <troupe/transport/endpoint.hpp>

namespace troupe::transport {

result<asio::ip::address> parse_host(std::string_view text) {
  std::string host(text);
  if (host == "localhost") return asio::ip::address(asio::ip::address_v4::loopback());
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  boost::system::error_code failure;
  const auto address = asio::ip::make_address(host, failure);
  if (failure)
    return error{errc::invalid_argument,
                 "not an address: \"" + std::string(text.substr(0, 64)) + "\" (write 127.0.0.1, [::1] or localhost)"};
  return address;
}

result<tcp::endpoint> parse_endpoint(std::string_view text) {
  const auto colon = text.rfind(':');
  const auto wrong = [&] {
    return error{errc::invalid_argument, "not HOST:PORT: \"" + std::string(text.substr(0, 64)) +
                                             "\" (write 127.0.0.1:7400, [::1]:7400 or localhost:7400)"};
  };
  if (colon == std::string_view::npos) return wrong();
  const auto host_text = text.substr(0, colon);
  const auto port_text = text.substr(colon + 1);
  // Without brackets, «::1» would read as host «:» and port 1.
  if (host_text.find(':') != std::string_view::npos && (host_text.front() != '[' || host_text.back() != ']'))
    return wrong();
  std::uint16_t port = 0;
  const auto [end, failure] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (failure != std::errc{} || end != port_text.data() + port_text.size()) return wrong();
  const auto host = parse_host(host_text);
  if (!host) return wrong();
  return tcp::endpoint(*host, port);
}

std::string to_string(const tcp::endpoint& endpoint) {
  const auto host = endpoint.address().to_string();
  const auto port = std::to_string(endpoint.port());
  return endpoint.address().is_v6() ? "[" + host + "]:" + port : host + ":" + port;
}

}  // namespace troupe::transport
