#pragma once
#include <shell/command.hpp>
#include <troupe/base/schema.hpp>

/// Words of datasets that grow, and of nodes that go; data_commands and node_commands put them in their places.
namespace troupe::shell {

/// A schema as it is typed, or in a file: @FILE.
outcome<std::vector<field>> read_schema(const std::string& text);

command import_command();
command create_command();
command alter_command();
command append_command();
command tail_command();
command verify_command();
command drain_command();
command remove_command();

}  // namespace troupe::shell
