#include <filesystem>
#include <shell/cluster/bring_up.hpp>
#include <shell/cluster/paths.hpp>
#include <shell/commands/columns.hpp>
#include <shell/commands/commands.hpp>
#include <shell/commands/fail_over.hpp>
#include <shell/commands/limits.hpp>
#include <shell/display/table.hpp>
#include <shell/session.hpp>
#include <troupe/api/cluster.hpp>
#include <troupe/base/text.hpp>

namespace troupe::shell {
namespace fs = std::filesystem;
namespace json = boost::json;
namespace {

/// Which cluster `up` and `down` mean: the named one, else the one in use, else the first that `up` ever makes.
outcome<std::string> cluster_name(session& s, const arguments& given) {
  if (given.has("--name")) return given.get("--name");
  if (auto chosen = s.cluster()) return chosen->name;
  if (!s.cluster_option.empty()) return s.cluster_option;
  if (const auto* set = std::getenv("TROUPE_CLUSTER"); set != nullptr && *set != 0) return std::string(set);
  return std::string("local");
}

outcome<void> up(session& s, const arguments& given) {
  up_request request;
  TROUPE_TRY(request.cluster, cluster_name(s, given));
  if (!given.words.empty()) {
    TROUPE_TRY(const auto count, read_number("up", given.words[0], 1, 100));
    request.nodes = count;
  }
  TROUPE_TRY(request.limits, read_limits(given));
  request.listen = given.get("--address");
  if (request.listen == "127.0.0.1") request.listen.clear();
  request.tls = given.get("--tls");
  if (!request.tls.empty() && request.tls != "always") return usage_failure("--tls: only «always» can be chosen");
  TROUPE_TRY(const auto cluster, bring_up(s, request));
  api_client client(cluster);
  TROUPE_TRY(const auto items, client.items("/nodes"));
  show_items(s, items, node_columns);
  say_fail_over(s, items);
  return done();
}

outcome<void> down(session& s, const arguments& given) {
  TROUPE_TRY(const auto name, cluster_name(s, given));
  TROUPE_TRY(auto known, registry::load());
  const auto* found = known.find(name);
  if (found == nullptr)
    return failure(status::no_cluster, "there is no cluster " + name + "; `clusters` lists those that are known");
  const auto cluster = *found;
  if (cluster.data.empty())
    return failure(
        status::failed,
        "cluster " + name +
            " was made known by `connect` and is not this shell's to stop; stop it on the machine that started it");
  TROUPE_TRY_VOID(bring_down(s, cluster));
  s.forget_client();
  if (!given.has("--delete-data")) {
    s.say("cluster " + name + " is down; its data stays in " + cluster.data +
          " (`up` brings it back, `down --delete-data` deletes it)");
    return done();
  }
  if (fs::path(cluster.data).filename() != name || !fs::exists(fs::path(cluster.data) / "token"))
    return failure(status::failed, "cluster " + name + " is down, but " + cluster.data +
                                       " does not look like its data; nothing was deleted");
  std::error_code failed;
  fs::remove_all(cluster.data, failed);
  if (failed)
    return failure(status::failed,
                   "cluster " + name + " is down, but deleting " + cluster.data + " failed: " + failed.message());
  known.clusters.erase(name);
  if (known.current == name) known.current.clear();
  TROUPE_TRY_VOID(known.save());
  s.say("cluster " + name + " is down and its data is deleted");
  return done();
}

outcome<void> clusters(session& s, const arguments&) {
  TROUPE_TRY(const auto known, registry::load());
  const auto chosen = s.cluster();
  json::array items;
  for (const auto& [name, cluster] : known.clusters) {
    json::array addresses;
    for (const auto& address : cluster.addresses) addresses.emplace_back(address);
    json::value running = nullptr, data = nullptr;
    if (!cluster.data.empty()) {
      std::uint64_t count = 0;
      for (const auto& node : local_nodes(cluster)) count += node.pid ? 1u : 0u;
      running = count;
      data = cluster.data;
    }
    items.push_back(json::object{{"current", chosen && chosen->name == name},
                                 {"name", name},
                                 {"id", cluster.id},
                                 {"addresses", std::move(addresses)},
                                 {"running_here", std::move(running)},
                                 {"data", std::move(data)}});
  }
  show_items(s, items,
             {{"CURRENT", "current"},
              {"NAME", "name"},
              {"RUNNING HERE", "running_here"},
              {"ADDRESSES", "addresses", shown_as::list},
              {"DATA", "data"}});
  return done();
}

outcome<void> use(session& s, const arguments& given) {
  TROUPE_TRY(auto known, registry::load());
  if (known.find(given.words[0]) == nullptr)
    return failure(status::no_cluster,
                   "there is no cluster " + given.words[0] + "; `clusters` lists those that are known");
  known.current = given.words[0];
  TROUPE_TRY_VOID(known.save());
  s.cluster_option.clear();
  s.forget_client();
  if (const auto* set = std::getenv("TROUPE_CLUSTER"); set != nullptr && *set != 0 && known.current != set)
    s.say("note: TROUPE_CLUSTER is set to " + std::string(set) + " and goes before it");
  return done();
}

outcome<void> connect(session& s, const arguments& given) {
  const auto split = split_at_to(given.words);
  if (split.before.size() != 1 || split.after.size() > 1 || (split.has_to && split.after.empty()))
    return usage_failure("connect takes one address: connect HOST:PORT [to NAME]");
  const auto& address = split.before[0];
  TROUPE_TRY(const auto known, registry::load());
  known_cluster cluster;
  if (const auto* holder = known.find_by_address(address)) cluster = *holder;
  if (given.has("--token-file")) {
    std::error_code failed;
    cluster.token_file = fs::absolute(given.get("--token-file"), failed).string();
    cluster.access_file.clear();  // the one that was given counts, not what is known from before
  }
  if (given.has("--authority")) {
    std::error_code failed;
    cluster.authority_file = fs::absolute(given.get("--authority"), failed).string();
  }
  if (cluster.token_file.empty())
    return usage_failure(
        "connect needs a token: --token-file FILE (a user's, which `token create --user` makes; or on the nodes' own "
        "machine the file `token` in the data directory of the one who made the cluster)");
  auto asked = cluster;
  asked.name = address;
  asked.addresses = {address};
  asked.data.clear();
  api_client client(asked);
  TROUPE_TRY(const auto told, client.get_as<api::cluster>("/cluster", "cluster"));
  TROUPE_TRY(const auto items, client.items("/nodes"));
  const auto name = split.after.empty() ? (cluster.name.empty() ? told.name : cluster.name) : split.after[0];
  TROUPE_TRY_VOID(check_name("cluster", name));
  if (const auto* taken = known.find(name); taken != nullptr && !taken->id.empty() && taken->id != to_string(told.id))
    return failure(status::failed,
                   "the name " + name + " belongs to another cluster; choose one: connect " + address + " to NAME");
  if (cluster.name != name) cluster.data.clear();
  cluster.name = name;
  cluster.id = to_string(told.id);
  cluster.addresses = {address};
  std::vector<std::string> others;
  for (const auto& item : items)
    if (const auto node = api::from_json<api::node>(item, "node"); node && node->state != api::node_state::left)
      others.push_back(node->address);
  TROUPE_TRY_VOID(remember(cluster, others, true));
  s.forget_client();
  s.say("cluster " + name + " is in use: " + std::to_string(told.nodes_alive) + " of " +
        std::to_string(told.nodes_total) + " nodes alive");
  return done();
}

}  // namespace

std::vector<command> cluster_commands() {
  return {
      {.name = "up",
       .group = "cluster",
       .usage = "up [N]",
       .summary = "Starts a cluster of N nodes on this machine, or what is missing of it",
       .help =
           "N is 3 when the cluster is new. Its data lies under $XDG_DATA_HOME/troupe, its token (who has it may do "
           "everything) in a file that only you can read. "
           "`up` can be repeated, and brings back a cluster that was killed, with its data.",
       .example = "up 3 --memory 512MiB",
       .options =
           {{"--address", "A", "this machine's address on its network, for a new cluster that other machines join"},
            {"--tls", "always", "encrypts on loopback, too; beyond it everything always is"},
            {"--slots", "K", "tasks that each node runs at once; as many as cores by default"},
            {"--memory", "SIZE", "budget of each node for data of jobs (64MiB, 1g)"},
            {"--task-memory", "SIZE", "of a task's own tables and buffers; 1GiB by default, more goes to files"},
            {"--task-time-limit", "T",
             "a task that runs longer is killed, tried again, and at last fails its job: 30min; none by default"},
            {"--name", "CLUSTER", "of the cluster; the one in use by default, «local» for the first"}},
       .words_max = 1,
       .run = up},
      {.name = "down",
       .group = "cluster",
       .usage = "down",
       .summary = "Stops the nodes of a cluster on this machine, in order",
       .help = "Its data stays, unless --delete-data is given.",
       .example = "down",
       .options = {{"--delete-data", "", "also deletes its data directory and token: there is no way back"},
                   {"--name", "CLUSTER", "another cluster than the one in use"}},
       .run = down},
      {.name = "clusters",
       .group = "cluster",
       .usage = "clusters",
       .summary = "Lists the clusters that are known here",
       .example = "clusters",
       .run = clusters},
      {.name = "use",
       .group = "cluster",
       .usage = "use CLUSTER",
       .summary = "Makes a cluster the one that commands go to",
       .help = "--cluster and TROUPE_CLUSTER go before it.",
       .example = "use local",
       .words_min = 1,
       .words_max = 1,
       .completes = word_kind::cluster,
       .run = use},
      {.name = "connect",
       .group = "cluster",
       .usage = "connect HOST:PORT [to NAME]",
       .summary = "Makes a cluster known that was started elsewhere, and uses it",
       .example = "connect 127.0.0.1:7400 --token-file ./token to shared",
       .options = {{"--token-file", "FILE", "with a user's token, or the cluster's"},
                   {"--authority", "FILE", "certificate of the cluster's authority: needed beyond this machine"}},
       .words_min = 1,
       .words_max = 3,
       .has_to = true,
       .completes_after_to = word_kind::cluster,
       .run = connect},
  };
}

}  // namespace troupe::shell
