#include <actors/supervision/job_logs.hpp>
#include <algorithm>
#include <charconv>
#include <filesystem>
#include <troupe/base/codec.hpp>
#include <troupe/base/limits.hpp>

namespace troupe::actors {

namespace {
std::size_t size_of(const message::log_line& line) { return line.text.size() + line.node.size() + 64; }

constexpr std::string_view suffix = ".records";

struct kept_line {
  std::uint64_t number = 0;  ///< from 1 within the job's log here
  message::log_line line;
};
BOOST_DESCRIBE_STRUCT(kept_line, (), (number, line))

/// Files of jobs, the one that was written to longest ago first.
std::vector<std::pair<job_id, std::string>> files_in(const std::string& directory) {
  std::vector<std::tuple<std::filesystem::file_time_type, job_id, std::string>> found;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failure)) {
    const auto name = entry.path().filename().string();
    std::uint64_t id = 0;
    const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), id);
    if (wrong != std::errc{} || std::string_view(end, name.data() + name.size()) != suffix) continue;
    found.emplace_back(entry.last_write_time(failure), job_id{id}, entry.path().string());
  }
  std::sort(found.begin(), found.end());
  std::vector<std::pair<job_id, std::string>> files;
  files.reserve(found.size());
  for (auto& [when, job, path] : found) files.emplace_back(job, std::move(path));
  return files;
}

}  // namespace

job_logs::job_logs(telemetry::record_keeper& keeper, std::string directory)
    : keeper_(&keeper), directory_(std::move(directory)) {
  for (const auto& [job, path] : files_in(directory_)) {
    auto& l = logs_[job];
    l.touched = ++clock_;
    // A file of another version is left alone: its job is without lines here.
    (void)telemetry::record_file::read(path, [&](bytes_view record) {
      auto kept = codec::decode<kept_line>(record, "a line of a job's log");
      if (!kept || kept->number < l.first + l.lines.size()) return;
      while (kept->number != l.first + l.lines.size()) {  // lines between were not kept: those before them go
        if (!l.lines.empty())
          pop(l);
        else
          l.first = kept->number;
      }
      insert(l, std::move(kept->line));
    });
    shrink(job);
  }
}

std::string job_logs::path_of(job_id job) const { return directory_ + "/" + to_string(job) + std::string(suffix); }

void job_logs::insert(log& l, message::log_line line) {
  const auto size = size_of(line);
  l.bytes += size;
  bytes_ += size;
  l.lines.push_back(std::move(line));
  if (l.lines.size() > limits::job_log_lines_max) pop(l);
}

void job_logs::shrink(job_id newest) {
  while (bytes_ > bytes_max || logs_.size() > jobs_max) {
    const auto oldest = std::min_element(
        logs_.begin(), logs_.end(), [](const auto& a, const auto& b) { return a.second.touched < b.second.touched; });
    if (oldest->first == newest) {  // alone and too long
      pop(oldest->second);
      continue;
    }
    bytes_ -= oldest->second.bytes;
    if (keeper_ != nullptr) keeper_->remove(path_of(oldest->first));
    logs_.erase(oldest);
  }
}

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
    if (keeper_ != nullptr) keeper_->append(path_of(job), codec::encode(kept_line{l.first + l.lines.size(), line}));
    insert(l, std::move(line));
  }
  shrink(job);
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
