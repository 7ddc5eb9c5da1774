#pragma once
#include <cstdint>
#include <string>
#include <troupe/base/result.hpp>
#include <vector>

namespace troupe::node {

/// What a node was told. Later sources win: built-in defaults, DIR/node.toml (what the last start used), --config FILE
/// (TOML), environment (TROUPE_NODE_…), options. doc/operating/configuration.md lists every setting.
struct configuration {
  std::string data;                    ///< the data directory
  std::string listen = "127.0.0.1:0";  ///< host:port of the gate; port 0 takes a free one, which is then remembered
  std::string name;                    ///< empty: the cluster chooses node1, node2…
  std::string cluster_name = "troupe";
  std::string token_file;   ///< «-»: standard input; empty: DIR/token, as left by an earlier start
  std::string certificate;  ///< files of one's own instead of what the cluster hands out
  std::string certificate_key;
  std::string authority;                  ///< whom to believe; of a new node also before it has a certificate
  std::string authority_seal_file;        ///< what the authority's key is encrypted with; empty: DIR/security/ca.seal
  std::string tls = "beyond-loopback";    ///< or «always»
  bool bootstrap = false;                 ///< the first node of a new cluster
  std::vector<std::string> join;          ///< addresses of nodes that are there
  std::uint32_t slots = 0;                ///< tasks at once; 0: one a core
  std::uint64_t memory_bytes = 0;         ///< of blocks (shared memory); 0: an eighth of the machine's, at most 1 GiB
  std::uint64_t task_memory_bytes = 0;    ///< a worker's own; 0: 1 GiB
  std::uint64_t task_time_limit_ms = 0;   ///< 0: none
  std::uint64_t gone_after_ms = 600'000;  ///< a voter that is away for so long loses its vote to another member
  std::uint32_t requests_per_second = 10'000;  ///< of each user to the HTTP API of this node
  std::string log_file;                        ///< empty: standard error
  std::string log_level = "info";
  std::string worker_network = "on-request";  ///< or «forbidden», «allowed»
  bool debuggable = false;                    ///< leaves core files and may be traced, keys and tokens included
  bool again = false;  ///< --again: a node that was fenced and starts anew by itself; a full disk is waited for
};

/// Reads options, environment and files. `exit_status` is set when the process should end now (--help, --version: 0;
/// bad usage: 2), with what to say already said.
struct parsed {
  configuration value;
  bool stop = false;
  int exit_status = 0;
};
parsed parse(int argc, char** argv);

/// DIR/node.toml, so that a restart needs no arguments but --data.
result<void> remember(const configuration& c);

/// The cluster's token, or a join token, from where `c` says; kept in DIR/token (0600) from then on.
result<std::string> load_token(const configuration& c);
/// Keeps it there: for the cluster's token, which a new node is told when its join token was good.
result<void> keep_token(const configuration& c, const std::string& token);

}  // namespace troupe::node
