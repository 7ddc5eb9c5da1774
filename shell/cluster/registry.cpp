#include <algorithm>
#include <array>
#include <shell/cluster/paths.hpp>
#include <shell/cluster/registry.hpp>

namespace troupe::shell {
namespace {

/// As much of TOML as the file has: comments, [tables], strings and lists of strings.
class toml_line {
 public:
  toml_line(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {}

  [[nodiscard]] bool empty() {
    skip_space();
    return at_ == text_.size() || text_[at_] == '#';
  }
  [[nodiscard]] bool take(char c) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  result<std::string> key() {
    skip_space();
    if (at_ < text_.size() && text_[at_] == '"') return string();
    const auto begin = at_;
    while (at_ < text_.size() &&
           (std::isalnum(static_cast<unsigned char>(text_[at_])) != 0 || text_[at_] == '_' || text_[at_] == '-'))
      ++at_;
    if (at_ == begin) return wrong("a name");
    return std::string(text_.substr(begin, at_ - begin));
  }
  result<std::string> string() {
    if (!take('"')) return wrong("a string in double quotes");
    std::string out;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (text_[at_] == '\\') {
        if (++at_ == text_.size() || (text_[at_] != '\\' && text_[at_] != '"')) return wrong("\\\\ or \\\" after a \\");
      }
      out += text_[at_++];
    }
    if (!take('"')) return wrong("the end of the string");
    return out;
  }
  result<std::vector<std::string>> strings() {
    std::vector<std::string> out;
    if (!take('[')) return wrong("a list in []");
    while (!take(']')) {
      TROUPE_TRY(auto one, string());
      out.push_back(std::move(one));
      if (take(',')) continue;
      if (!take(']')) return wrong("a comma or ]");
      break;
    }
    return out;
  }
  [[nodiscard]] error wrong(const std::string& expected) const {
    return {errc::invalid_argument, where_ + ": expected " + expected};
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\r')) ++at_;
  }
  std::string_view text_;
  std::string where_;
  std::size_t at_ = 0;
};

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

/// The texts of a cluster by their keys, in the order in which they are written.
constexpr std::array<std::pair<const char*, std::string known_cluster::*>, 7> texts{
    {{"id", &known_cluster::id},
     {"token_file", &known_cluster::token_file},
     {"data", &known_cluster::data},
     {"authority_file", &known_cluster::authority_file},
     {"access_file", &known_cluster::access_file},
     {"listen", &known_cluster::listen},
     {"tls", &known_cluster::tls}}};

std::string* text_of(known_cluster& table, std::string_view key) {
  for (const auto& [name, member] : texts)
    if (key == name) return &(table.*member);
  return nullptr;
}

std::string toml_list(const std::vector<std::string>& values) {
  std::string out = "[";
  for (std::size_t i = 0; i < values.size(); ++i) out += (i == 0 ? "" : ", ") + toml_string(values[i]);
  return out + "]";
}

result<void> read_key(toml_line& line, registry& out, known_cluster* table) {
  TROUPE_TRY(const auto key, line.key());
  if (!line.take('=')) return line.wrong("=");
  if (table == nullptr) {
    if (key != "current") return ok();
    TROUPE_TRY(out.current, line.string());
  } else if (key == "addresses") {
    TROUPE_TRY(table->addresses, line.strings());
  } else if (key == "hosts") {
    TROUPE_TRY(table->hosts, line.strings());
  } else if (auto* const text = text_of(*table, key)) {
    TROUPE_TRY(*text, line.string());
  } else {
    return ok();  // of a newer version
  }
  return line.empty() ? ok() : result<void>(line.wrong("the end of the line"));
}

}  // namespace

result<registry> registry::parse(const std::string& text, const std::string& where) {
  registry out;
  known_cluster* table = nullptr;
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const auto end = std::min(text.find('\n', begin), text.size());
    toml_line line(std::string_view(text).substr(begin, end - begin), where + ":" + std::to_string(++number));
    begin = end + 1;
    if (line.empty()) continue;
    if (line.take('[')) {
      TROUPE_TRY(const auto kind, line.key());
      if (kind != "cluster" || !line.take('.')) return line.wrong("[cluster.NAME]");
      TROUPE_TRY(const auto name, line.key());
      if (!line.take(']') || !line.empty()) return line.wrong("] and the end of the line");
      table = &out.clusters[name];
      table->name = name;
    } else {
      TROUPE_TRY_VOID(read_key(line, out, table));
    }
  }
  return out;
}

std::string registry::to_text() const {
  std::string out = "# Written by troupe: up, down, connect, use, spawn.\n";
  if (!current.empty()) out += "current = " + toml_string(current) + "\n";
  for (const auto& [name, cluster] : clusters) {
    out += "\n[cluster." + toml_string(name) + "]\n";
    if (!cluster.id.empty()) out += "id = " + toml_string(cluster.id) + "\n";
    out += "addresses = " + toml_list(cluster.addresses) + "\n";
    for (std::size_t i = 1; i < texts.size(); ++i)
      if (const auto& value = cluster.*texts[i].second; !value.empty())
        out += std::string(texts[i].first) + " = " + toml_string(value) + "\n";
    if (!cluster.hosts.empty()) out += "hosts = " + toml_list(cluster.hosts) + "\n";
  }
  return out;
}

result<registry> registry::load() {
  const auto path = paths::clusters_file();
  auto text = paths::read_file(path);
  if (!text && text.error().code() == errc::not_found) return registry{};
  if (!text) return text.error();
  return parse(*text, path.string());
}

result<void> registry::save() const { return paths::write_private_file(paths::clusters_file(), to_text()); }

const known_cluster* registry::find(const std::string& name) const {
  const auto found = clusters.find(name);
  return found == clusters.end() ? nullptr : &found->second;
}

const known_cluster* registry::find_by_address(const std::string& address) const {
  for (const auto& [name, cluster] : clusters)
    if (std::find(cluster.addresses.begin(), cluster.addresses.end(), address) != cluster.addresses.end())
      return &cluster;
  return nullptr;
}

}  // namespace troupe::shell
