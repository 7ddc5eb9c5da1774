#pragma once
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <troupe/transport/http_message.hpp>
#include <utility>
#include <vector>

namespace troupe::transport {

class http_request;
class http_response;
using http_handler = std::function<boost::asio::awaitable<void>(http_request&, http_response&)>;

enum class http_access : std::uint8_t {
  token,  ///< only with the cluster's token
  open,   ///< /livez and /readyz: without
};

/// Which handler a request goes to. A pattern is a path whose segments in braces match any one non-empty segment:
/// «/api/v1/datasets/{name}/export». Fixed segments win over braces. HEAD goes to GET's handler. Filled before the
/// server starts, then only read.
class http_router {
 public:
  void add(std::string method, std::string_view pattern, http_handler handler, http_access access = http_access::token);
  void get(std::string_view pattern, http_handler handler, http_access access = http_access::token) {
    add("GET", pattern, std::move(handler), access);
  }
  void post(std::string_view pattern, http_handler handler) { add("POST", pattern, std::move(handler)); }
  void del(std::string_view pattern, http_handler handler) { add("DELETE", pattern, std::move(handler)); }

  struct match {
    const http_handler* handler = nullptr;  ///< null: no such path, or `allow` says which methods it has
    http_access access = http_access::token;
    std::vector<std::pair<std::string, std::string>> parameters;
    std::string allow;  ///< «GET, DELETE» when the path is known and the method isn't
  };
  [[nodiscard]] match find(std::string_view method, const http_target& target) const;

 private:
  struct route {
    std::string method;
    std::vector<std::string> segments;
    http_handler handler;
    http_access access;
  };
  std::vector<route> routes_;
};

}  // namespace troupe::transport
