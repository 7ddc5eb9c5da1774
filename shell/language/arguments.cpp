#include <shell/language/arguments.hpp>

#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <algorithm>
#include <charconv>
#include <troupe/base/nearest.hpp>

namespace troupe::shell {

std::string arguments::get(const std::string& name, const std::string& otherwise) const {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : found->second;
}

outcome<std::uint64_t> read_number(const std::string& what, const std::string& text, std::uint64_t low,
                                   std::uint64_t high) {
  std::uint64_t value = 0;
  const auto* end = text.data() + text.size();
  const auto [rest, failed] = std::from_chars(text.data(), end, value);
  if (failed != std::errc{} || rest != end || value < low || value > high)
    return usage_failure(what + " takes a number from " + std::to_string(low) + " to " + std::to_string(high) +
                         ", not \"" + text + "\"");
  return value;
}

outcome<std::optional<std::uint64_t>> arguments::number(const std::string& name, std::uint64_t low,
                                                        std::uint64_t high) const {
  const auto found = options.find(name);
  if (found == options.end()) return std::optional<std::uint64_t>{};
  TROUPE_TRY(const auto value, read_number(name, found->second, low, high));
  return std::optional<std::uint64_t>{value};
}

outcome<arguments> read_arguments(const std::string& command, const std::vector<option>& options,
                                  std::vector<std::string> words) {
  CLI::App app("", command);
  app.set_help_flag();
  arguments out;
  struct slot {
    const option* what;
    std::string value;
    CLI::Option* parsed;
  };
  std::vector<slot> slots;
  slots.reserve(options.size());
  for (const auto& o : options) {
    auto& s = slots.emplace_back(slot{&o, {}, nullptr});
    s.parsed = o.value.empty() ? app.add_flag(o.name) : app.add_option(o.name, s.value)->type_size(1);
  }
  auto* help = app.add_flag("-h,--help");
  app.add_option("words", out.words)->expected(0, -1);
  std::string unknown;
  for (const auto& word : words) {
    if (word == "--") break;
    if (!word.starts_with("--") || word.size() == 2) continue;
    const auto name = word.substr(0, word.find('='));
    if (name == "--help" || std::any_of(options.begin(), options.end(), [&](const auto& o) { return o.name == name; }))
      continue;
    unknown = name;
    break;
  }
  if (!unknown.empty()) {
    std::vector<std::string> names{"--help"};
    for (const auto& o : options) names.push_back(o.name);
    const auto meant = nearest(unknown, names);
    return usage_failure(command + " has no option " + unknown +
                         (meant.empty() ? "" : "; did you mean " + meant + "?") + " («help " + command +
                         "» lists them)");
  }
  std::reverse(words.begin(), words.end());  // CLI11 wants the last one first
  try {
    app.parse(std::move(words));
  } catch (const CLI::ParseError& e) {
    return usage_failure(command + ": " + e.what() + " («help " + command + "» shows how it is used)");
  }
  for (const auto& s : slots)
    if (s.parsed->count() > 0) out.options[s.what->name] = s.value;
  out.help = help->count() > 0;
  return out;
}

destination_split split_at_to(const std::vector<std::string>& words) {
  destination_split out;
  for (const auto& word : words) {
    if (!out.has_to && word == "to")
      out.has_to = true;
    else
      (out.has_to ? out.after : out.before).push_back(word);
  }
  return out;
}

}  // namespace troupe::shell
