#include <actors/supervision/job_logs.hpp>
#include <algorithm>
#include <troupe/base/limits.hpp>

namespace troupe::actors {

namespace {
std::size_t size_of(const message::log_line& line) { return line.text.size() + line.node.size() + 64; }
}  // namespace

void job_logs::pop(log& l) {
  const auto size = size_of(l.lines.front());
  l.lines.pop_front();
  ++l.first;
  l.bytes -= size;
  bytes_ -= size;
}

void job_logs::add(job_id job, std::vector<message::log_line> lines, std::uint64_t dropped, std::int64_t now_unix_ms) {
  if (dropped > 0) {
    message::log_line note;
    note.at_unix_ms = now_unix_ms;
    note.node = lines.empty() ? std::string() : lines.back().node;
    if (!lines.empty()) note.what = lines.back().what;
    note.text = std::to_string(dropped) + " more lines were logged there and left out";
    lines.push_back(std::move(note));
  }
  auto& l = logs_[job];
  l.touched = ++clock_;
  for (auto& line : lines) {
    const auto size = size_of(line);
    l.bytes += size;
    bytes_ += size;
    l.lines.push_back(std::move(line));
    if (l.lines.size() > limits::job_log_lines_max) pop(l);
  }
  while (bytes_ > bytes_max || logs_.size() > jobs_max) {
    const auto oldest = std::min_element(
        logs_.begin(), logs_.end(), [](const auto& a, const auto& b) { return a.second.touched < b.second.touched; });
    if (oldest->first == job) {  // alone and too long
      pop(l);
      continue;
    }
    bytes_ -= oldest->second.bytes;
    logs_.erase(oldest);
  }
}

message::job_log_page job_logs::page(const message::job_log_query& query) const {
  message::job_log_page page;
  page.job = query.job;
  const auto found = logs_.find(query.job);
  if (found == logs_.end()) return page;
  const auto& l = found->second;
  page.known = true;
  page.first = std::max(l.first, query.after + 1);
  std::size_t bytes = 0;
  for (auto i = page.first - l.first; i < l.lines.size(); ++i) {
    const auto& line = l.lines[i];
    bytes += size_of(line);
    if (page.lines.size() >= query.limit || (!page.lines.empty() && bytes > message::log_page_bytes_max)) {
      page.more = true;
      break;
    }
    page.lines.push_back(line);
  }
  return page;
}

}  // namespace troupe::actors
