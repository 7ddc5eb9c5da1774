#include <shell/commands/job_follow.hpp>
#include <shell/interrupts.hpp>

namespace troupe::shell {
using namespace std::chrono_literals;
namespace {

constexpr auto look_every = 200ms;         ///< the longest time that a progress line is behind
constexpr auto follow_patience_max = 30s;  ///< without any node that answers

}  // namespace

outcome<seen_job> follow(api_client& client, const std::string& id, const std::function<void(const api::job&)>& each) {
  auto answered = std::chrono::steady_clock::now();
  for (;;) {
    auto value = client.get("/jobs/" + id + "?wait_ms=" + std::to_string(look_every.count()));
    if (value) {
      answered = std::chrono::steady_clock::now();
      TROUPE_TRY(auto job, api_client::typed<api::job>(*value, "job"));
      if (api::has_ended(job.state)) return seen_job{std::move(*value), std::move(job)};
      each(job);
    } else {
      const auto& why = value.error();
      const bool passing = why.status == status::no_cluster || why.unavailable;
      if (!passing || std::chrono::steady_clock::now() - answered > follow_patience_max) return why;
      interrupts::sleep_ms(100);
    }
    if (interrupts::pending()) return failure(status::interrupted, "interrupted");
  }
}

}  // namespace troupe::shell
