#include "node/daemon/enrolment.hpp"

#include <chrono>
#include <thread>
#include <troupe/transport/endpoint.hpp>
#include <troupe/transport/http_client.hpp>

namespace troupe::node {
namespace {

using namespace std::chrono_literals;
constexpr auto time_max = 30s;
constexpr auto pause = 200ms;

template <class Answer>
result<Answer> ask_one(const std::string& address, const enrolment& who, const char* target, const std::string& body,
                       const char* what) {
  TROUPE_TRY(const auto endpoint, transport::parse_endpoint(address));
  transport::http_client_options options;
  options.host = endpoint.address().to_string();
  options.port = endpoint.port();
  options.token = who.token;
  options.trust = who.trust;
  options.connect_time_max = 3s;
  options.read_time_max = who.patient ? 15s : 3s;  // a paused node accepts connections and says nothing
  transport::http_client client(std::move(options));
  transport::http_client_request request;
  request.method = "POST";
  request.target = target;
  request.content_type = "application/json";
  request.body = body;
  TROUPE_TRY(const auto answer, client.send_ok(request));
  return api::from_text<Answer>(answer.body, what);
}

}  // namespace

result<api::join_answer> enrol(const enrolment& who, const std::string& request_pem) {
  const auto body = api::to_text(api::join_request{who.member, request_pem});
  const auto deadline = std::chrono::steady_clock::now() + time_max;
  for (;;) {
    error last{errc::unavailable, "no address of a node is known"};
    std::size_t without = 0;
    for (const auto& seed : who.seeds) {
      auto answer = ask_one<api::join_answer>(seed, who, "/api/v1/join", body, "answer to a request for a certificate");
      if (answer) return answer;
      last = answer.error().with_context("asking " + seed + " for a certificate");
      if (last.code() == errc::not_found) ++without;
      if (last.code() == errc::permission_denied || last.code() == errc::invalid_argument) return last;
    }
    if (without == who.seeds.size() && without > 0) return last;
    if (!who.patient || std::chrono::steady_clock::now() >= deadline) return last;
    std::this_thread::sleep_for(pause);
  }
}

result<std::string> ask_for_authority_key(const enrolment& who) {
  const auto body = api::to_text(api::authority_request{who.member});
  error last{errc::unavailable, "no node that signs certificates is known"};
  for (const auto& seed : who.seeds) {
    auto answer =
        ask_one<api::authority_key>(seed, who, "/api/v1/join/authority", body, "answer to a request for a key");
    if (answer) return std::move(answer->key);
    last = answer.error().with_context("asking " + seed + " for the authority's key");
  }
  return last;
}

}  // namespace troupe::node
