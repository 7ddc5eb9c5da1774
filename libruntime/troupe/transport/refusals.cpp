#include <troupe/transport/refusals.hpp>

namespace troupe::transport {

std::optional<std::string> refusals::note(std::string_view reason, std::string last, time_point now) {
  const auto at = by_reason_.find(reason);
  if (at == by_reason_.end())
    by_reason_.emplace(std::string(reason), 1);
  else
    ++at->second;
  last_ = std::move(last);
  if (const auto count = limit_.pass(now)) return line(*count);
  return std::nullopt;
}

std::optional<std::string> refusals::flush(time_point now) {
  if (const auto count = limit_.flush(now)) return line(*count);
  return std::nullopt;
}

std::string refusals::line(std::uint64_t count) {
  std::string text = "refused ";
  if (count == 1) {
    text += last_;
  } else {
    text += std::to_string(count) + " connections (";
    const char* separator = "";
    for (const auto& [reason, times] : by_reason_) {
      text += separator + std::to_string(times) + ": " + reason;
      separator = ", ";
    }
    text += "); the last was " + last_;
  }
  by_reason_.clear();
  return text;
}

}  // namespace troupe::transport
