#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <shell/cluster/bring_up.hpp>
#include <shell/cluster/paths.hpp>
#include <shell/cluster/remote_node.hpp>
#include <shell/cluster/spawn_hosts.hpp>
#include <shell/commands/columns.hpp>
#include <shell/commands/commands.hpp>
#include <shell/commands/fail_over.hpp>
#include <shell/commands/limits.hpp>
#include <shell/commands/log_commands.hpp>
#include <shell/session.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/api/security.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace {

outcome<void> nodes(session& s, const arguments&) {
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/nodes"));
  show_items(s, items, node_columns);
  say_fail_over(s, items);
  say_certificates(s, items);
  return done();
}

/// «node7» when node6 is the highest that the cluster or this machine knows.
std::size_t highest_number(const std::vector<std::string>& names) {
  std::size_t highest = 0;
  for (const auto& name : names) {
    if (!name.starts_with("node")) continue;
    if (const auto number = read_number("name", name.substr(4), 1, 1'000'000))
      highest = std::max<std::size_t>(highest, *number);
  }
  return highest;
}

/// What new nodes show: a join token for just these, for ten minutes; on loopback, where a cluster may have no
/// certificates, the cluster's own.
outcome<std::string> spawn_token(api_client& client, const known_cluster& cluster, std::size_t nodes) {
  if (cluster.authority_file.empty()) {
    TROUPE_TRY(const auto text, paths::read_file(cluster.token_file, 4096));
    return text.substr(0, text.find('\n'));
  }
  api::token_request wanted;
  wanted.lifetime_s = 600;
  wanted.uses_max = static_cast<std::uint32_t>(nodes);
  auto request = request_for("POST", "/tokens");
  request.content_type = "application/json";
  request.body = api::to_text(wanted);
  TROUPE_TRY(const auto answer, client.send(std::move(request)));
  const auto made = api::from_text<api::new_token>(answer.body, "new token");
  if (!made) return failure(made.error());
  return made->token;
}

outcome<void> spawn(session& s, const arguments& given) {
  std::vector<spawn_host> hosts;
  for (const auto& word : given.words) {
    TROUPE_TRY(auto host, resolve_host(word));
    hosts.push_back(std::move(host));
  }
  TROUPE_TRY(const auto count, given.number("--count", 1, 100));
  TROUPE_TRY(const auto limits, read_limits(given));

  TROUPE_TRY(auto cluster, s.cluster());
  TROUPE_TRY(auto* const client, s.client());
  TROUPE_TRY(const auto items, client->items("/nodes"));
  std::vector<std::string> names, join;
  for (const auto& item : items) {
    TROUPE_TRY(const auto node, api_client::typed<api::node>(item, "node"));
    names.push_back(node.name);
    if (node.state == api::node_state::alive) join.push_back(node.address);
  }
  const bool beyond =
      std::any_of(hosts.begin(), hosts.end(), [](const auto& host) { return !host.here && !host.loopback; });
  if (beyond && cluster.authority_file.empty())
    return failure(status::failed,
                   "the nodes of cluster " + cluster.name +
                       " are on this machine's loopback, where no other machine reaches them; a cluster "
                       "for several is made with `up --name NAME --address ADDRESS`");
  if (cluster.data.empty()) cluster.data = paths::cluster_data(cluster.name).string();
  for (const auto& node : local_nodes(cluster)) names.push_back(node.name);
  for (const auto& line : cluster.hosts) names.push_back(line.substr(0, line.find(' ')));
  auto number = highest_number(names);
  std::vector<std::string> here, added, addresses;
  std::vector<spawn_wish> wishes;
  for (const auto& host : hosts) {
    for (std::uint64_t i = 0; i < count.value_or(1); ++i) {
      const auto name = "node" + std::to_string(++number);
      added.push_back(name);
      if (host.here)
        here.push_back(name);
      else
        wishes.push_back({name, host});
    }
  }
  std::size_t failed = 0;
  if (!wishes.empty()) {
    spawn_order order{cluster, join, limits, {}, {}, given.has("--install")};
    if (given.has("--ssh-config")) order.ssh_config = std::filesystem::absolute(given.get("--ssh-config")).string();
    TROUPE_TRY(order.token, spawn_token(*client, cluster, wishes.size()));
    for (const auto& one : spawn_on_hosts(s, order, wishes)) {
      if (!one.address) {
        ++failed;
        continue;
      }
      addresses.push_back(*one.address);
      cluster.hosts.push_back(remote_place{one.wish.name, one.wish.host.typed, order.ssh_config}.text());
    }
  }
  if (!here.empty()) {
    TROUPE_TRY(const auto made, add_local_nodes(s, cluster, here, join, limits));
    for (const auto& node : made) {
      addresses.push_back(node.address);
      s.say(node.name + " runs here (" + node.address + ")");
    }
  }
  TROUPE_TRY_VOID(remember(cluster, addresses, false));
  s.forget_client();
  TROUPE_TRY(auto* const again, s.client());
  TROUPE_TRY(const auto all, again->items("/nodes"));
  boost::json::array shown;
  for (const auto& item : all) {
    const auto* name = member_at(item, "name");
    if (name != nullptr && name->is_string() &&
        std::find(added.begin(), added.end(), name->get_string()) != added.end())
      shown.push_back(item);
  }
  show_items(s, shown, node_columns);
  if (failed == 0) return done();
  return failure(status::failed, std::to_string(failed) + " of " + std::to_string(added.size()) +
                                     " nodes did not start; the reasons are above");
}

outcome<void> start(session& s, const arguments& given) {
  TROUPE_TRY(auto cluster, s.cluster());
  std::vector<local_node> stopped;
  for (const auto& name : given.words) {
    if (const auto place = find_remote(cluster, name)) {
      TROUPE_TRY_VOID(restart_remote_node(cluster, *place));
      s.say(name + " runs again on " + place->host);
      continue;
    }
    TROUPE_TRY(auto node, find_local_node(cluster, name));
    if (node.pid) {
      s.say(name + " runs already (pid " + std::to_string(*node.pid) + ")" +
            (is_paused(*node.pid) ? ", paused: `resume " + name + "`" : ""));
      continue;
    }
    if (node.address.empty()) return failure(status::failed, name + " was never ready; `up` makes it anew");
    stopped.push_back(std::move(node));
  }
  const auto count = stopped.size();
  TROUPE_TRY_VOID(restart_nodes(s, std::move(stopped), {}));
  TROUPE_TRY_VOID(remember(cluster, {}, false));
  if (count != 0) s.say("started " + std::to_string(count) + (count == 1 ? " node" : " nodes"));
  return done();
}

/// Sends a signal to the daemons of nodes here, after a look that each process is that node.
outcome<void> signal_nodes(session& s, const arguments& given, int signal_number, const char* what_happened) {
  TROUPE_TRY(const auto cluster, s.cluster());
  std::vector<local_node> chosen;
  for (const auto& name : given.words) {
    if (const auto place = signal_number == SIGKILL ? find_remote(cluster, name) : std::nullopt) {
      TROUPE_TRY_VOID(kill_remote_node(cluster, *place));
      s.say(name + " on " + place->host + " " + what_happened);
      continue;
    }
    TROUPE_TRY(auto node, find_local_node(cluster, name));
    if (!node.pid) return failure(status::failed, name + " does not run; `start " + name + "` starts it");
    chosen.push_back(std::move(node));
  }
  for (const auto& node : chosen) {
    if (::kill(*node.pid, signal_number) != 0)
      return failure(status::failed,
                     "signal to " + node.name + " (pid " + std::to_string(*node.pid) + "): " + std::strerror(errno));
    if (signal_number == SIGKILL && !wait_until_gone(node, std::chrono::seconds(10)))
      return failure(status::failed, node.name + " (pid " + std::to_string(*node.pid) +
                                         ") does not end after SIGKILL: it hangs in the kernel");
    if ((signal_number == SIGSTOP || signal_number == SIGCONT) &&
        !wait_until_paused(*node.pid, signal_number == SIGSTOP, std::chrono::seconds(5)))
      return failure(status::failed,
                     node.name + " (pid " + std::to_string(*node.pid) + ") does not take the signal within 5 s");
    s.say(node.name + " (pid " + std::to_string(*node.pid) + ") " + what_happened);
  }
  return done();
}

outcome<void> kill_node(session& s, const arguments& given) { return signal_nodes(s, given, SIGKILL, "was killed"); }
outcome<void> pause_node(session& s, const arguments& given) { return signal_nodes(s, given, SIGSTOP, "is paused"); }
outcome<void> resume_node(session& s, const arguments& given) { return signal_nodes(s, given, SIGCONT, "runs again"); }

}  // namespace

std::vector<command> node_commands() {
  return {
      {.name = "nodes",
       .group = "cluster",
       .usage = "nodes",
       .summary = "Lists the nodes and their states",
       .help = "alive; suspect: silent, its lease still runs; dead: its work goes to others; left: it was stopped in "
               "order. The role is the part in the cluster's metadata: every node keeps it, 1, 3 or 5 of them vote, "
               "and one of those leads.",
       .example = "nodes",
       .run = nodes},
      {.name = "spawn",
       .group = "cluster",
       .usage = "spawn HOST…",
       .summary = "Adds nodes",
       .help =
           "`localhost` is this machine; other hosts are reached through ssh, all at once, with their keys in "
           "known_hosts "
           "and without passwords. The cluster must have been made with `up --address`. troupe-node must be installed "
           "there in this shell's version, or is copied with --install.",
       .example = "spawn worker1 me@worker2 --install",
       .options =
           {{"--count", "K", "nodes for each host; 1 by default"},
            {"--slots", "K", "tasks that each node runs at once"},
            {"--memory", "SIZE", "budget of each node for data of jobs"},
            {"--task-memory", "SIZE", "of a task's own tables and buffers; 1GiB by default, more goes to files"},
            {"--task-time-limit", "T",
             "a task that runs longer is killed, tried again, and at last fails its job: 30min; none by default"},
            {"--install", "", "copies the programs of a node there first"},
            {"--ssh-config", "FILE", "for ssh -F"}},
       .words_min = 1,
       .words_max = 100,
       .run = spawn},
      {.name = "start",
       .group = "cluster",
       .usage = "start NODE…",
       .summary = "Starts nodes of this machine again, with their data",
       .example = "start node2",
       .words_min = 1,
       .words_max = 100,
       .completes = word_kind::local_node,
       .run = start},
      drain_command(),
      remove_command(),
      {.name = "kill",
       .group = "cluster",
       .usage = "kill NODE…",
       .summary = "Kills nodes of this machine with SIGKILL, as a failure would",
       .help = "Nothing that was committed is lost; `start NODE` brings it back.",
       .example = "kill node2",
       .words_min = 1,
       .words_max = 100,
       .completes = word_kind::local_node,
       .run = kill_node},
      {.name = "pause",
       .group = "cluster",
       .usage = "pause NODE…",
       .summary = "Stops nodes of this machine with SIGSTOP, as if they hung",
       .help = "The others take over after the lease, a second.",
       .example = "pause node2",
       .words_min = 1,
       .words_max = 100,
       .completes = word_kind::local_node,
       .run = pause_node},
      {.name = "resume",
       .group = "cluster",
       .usage = "resume NODE…",
       .summary = "Lets paused nodes run again",
       .help = "A node that slept longer than its lease starts anew by itself.",
       .example = "resume node2",
       .words_min = 1,
       .words_max = 100,
       .completes = word_kind::local_node,
       .run = resume_node},
  };
}

}  // namespace troupe::shell
