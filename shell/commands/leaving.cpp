#include <algorithm>
#include <filesystem>
#include <shell/cluster/local_node.hpp>
#include <shell/commands/log_commands.hpp>
#include <shell/display/progress.hpp>
#include <shell/display/table.hpp>
#include <shell/interrupts.hpp>
#include <shell/session.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/base/text.hpp>

/// Nodes that go for good: drain and remove.
namespace troupe::shell {
namespace json = boost::json;
namespace fs = std::filesystem;
using namespace std::chrono_literals;
namespace {

constexpr int look_every_ms = 300;
constexpr auto leaving_patience_max = 60s;  ///< without any node that answers
constexpr auto remove_time_max = 40s;       ///< a node that still runs is stopped first

const std::vector<column> drain_columns{{"node", "node"},
                                        {"draining", "draining"},
                                        {"segments left", "segments"},
                                        {"bytes left", "bytes", shown_as::bytes},
                                        {"partitions left", "partitions"},
                                        {"done", "done"}};

std::string node_path(const std::string& name) { return "/nodes/" + transport::percent_encode(name); }

/// Looks until the node has nothing left that others need.
outcome<json::value> wait_until_drained(session& s, api_client& client, const std::string& name, json::value value) {
  progress line(s);
  auto answered = std::chrono::steady_clock::now();
  for (;;) {
    TROUPE_TRY(const auto p, api_client::typed<api::drain_progress>(value, "answer"));
    if (p.done) return value;
    if (!p.draining) return failure(status::failed, name + " drains no more: somebody has undone it");
    line.show(name + " has still " + format_count(p.segments) + " segments (" + format_bytes(p.bytes) + ") and " +
              format_count(p.partitions) + " partitions to give away");
    interrupts::sleep_ms(look_every_ms);
    auto next = client.get(node_path(name) + "/drain");
    if (interrupts::pending())
      return failure(status::interrupted,
                     name + " goes on draining; `drain " + name + " --undo` lets it take part again");
    if (next) {
      answered = std::chrono::steady_clock::now();
      value = std::move(*next);
      continue;
    }
    const bool passing = next.error().status == status::no_cluster || next.error().unavailable;
    if (!passing || std::chrono::steady_clock::now() - answered > leaving_patience_max) return next.error();
  }
}

outcome<void> drain(session& s, const arguments& given) {
  const auto& name = given.words[0];
  TROUPE_TRY(auto* const client, s.client());
  if (given.has("--undo")) {
    TROUPE_TRY_VOID(client->remove(node_path(name) + "/drain"));
    s.say(name + " takes part as before");
    return done();
  }
  TROUPE_TRY(auto value, client->post(node_path(name) + "/drain", nullptr));
  if (given.has("--no-wait")) {
    show_object(s, value, drain_columns);
    return done();
  }
  TROUPE_TRY(value, wait_until_drained(s, *client, name, std::move(value)));
  if (s.settings.output != output_format::table) show_object(s, value, drain_columns);
  s.say(name + " holds nothing that others need; `remove " + name + "` takes it out of the cluster");
  return done();
}

/// Its data is of no more use, but to throw it away is for the user: `up` and `start` no longer see it.
void put_aside(session& s, const known_cluster& cluster, const std::string& name) {
  for (const auto& node : local_nodes(cluster)) {
    if (node.name != name) continue;
    const auto aside = node.directory.parent_path() / (".removed-" + name);
    std::error_code failed;
    fs::remove_all(aside, failed);
    fs::rename(node.directory, aside, failed);
    s.say(failed ? "its data in " + node.directory.string() + " is of no more use"
                 : "its data is kept in " + aside.string() + " and of no more use");
  }
}

outcome<void> remove(session& s, const arguments& given) {
  const auto& name = given.words[0];
  TROUPE_TRY(auto cluster, s.cluster());
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto nodes, client->items("/nodes"));
  // Asked at another node: this one may have to stop.
  auto others = cluster;
  for (const auto& item : nodes) {
    TROUPE_TRY(const auto node, api_client::typed<api::node>(item, "node"));
    if (node.name == name) std::erase(others.addresses, node.address);
  }
  if (others.addresses.empty())
    return failure(status::failed, name + " is the only node that is known here: nothing would be left");
  api_client elsewhere(others);
  auto request =
      request_for("POST", node_path(name) + "/remove" + (given.has("--accept-loss") ? "?accept_loss=true" : ""));
  request.read_time_max = remove_time_max;
  TROUPE_TRY_VOID(elsewhere.send(std::move(request)));
  s.say(name + " was removed");
  put_aside(s, cluster, name);
  s.forget_client();
  return done();
}

}  // namespace

command drain_command() {
  return {.name = "drain",
          .group = "cluster",
          .usage = "drain NODE",
          .summary = "Moves a node's copies and logs to others, so that it may leave",
          .help = "It gets no new copies from now on. Waits until nothing is left; Ctrl-C leaves it draining.",
          .example = "drain node3",
          .options = {{"--undo", "", "lets a node that drains take part as before"},
                      {"--no-wait", "", "begins, shows what there is to do, and returns"}},
          .words_min = 1,
          .words_max = 1,
          .completes = word_kind::node,
          .run = drain};
}

command remove_command() {
  return {.name = "remove",
          .group = "cluster",
          .usage = "remove NODE",
          .summary = "Gives up a node that is lost, or stops and removes one that has drained",
          .help =
              "Its copies count as gone and are made again elsewhere; it may not come back. A node with the only copy "
              "of something is removed only with --accept-loss.",
          .example = "remove node3",
          .options = {{"--accept-loss", "", "also when it has the only copy of something, which is then lost"}},
          .words_min = 1,
          .words_max = 1,
          .completes = word_kind::node,
          .run = remove};
}

}  // namespace troupe::shell
