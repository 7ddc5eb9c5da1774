#include <algorithm>
#include <troupe/base/invariant.hpp>
#include <troupe/transport/http_router.hpp>

namespace troupe::transport {

namespace {
bool is_parameter(std::string_view segment) {
  return segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
}
}  // namespace

std::string_view to_string(http_access access) noexcept {
  switch (access) {
    case http_access::viewer:
      return "viewer";
    case http_access::submitter:
      return "submitter";
    case http_access::operator_:
      return "operator";
    case http_access::admin:
      return "admin";
    case http_access::open:
      return "open";
  }
  return "unknown";
}

void http_router::add(std::string method, std::string_view pattern, http_access access, http_handler handler) {
  auto target = parse_target(pattern);
  TROUPE_INVARIANT(target, std::string(pattern));
  routes_.push_back({std::move(method), std::move(target->segments), std::move(handler), access});
}

http_router::match http_router::find(std::string_view method, const http_target& target) const {
  const route* best = nullptr;
  std::size_t best_fixed = 0;
  std::string allow;  // of the patterns that fit best: /jobs/plan is no /jobs/{id}
  std::size_t allow_fixed = 0;
  for (const auto& candidate : routes_) {
    if (candidate.segments.size() != target.segments.size()) continue;
    std::size_t fixed = 0;
    const bool fits = std::equal(candidate.segments.begin(), candidate.segments.end(), target.segments.begin(),
                                 [&](const std::string& pattern, const std::string& actual) {
                                   if (is_parameter(pattern)) return !actual.empty();
                                   ++fixed;
                                   return pattern == actual;
                                 });
    if (!fits) continue;
    const bool method_fits = candidate.method == method || (method == "HEAD" && candidate.method == "GET");
    if (!method_fits) {
      if (fixed < allow_fixed) continue;
      if (fixed > allow_fixed) allow.clear();
      allow_fixed = fixed;
      allow += (allow.empty() ? "" : ", ") + candidate.method;
    } else if (best == nullptr || fixed > best_fixed) {
      best = &candidate;
      best_fixed = fixed;
    }
  }
  match found;
  if (best == nullptr) {
    found.allow = std::move(allow);
    return found;
  }
  found.handler = &best->handler;
  found.access = best->access;
  for (std::size_t i = 0; i < best->segments.size(); ++i) {
    const std::string_view pattern = best->segments[i];
    if (is_parameter(pattern)) found.parameters.emplace_back(pattern.substr(1, pattern.size() - 2), target.segments[i]);
  }
  return found;
}

}  // namespace troupe::transport
