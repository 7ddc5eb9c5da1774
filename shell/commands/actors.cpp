#include <algorithm>
#include <map>
#include <set>
#include <shell/commands/commands.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/api/actors.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace json = boost::json;
namespace {

const std::vector<column> actor_columns{{"ACTOR", "id"},    {"PARENT", "parent"},     {"NAME", "name"},
                                        {"KIND", "kind"},   {"NODE", "node"},         {"PID", "pid"},
                                        {"STATE", "state"}, {"RESTARTS", "restarts"}, {"DETAIL", "detail"}};
const std::vector<column> event_columns{
    {"EVENT", "id"}, {"TIME", "time", shown_as::time}, {"NODE", "node"}, {"KIND", "kind"}, {"WHAT", "text"}};

/// Draws actors under their parents. One whose parent is not in the list (it has just ended, or its node is gone)
/// stands at the top.
class tree_drawing {
 public:
  explicit tree_drawing(const std::vector<api::actor>& actors) {
    std::set<std::string> ids;
    for (const auto& a : actors) ids.insert(a.id);
    for (const auto& a : actors)
      below_[a.parent && ids.contains(*a.parent) && *a.parent != a.id ? *a.parent : ""].push_back(&a);
    draw("", "", true);
    // A circle of parents would hide its members.
    for (const auto& a : actors)
      if (!drawn_.contains(a.id)) row(a, "");
  }
  [[nodiscard]] std::string text() const { return aligned(rows_, {false, false, false, true, false}); }

 private:
  void row(const api::actor& a, const std::string& lead) {
    auto where = a.node.empty() ? "-" : a.node;
    if (a.pid) where += " pid " + std::to_string(*a.pid);
    rows_.push_back({lead + harmless(a.name), where, a.state, std::to_string(a.restarts), harmless(a.detail)});
    drawn_.insert(a.id);
  }
  void draw(const std::string& parent, const std::string& lead, bool top) {
    const auto found = below_.find(parent);
    if (found == below_.end()) return;
    for (std::size_t i = 0; i < found->second.size(); ++i) {
      const auto& a = *found->second[i];
      const bool last = i + 1 == found->second.size();
      if (drawn_.contains(a.id)) continue;
      row(a, top ? "" : lead + (last ? "└─ " : "├─ "));
      draw(a.id, top ? "" : lead + (last ? "   " : "│  "), false);
    }
  }
  std::map<std::string, std::vector<const api::actor*>> below_;
  std::set<std::string> drawn_;
  std::vector<std::vector<std::string>> rows_{{"ACTOR", "WHERE", "STATE", "RESTARTS", ""}};
};

outcome<void> tree(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/actors"));
  if (s.settings.output != output_format::table) {
    show_items(s, items, actor_columns);
    return done();
  }
  std::vector<api::actor> actors;
  for (const auto& item : items) {
    TROUPE_TRY(auto one, api_client::typed<api::actor>(item, "actor"));
    actors.push_back(std::move(one));
  }
  s.print(tree_drawing(actors).text());
  return done();
}

/// «node2», «member_dead», «7» (a job): what an event is about.
bool is_about(const json::value& event, const std::string& what) {
  if (what.empty()) return true;
  if (what.find_first_not_of("0123456789") == std::string::npos) {
    const auto* fields = member_at(event, "fields");
    const auto* job = fields != nullptr && fields->is_object() ? fields->get_object().if_contains("job") : nullptr;
    return job != nullptr && cell_text(job, shown_as::text, false) == what;
  }
  for (const auto* member : {"node", "kind"})
    if (cell_text(member_at(event, member), shown_as::text, false) == what) return true;
  if (const auto* fields = member_at(event, "fields"); fields != nullptr && fields->is_object())
    for (const auto& [name, value] : fields->get_object())
      if (cell_text(&value, shown_as::text, false) == what) return true;
  return false;
}

std::string event_line(const json::value& event) {
  const auto cell = [&](const char* member, shown_as how = shown_as::text) {
    return cell_text(member_at(event, member), how, true);
  };
  return cell("time", shown_as::time) + "  " + cell("node") + "  " + cell("kind") + "  " + cell("text") + "\n";
}

std::uint64_t id_of(const json::value& event) {
  json::error_code failed;
  const auto* id = member_at(event, "id");
  return id != nullptr && id->is_number() ? id->to_number<std::uint64_t>(failed) : 0;
}

/// Events after one that was seen; waits for the first of them up to `wait_ms`. Here the last event's id is the cursor.
outcome<json::array> events_after(api_client& client, std::uint64_t after, int wait_ms) {
  json::array out;
  for (;;) {
    TROUPE_TRY(const auto value,
               client.get("/events?limit=1000&wait_ms=" + std::to_string(wait_ms) + "&after=" + std::to_string(after)));
    TROUPE_TRY(auto page, api_client::typed<api::list<json::value>>(value, "events"));
    for (auto& event : page.items) {
      after = std::max(after, id_of(event));
      out.push_back(std::move(event));
    }
    if (!page.next_cursor || page.items.empty()) return out;
    wait_ms = 0;
  }
}

outcome<void> follow_events(session& s, const std::string& what, std::uint64_t after) {
  TROUPE_TRY(auto* const client, s.client());
  while (!interrupts::pending()) {
    const auto items = events_after(*client, after, 10'000);
    if (!items && items.error().status == status::interrupted) break;
    if (!items) return items.error();
    for (const auto& event : *items) {
      after = std::max(after, id_of(event));
      if (!is_about(event, what)) continue;
      s.print(s.settings.output == output_format::table ? event_line(event) : json::serialize(event) + "\n");
    }
  }
  return failure(status::interrupted, "");
}

outcome<void> events(session& s, const arguments& given) {
  const auto what = given.words.empty() ? "" : given.words[0];
  TROUPE_TRY(const auto limit, given.number("--limit", 1, 10'000));
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto all, events_after(*client, 0, 0));
  json::array items;
  std::uint64_t last = 0;
  for (const auto& event : all) {
    last = std::max(last, id_of(event));
    if (is_about(event, what)) items.push_back(event);
  }
  const auto keep = static_cast<std::size_t>(limit.value_or(1000));
  if (items.size() > keep) items.erase(items.begin(), items.end() - static_cast<std::ptrdiff_t>(keep));
  if (!given.has("--follow")) {
    if (items.empty() && !what.empty() && s.settings.output == output_format::table) {
      s.print("no event of the " + std::to_string(all.size()) + " that this node remembers is about " + what + "\n");
      return done();
    }
    show_items(s, items, event_columns);
    return done();
  }
  if (s.settings.output == output_format::csv) return usage_failure("events --follow writes a table or JSON, not csv");
  for (const auto& event : items)
    s.print(s.settings.output == output_format::table ? event_line(event) : json::serialize(event) + "\n");
  return follow_events(s, what, last);
}

}  // namespace

std::vector<command> actor_commands() {
  return {
      {.name = "tree",
       .group = "actors",
       .usage = "tree",
       .summary = "Shows the actors as they are now: supervisors, workers, mappers and reducers",
       .example = "tree",
       .run = tree},
      {.name = "events",
       .group = "actors",
       .usage = "events [X]",
       .summary = "Shows what happened in the cluster, the newest last",
       .help = "X is a node, a kind of event or a job's number: only events about it are shown.",
       .example = "events node2",
       .options = {{"--limit", "N", "the last N only; 1000 by default"},
                   {"--follow", "", "goes on showing them as they come, until Ctrl-C"}},
       .words_max = 1,
       .completes = word_kind::node,
       .run = events},
  };
}

}  // namespace troupe::shell
