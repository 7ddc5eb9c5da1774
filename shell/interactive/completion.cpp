#include <algorithm>
#include <filesystem>
#include <set>
#include <shell/cluster/local_node.hpp>
#include <shell/command.hpp>
#include <shell/display/table.hpp>
#include <shell/interactive/completion.hpp>
#include <shell/language/lexer.hpp>
#include <shell/session.hpp>

namespace troupe::shell {
namespace fs = std::filesystem;
namespace {

constexpr auto answer_time_max = std::chrono::milliseconds(400);  ///< Tab must not feel stuck

std::vector<std::string> members(session& s, const char* path, const char* member) {
  std::vector<std::string> out;
  const auto cluster = s.cluster();
  if (!cluster) return out;
  api_client client(*cluster);
  client.set_time_max(answer_time_max);
  const auto items = client.items(path);
  if (!items) return out;
  for (const auto& item : *items)
    if (const auto* value = member_at(item, member)) out.push_back(cell_text(value, shown_as::text, false));
  return out;
}

std::vector<std::string> job_names(session& s) {
  std::vector<std::string> out;
  const auto cluster = s.cluster();
  if (!cluster) return out;
  api_client client(*cluster);
  client.set_time_max(answer_time_max);
  const auto items = client.items("/modules");
  if (!items) return out;
  for (const auto& item : *items)
    if (const auto* jobs = member_at(item, "jobs"); jobs != nullptr && jobs->is_array())
      for (const auto& job : jobs->get_array())
        if (const auto* name = member_at(job, "name")) out.push_back(cell_text(name, shown_as::text, false));
  return out;
}

/// Files that begin with `text`; directories end with /.
std::vector<std::string> files(const std::string& text) {
  std::vector<std::string> out;
  const auto slash = text.rfind('/');
  const auto folder = slash == std::string::npos ? std::string() : text.substr(0, slash + 1);
  const auto begin = slash == std::string::npos ? text : text.substr(slash + 1);
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? "." : folder, failed)) {
    const auto name = entry.path().filename().string();
    if (!name.starts_with(begin) || (name.starts_with('.') && begin.empty())) continue;
    std::error_code ignored;
    out.push_back(folder + name + (entry.is_directory(ignored) ? "/" : ""));
  }
  return out;
}

std::vector<std::string> candidates_of(session& s, word_kind kind, const std::string& text) {
  switch (kind) {
    case word_kind::none:
      return {};
    case word_kind::file:
      return files(text);
    case word_kind::dataset:
      return members(s, "/datasets", "name");
    case word_kind::module:
      return members(s, "/modules", "name");
    case word_kind::job_name:
      return job_names(s);
    case word_kind::job_id:
      return members(s, "/jobs", "id");
    case word_kind::node:
      return members(s, "/nodes", "name");
    case word_kind::local_node: {
      std::vector<std::string> out;
      if (const auto cluster = s.cluster())
        for (const auto& node : local_nodes(*cluster)) out.push_back(node.name);
      return out;
    }
    case word_kind::cluster: {
      std::vector<std::string> out;
      if (const auto known = registry::load())
        for (const auto& [name, cluster] : known->clusters) out.push_back(name);
      return out;
    }
    case word_kind::setting:
      return {"output", "progress", "consistency"};
    case word_kind::word:
      break;
  }
  std::vector<std::string> out;
  for (const auto& c : all_commands()) out.push_back(c.name.substr(0, c.name.find(' ')));
  return out;
}

std::vector<std::string> candidates(session& s, const open_word& at) {
  if (at.before.empty()) return candidates_of(s, word_kind::word, at.text);
  std::vector<std::string> out;
  if (at.before.size() == 1)  // the second half of «module build»
    for (const auto& c : all_commands())
      if (c.name.starts_with(at.before[0] + " ")) out.push_back(c.name.substr(at.before[0].size() + 1));
  std::size_t name_words = 0;
  const auto* c = find_command(at.before, name_words);
  if (c == nullptr) return out;
  if (at.text.starts_with("-")) {
    for (const auto& o : c->options) out.push_back(o.name);
    out.emplace_back("--help");
    return out;
  }
  const auto given =
      std::vector<std::string>(at.before.begin() + static_cast<std::ptrdiff_t>(name_words), at.before.end());
  const bool after_to = c->has_to && std::find(given.begin(), given.end(), "to") != given.end();
  auto kind = after_to ? c->completes_after_to : c->completes;
  if (kind == word_kind::job_name && !given.empty()) kind = word_kind::dataset;  // run JOB INPUT…
  if (kind == word_kind::setting && given.size() == 1)
    return given[0] == "output" ? std::vector<std::string>{"table", "json", "csv"}
                                : std::vector<std::string>{"on", "off"};
  const auto more = candidates_of(s, kind, at.text);
  out.insert(out.end(), more.begin(), more.end());
  if (c->has_to && !after_to && !given.empty()) out.emplace_back("to");
  return out;
}

}  // namespace

completion complete(session& s, std::string_view before_cursor) {
  const auto at = last_word(before_cursor);
  std::set<std::string> fitting;
  for (auto& candidate : candidates(s, at))
    if (candidate.starts_with(at.text)) fitting.insert(std::move(candidate));
  completion out;
  if (fitting.empty()) return out;
  auto common = *fitting.begin();
  for (const auto& candidate : fitting) {
    const auto differ = std::mismatch(common.begin(), common.end(), candidate.begin(), candidate.end()).first;
    common.erase(differ, common.end());
  }
  const bool whole = fitting.size() == 1;
  if (!whole && common.size() == at.text.size()) {
    out.choices.assign(fitting.begin(), fitting.end());
    return out;
  }
  out.erase = before_cursor.size() - at.begins_at;
  out.insert = as_typed(common);
  if (whole && !common.ends_with('/')) {
    out.insert += " ";
  } else if (out.insert.ends_with('\'')) {
    out.insert.pop_back();  // the word goes on, and so does its quote
  }
  return out;
}

}  // namespace troupe::shell
