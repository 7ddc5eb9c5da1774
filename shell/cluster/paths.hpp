#pragma once
#include <filesystem>
#include <troupe/base/result.hpp>

/// Where the shell keeps things, as the XDG base directory specification says; HOME's defaults when a variable is not
/// set.
namespace troupe::shell::paths {

/// $XDG_CONFIG_HOME/troupe/clusters.toml
std::filesystem::path clusters_file();
/// $XDG_DATA_HOME/troupe/CLUSTER: token, and a directory for each node
std::filesystem::path cluster_data(const std::string& cluster);
/// $XDG_STATE_HOME/troupe/history
std::filesystem::path history_file();

/// A program of ours: beside the shell's own executable.
result<std::filesystem::path> program_beside(const std::string& name);

/// Writes whole or not at all (temporary file, fsync, rename), readable by the owner only; makes the directory.
result<void> write_private_file(const std::filesystem::path& path, const std::string& content);

/// A small file's content.
result<std::string> read_file(const std::filesystem::path& path, std::size_t bytes_max = 1 << 20);

}  // namespace troupe::shell::paths
