#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <shell/cluster/paths.hpp>
#include <shell/session.hpp>

namespace troupe::shell {

outcome<void> settings::set(const std::string& name, const std::string& value) {
  if (name == "output") {
    if (value == "table")
      output = output_format::table;
    else if (value == "json")
      output = output_format::json;
    else if (value == "csv")
      output = output_format::csv;
    else
      return usage_failure("output is table, json or csv, not \"" + value + "\"");
    return done();
  }
  if (name == "progress") {
    if (value != "on" && value != "off") return usage_failure("progress is on or off, not \"" + value + "\"");
    progress = value == "on";
    return done();
  }
  if (name == "consistency") {
    if (value != "linearizable" && value != "stale")
      return usage_failure("consistency is linearizable or stale, not \"" + value + "\"");
    stale = value == "stale";
    return done();
  }
  return usage_failure(
      "there is no setting \"" + name +
      "\"; there are output (table, json, csv), progress (on, off) and consistency (linearizable, stale)");
}

std::vector<std::pair<std::string, std::string>> settings::list() const {
  return {{"output", output == output_format::table  ? "table"
                     : output == output_format::json ? "json"
                                                     : "csv"},
          {"progress", progress ? "on" : "off"},
          {"consistency", stale ? "stale" : "linearizable"}};
}

outcome<known_cluster> session::cluster() {
  TROUPE_TRY(const auto known, registry::load());
  const auto* from_environment = std::getenv("TROUPE_CLUSTER");
  std::string wanted = cluster_option, source = "--cluster";
  if (wanted.empty() && from_environment != nullptr && *from_environment != 0) {
    wanted = from_environment;
    source = "TROUPE_CLUSTER";
  }
  if (wanted.empty()) {
    wanted = known.current;
    source = paths::clusters_file().string();
  }
  if (wanted.empty())
    return failure(status::no_cluster, "no cluster is in use (no --cluster, no TROUPE_CLUSTER, none current in " +
                                           paths::clusters_file().string() +
                                           "); `up` makes one here, `connect HOST:PORT` makes one elsewhere known");
  if (const auto* named = known.find(wanted)) return *named;
  if (wanted.find(':') != std::string::npos) {
    if (const auto* holder = known.find_by_address(wanted)) {
      auto only = *holder;
      only.addresses = {wanted};
      return only;
    }
    return failure(status::no_cluster, "no cluster with a node at " + wanted + " (from " + source +
                                           ") is known; `connect " + wanted + " --token-file FILE` makes it known");
  }
  return failure(status::no_cluster,
                 "there is no cluster " + wanted + " (from " + source + "); `clusters` lists those that are known");
}

outcome<api_client*> session::client() {
  TROUPE_TRY(auto wanted, cluster());
  const bool same = client_ && client_->cluster().name == wanted.name &&
                    client_->cluster().addresses == wanted.addresses &&
                    client_->cluster().token_file == wanted.token_file;
  if (!same) client_ = std::make_unique<api_client>(std::move(wanted));
  client_->read_stale(settings.stale);
  return client_.get();
}

void session::print(std::string_view text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  const int why = errno;
  // Nobody reads on (`| head`): nothing is left to do, and nothing to say. A full disk is said.
  if (why == EPIPE) ::_exit(128 + SIGPIPE);
  report({status::failed, "standard output can't be written: " + std::string(std::strerror(why))});
  ::_exit(static_cast<int>(status::failed));
}

void session::say(std::string_view text) {
  std::string line(text);
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

void session::report(const failure& f) {
  if (!f.message.empty()) say("troupe: " + f.message);
}

}  // namespace troupe::shell
