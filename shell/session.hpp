#pragma once
#include <functional>
#include <memory>
#include <shell/cluster/api_client.hpp>
#include <shell/cluster/registry.hpp>
#include <shell/failure.hpp>
#include <string>
#include <vector>

namespace troupe::shell {

enum class output_format { table, json, csv };

/// What `set` changes.
struct settings {
  output_format output = output_format::table;
  bool progress = true;
  bool stale = false;  ///< lists and descriptions as the node that is asked knows them, while nobody leads the metadata
  /// Reads «output json» and the like; a wrong name or value is a usage failure.
  outcome<void> set(const std::string& name, const std::string& value);
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> list() const;
};

/// One run of the program: its settings, the cluster in use, what runs a text of commands. Owned by main, used by one
/// thread.
class session {
 public:
  shell::settings settings;
  std::string cluster_option;  ///< --cluster; empty when not given
  bool keep_going = false;
  bool interactive = false;
  bool quit = false;  ///< set by the word `quit`
  int source_depth = 0;

  /// The cluster that commands go to, and why it is that one.
  outcome<known_cluster> cluster();
  /// Its client, kept from command to command.
  outcome<api_client*> client();
  /// After the registry has changed, or another cluster is in use.
  void forget_client() { client_.reset(); }

  /// A result, for stdout. Ends the process when it can't be written, for what would come is of no use: with 141, as
  /// programs in a pipe that nobody reads, or with 1 and the reason.
  void print(std::string_view text);
  /// A message, for stderr: one line.
  void say(std::string_view text);
  /// A failure's sentence, for stderr, with «troupe: » before it.
  void report(const failure& f);

 private:
  std::unique_ptr<api_client> client_;
};

}  // namespace troupe::shell
