#pragma once
#include <shell/command.hpp>

/// The words of the shell by subject: one file each.
namespace troupe::shell {

std::vector<command> cluster_commands();
std::vector<command> node_commands();
std::vector<command> data_commands();
std::vector<command> module_commands();
std::vector<command> job_commands();
std::vector<command> actor_commands();
std::vector<command> access_commands();
std::vector<command> session_commands();

}  // namespace troupe::shell
