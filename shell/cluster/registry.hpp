#pragma once
#include <map>
#include <string>
#include <troupe/base/result.hpp>
#include <vector>

namespace troupe::shell {

/// A cluster that this user knows: made here by `up`, or made known by `connect`.
struct known_cluster {
  std::string name;
  std::string id;                      ///< UUID; empty until a node has told it
  std::vector<std::string> addresses;  ///< host:port of every node
  std::string token_file;
  std::string data;            ///< directory of the nodes' data when `up` made it here; empty when it was connected to
  std::string authority_file;  ///< whose certificates are believed; then everything goes encrypted. Empty: plain, here
  std::string access_file;     ///< a user's token for requests; empty: the cluster's own counts
  std::string listen;          ///< this machine's address that its nodes have; empty: loopback
  std::string tls;             ///< «always» when its nodes encrypt on loopback, too
  std::vector<std::string> hosts;  ///< «node4 me@host»: nodes that `spawn` started elsewhere, and how to get there
};

/// ~/.config/troupe/clusters.toml:
///
///   current = "local"
///
///   [cluster.local]
///   id = "…"
///   addresses = ["127.0.0.1:40001", "127.0.0.1:40002"]
///   token_file = "/home/me/.local/share/troupe/local/token"
///   data = "/home/me/.local/share/troupe/local"
///
/// Read at every command (another shell may have changed it), written whole by rename. Keys that this version does not
/// know are lost when it writes.
struct registry {
  std::string current;  ///< may name none
  std::map<std::string, known_cluster> clusters;

  /// An absent file is an empty registry; a wrong one is an error that names the line.
  static result<registry> load();
  [[nodiscard]] result<void> save() const;

  static result<registry> parse(const std::string& text, const std::string& where);
  [[nodiscard]] std::string to_text() const;

  [[nodiscard]] const known_cluster* find(const std::string& name) const;
  [[nodiscard]] const known_cluster* find_by_address(const std::string& address) const;
};

}  // namespace troupe::shell
