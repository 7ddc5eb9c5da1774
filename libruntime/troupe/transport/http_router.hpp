#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
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

/// Who may use a route; each may use those of the ones before.
enum class http_access : std::uint8_t {
  viewer,     ///< looks
  submitter,  ///< writes data, loads modules, runs jobs: runs code
  operator_,  ///< adds, drains, removes nodes
  admin,      ///< users, tokens, certificates, the audit log
  open,       ///< whoever asks, without a token: /livez and /readyz, and what looks for itself
};
/// «operator», as people write it.
std::string_view to_string(http_access access) noexcept;

/// Which handler a request goes to. A pattern is a path whose segments in braces match any one non-empty segment:
/// «/api/v1/datasets/{name}/export». Fixed segments win over braces. HEAD goes to GET's handler. Filled before the
/// server starts, then only read.
class http_router {
 public:
  void add(std::string method, std::string_view pattern, http_access access, http_handler handler);
  void get(std::string_view pattern, http_access access, http_handler handler) {
    add("GET", pattern, access, std::move(handler));
  }
  void post(std::string_view pattern, http_access access, http_handler handler) {
    add("POST", pattern, access, std::move(handler));
  }
  void del(std::string_view pattern, http_access access, http_handler handler) {
    add("DELETE", pattern, access, std::move(handler));
  }
  /// Of viewers, and for tests.
  void get(std::string_view pattern, http_handler handler) { get(pattern, http_access::viewer, std::move(handler)); }

  struct match {
    const http_handler* handler = nullptr;  ///< null: no such path, or `allow` says which methods it has
    http_access access = http_access::admin;
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
