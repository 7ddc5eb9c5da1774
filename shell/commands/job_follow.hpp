#pragma once
#include <functional>
#include <shell/cluster/api_client.hpp>
#include <troupe/api/jobs.hpp>

namespace troupe::shell {

/// A job as the API gave it, and read.
struct seen_job {
  api::json::value raw;
  api::job job;
};

/// Looks at a job again and again until it has ended, by long polls; `each` hears of every look. A cluster of which no
/// node answers is asked again for half a minute: a node that comes back goes on with the job. Interrupted by Ctrl-C.
outcome<seen_job> follow(api_client& client, const std::string& id, const std::function<void(const api::job&)>& each);

}  // namespace troupe::shell
