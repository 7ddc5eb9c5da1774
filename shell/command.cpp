#include <algorithm>
#include <shell/command.hpp>
#include <shell/commands/commands.hpp>
#include <shell/display/table.hpp>

namespace troupe::shell {

const std::vector<command>& all_commands() {
  static const auto all = [] {
    std::vector<command> out;
    for (auto& group : {cluster_commands(), node_commands(), data_commands(), module_commands(), job_commands(),
                        actor_commands(), access_commands(), session_commands()})
      out.insert(out.end(), group.begin(), group.end());
    return out;
  }();
  return all;
}

const command* find_command(const std::vector<std::string>& words, std::size_t& name_words) {
  for (std::size_t take = std::min<std::size_t>(2, words.size()); take > 0; --take) {
    const auto name = take == 2 ? words[0] + " " + words[1] : words[0];
    for (const auto& c : all_commands()) {
      if (c.name != name) continue;
      name_words = take;
      return &c;
    }
  }
  return nullptr;
}

std::string help_text(const command& c) {
  std::string out = c.usage;
  for (const auto& o : c.options) out += " [" + o.name + (o.value.empty() ? "" : " " + o.value) + "]";
  if (c.background) out += " [&]";
  out += "\n\n" + c.summary + ".";
  if (!c.help.empty()) out += " " + c.help;
  out += "\n";
  if (!c.options.empty()) {
    out += "\n";
    std::vector<std::vector<std::string>> rows;
    for (const auto& o : c.options) rows.push_back({"  " + o.name + (o.value.empty() ? "" : " " + o.value), o.text});
    out += aligned(rows, {false, false});
  }
  out += "\nExample:\n";
  std::string line;
  for (const char ch : c.example + "\n") {
    line += ch;
    if (ch == '\n') {
      out += "  " + line;
      line.clear();
    }
  }
  return out;
}

std::string help_overview() {
  std::string out, group;
  std::vector<std::vector<std::string>> rows;
  const auto flush = [&] {
    if (rows.empty()) return;
    out += (out.empty() ? "" : "\n") + group + "\n" + aligned(rows, {false, false});
    rows.clear();
  };
  std::size_t widest = 0;
  for (const auto& c : all_commands()) widest = std::max(widest, display_width(c.usage));
  for (const auto& c : all_commands()) {
    if (c.group != group) flush();
    group = c.group;
    rows.push_back({"  " + c.usage + std::string(widest - display_width(c.usage), ' '), c.summary});
  }
  flush();
  out +=
      "\nWords with spaces go in quotes; ; and new lines separate commands, # begins a comment. `help WORD` has "
      "options and an example.\n";
  return out;
}

}  // namespace troupe::shell
