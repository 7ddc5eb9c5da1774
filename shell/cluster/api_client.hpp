#pragma once
#include <boost/json/value.hpp>
#include <chrono>
#include <memory>
#include <shell/cluster/registry.hpp>
#include <shell/failure.hpp>
#include <troupe/api/json.hpp>
#include <troupe/api/list.hpp>
#include <troupe/transport/http_client.hpp>

namespace troupe::shell {

inline transport::http_client_request request_for(std::string method, std::string target) {
  transport::http_client_request request;
  request.method = std::move(method);
  request.target = std::move(target);
  return request;
}

/// Requests to whichever node of a cluster answers. An address that cannot be reached is passed over for the next one;
/// the one that answered is tried first the next time. Used by one thread. Errors: `no_cluster` when no node answers,
/// `interrupted` by Ctrl-C, else what the cluster said.
class api_client {
 public:
  explicit api_client(known_cluster cluster);
  ~api_client();
  api_client(const api_client&) = delete;
  api_client& operator=(const api_client&) = delete;

  /// GET of an object; `path` begins behind /api/v1.
  outcome<api::json::value> get(const std::string& path);
  /// GET of a whole collection, page by page: its items.
  outcome<api::json::array> items(const std::string& path);
  outcome<api::json::value> post(const std::string& path, const api::json::value& body);
  outcome<void> remove(const std::string& path);
  /// Anything else: uploads, downloads, long polls. `request.target` begins behind /api/v1. All but a GET without a
  /// sink go to the first node that is ready, and are made once.
  outcome<transport::http_client_response> send(transport::http_client_request request);
  /// For requests whose repetition does no harm, whatever their method: made again at the next node when one does not
  /// answer, or answers 503. An answer of any status is given back, save 401.
  outcome<transport::http_client_response> send_repeatable(transport::http_client_request request);

  template <class T>
  outcome<T> get_as(const std::string& path, const char* what) {
    TROUPE_TRY(const auto value, get(path));
    return typed<T>(value, what);
  }
  template <class T>
  static outcome<T> typed(const api::json::value& value, const char* what) {
    auto read = api::from_json<T>(value, what);
    if (!read) return failure(read.error());
    return std::move(*read);
  }

  [[nodiscard]] const known_cluster& cluster() const { return cluster_; }
  /// For completion: no answer within this time is no answer.
  void set_time_max(std::chrono::milliseconds time_max);
  /// Whether what is read may be what the node that is asked knows, without a look at the others.
  void read_stale(bool stale) { stale_ = stale; }
  /// Ctrl-C no longer ends requests: for the cancelling that an interruption leads to.
  void ignore_interrupts();

 private:
  enum class readiness { ready, answers, silent, interrupted };
  static readiness probe(transport::http_client& client, std::string& why);
  outcome<transport::http_client_response> exchange(transport::http_client_request request, bool repeatable);
  outcome<transport::http_client*> connection(std::size_t index);
  outcome<api::json::value> parsed(const transport::http_client_response& answer);

  known_cluster cluster_;
  outcome<void> read_secrets();
  std::string token_;
  std::shared_ptr<const security::trust> trust_;
  bool secrets_read_ = false;
  int cancel_fd_;
  std::optional<std::chrono::milliseconds> time_max_;
  bool stale_ = false;
  std::vector<std::unique_ptr<transport::http_client>> connections_;  ///< by address; made when first needed
  std::size_t preferred_ = 0;
  std::chrono::steady_clock::time_point answered_;  ///< when the preferred one last did
};

}  // namespace troupe::shell
